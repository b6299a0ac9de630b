// The first request, sent while the rest of the page is still loading.

import { get } from "./api.js";

export const first = get("v1/clocks");
first.catch(() => {}); // app.js handles the error
