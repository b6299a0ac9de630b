// The first request, sent while the rest of the page is still loading.

import { get } from "./api.js";

// The first page of all clocks. Options of the list are appended to it.
export const FIRST_PAGE = "v1/clocks?view=brief&order=worst&limit=60";

export const first = get(FIRST_PAGE);
first.catch(() => {}); // app.js handles the error
