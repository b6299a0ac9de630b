// The list of clocks, in pages. The service sorts, searches and counts, so an answer is small even with thousands of clocks.

import { answeredAtMs, withTimes } from "./ages.js";
import { get } from "./api.js";
import * as connection from "./connection.js";
import { FIRST_PAGE } from "./first_request.js";
import { isStatus } from "./words.js";

const EVERY_MS = 5_000;
const PER_CLOCK_MS = 5; // the service reads all clocks for a page, so with more than 1,000 clocks it gets fewer requests
const MAX_EVERY_MS = 60_000;

// `top` is the first page of all clocks, for the headline; `page` is the page that the user sees. Both are {clocks, next,
// counts}, or null before the first answer. They are the same object unless the user searches, filters or turns pages.
export class ClockList {
  // `query` is that of the page's URL: URLSearchParams.
  constructor(query) {
    const status = query.get("status");
    this.status = isStatus(status) ? status : null;
    this.search = query.get("search") ?? "";
    this.top = null;
    this.page = null;
    this.begins = []; // {after, offset} of each page after the first one, up to the page that the user sees
    this.readAtMs = -Infinity;
  }

  get total() {
    return this.top === null ? 0 : sum(this.top.counts);
  }

  // How many clocks match the search and the status.
  get matching() {
    if (this.page === null) return 0;
    return this.status === null ? sum(this.page.counts) : (this.page.counts[this.status] ?? 0);
  }

  get isFiltered() {
    return this.status !== null || this.search !== "";
  }

  // The position of the page's first clock among all that match.
  get offset() {
    return this.begins.at(-1)?.offset ?? 0;
  }

  get everyMs() {
    return Math.min(MAX_EVERY_MS, Math.max(EVERY_MS, this.total * PER_CLOCK_MS));
  }

  // True if it is time to read the list again. Called every 5 s.
  get isDue() {
    return this.everyMs === EVERY_MS || performance.now() - this.readAtMs > this.everyMs - EVERY_MS / 2;
  }

  // How many clocks have each status that are not in `top`.
  rest() {
    const rest = { ...this.top.counts };
    for (const { status } of this.top.clocks) rest[status] = Math.max(0, (rest[status] ?? 0) - 1);
    return rest;
  }

  has(name) {
    return [this.top, this.page].some((page) => page?.clocks.some((clock) => clock.clock === name));
  }

  // Request both pages, for `accept`. `first` is the request for `top` if it was sent already. Throws as `get`.
  async request(first) {
    const options = this.#options();
    const [top, page] = await Promise.all([first ?? get(FIRST_PAGE), options ? get(FIRST_PAGE + options) : null]);
    return { options, top, page };
  }

  accept({ options, top, page }) {
    this.top = received(top);
    this.readAtMs = performance.now();
    // The user can have turned the page in the meantime.
    if (options === this.#options()) this.#show(page === null ? this.top : received(page));
  }

  // Show the first page of another search or status, or another page. Returns true if it was read, and false if the user has
  // changed something in the meantime. Throws as `get`.
  filter(change) {
    Object.assign(this, change, { begins: [] });
    return this.#readPage();
  }

  next() {
    this.begins.push({ after: this.page.next, offset: this.offset + this.page.clocks.length });
    return this.#readPage();
  }

  back() {
    this.begins.pop();
    return this.#readPage();
  }

  async #readPage() {
    const options = this.#options();
    const page = received(await get(FIRST_PAGE + options));
    if (options !== this.#options()) return false;
    if (!options) this.top = page;
    this.#show(page);
    return true;
  }

  // A later page can become empty, because fewer clocks match or clocks have moved to earlier pages.
  #show(page) {
    if (page.clocks.length === 0) this.begins = [];
    this.page = page;
  }

  #options() {
    const options = { status: this.status, search: this.search, after: this.begins.at(-1)?.after };
    return Object.entries(options).map(([name, value]) => (value ? `&${name}=${encodeURIComponent(value)}` : "")).join("");
  }
}

function received(answer) {
  const nowMs = answer.clocks.map(answeredAtMs).find((ms) => ms !== null);
  if (nowMs !== undefined) connection.setTime(nowMs);
  return { ...answer, clocks: answer.clocks.map((state) => withTimes(state, connection.now())) };
}

const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);
