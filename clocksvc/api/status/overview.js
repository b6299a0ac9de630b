// The list of clocks, the worst first; with many clocks also a search, a choice of status, and pages.

import { behindSeconds } from "./ages.js";
import { byId, updateChildren, make, setText, setVisible, setTone } from "./dom.js";
import { severityOf, shortReason, toneOf, toneOfStatus, wordOf } from "./headline.js";
import { count, plural, timeOfDay, duration } from "./format.js";
import { statusText } from "./words.js";

const MAX_WITHOUT_SEARCH = 20; // more clocks get a search and a choice of status
const TYPING_MS = 300;
const ALL = "all";

// `read(request)` is called with each request that the user causes.
export function start(list, read) {
  const search = byId("Search");
  let typing = null;
  search.value = list.search;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => read(list.filter({ search: search.value.trim() })), TYPING_MS);
  });
  byId("Filter").addEventListener("submit", (event) => event.preventDefault());
  byId("Statuses").addEventListener("click", ({ target }) => {
    const status = target.closest("button")?.dataset.key;
    if (status) read(list.filter({ status: status === ALL || status === list.status ? null : status }));
  });
  byId("ListBack").addEventListener("click", () => read(list.back()));
  byId("ListNext").addEventListener("click", () => read(list.next()));
}

// Draw the list. It is hidden if there is only one clock. `clocks` are those of the page that the user sees. `unknown` is true if
// the service does not answer.
export function draw(list, clocks, selected, unknown) {
  const shown = list.page !== null && (list.total > 1 || list.isFiltered);
  setVisible(byId("Overview"), shown);
  if (!shown) return;
  drawFilter(list);
  const byName = new Map(clocks.map((clock) => [clock.clock, clock]));
  updateChildren(byId("Clocks"), [...byName.keys()], create, (item, name) => update(item, byName.get(name), name === selected, unknown));
  setVisible(byId("Clocks"), clocks.length > 0);
  drawPager(list, clocks.length);
}

// Show the top of a new page.
export const showTop = () => byId("Clocks").scrollTo(0, 0);

// Which of the matching clocks the list shows, as text.
export function rangeText(list) {
  const { matching, offset } = list;
  if (matching === 0) return "No clock matches";
  const last = offset + list.page.clocks.length;
  if (offset === 0 && last === matching) return `${count(matching)} of ${plural(list.total, "clock")}`;
  return `${count(offset + 1)} to ${count(last)} of ${plural(matching, "clock")}, the worst first`;
}

function drawFilter(list) {
  setVisible(byId("Filter"), list.total > MAX_WITHOUT_SEARCH || list.isFiltered);
  const counts = { [ALL]: Object.values(list.page.counts).reduce((all, one) => all + one, 0), ...list.page.counts };
  const statuses = Object.keys(counts).filter((status) => status === ALL || status === list.status || counts[status] > 0);
  if (list.status !== null && !(list.status in counts)) statuses.push(list.status);
  statuses.sort((a, b) => rank(a) - rank(b));
  updateChildren(byId("Statuses"), statuses, () => make("button", { type: "button" }), (button, status) => {
    setText(button, `${status === ALL ? "all" : statusText(status)} ${count(counts[status] ?? 0)}`);
    setTone(button, status === ALL ? "" : toneOfStatus(status));
    button.setAttribute("aria-pressed", String(status === (list.status ?? ALL)));
  });
}

const rank = (status) => (status === ALL ? -1 : severityOf(status));

function drawPager(list, drawn) {
  const more = list.page.next !== null;
  const pages = more || list.offset > 0;
  setVisible(byId("Pager"), pages || list.isFiltered || drawn === 0);
  setText(byId("Range"), rangeText(list));
  setVisible(byId("ListBack"), pages);
  setVisible(byId("ListNext"), pages);
  byId("ListBack").disabled = list.offset === 0;
  byId("ListNext").disabled = !more;
}

function create(name) {
  const link = make("a", { href: `#${name}` });
  for (const [tag, part] of [["strong", "name"], ["span", "word"], ["span", "time"], ["span", "behind"], ["span", "why"]]) {
    link.append(make(tag, { className: part }), " ");
  }
  return make("li", {}, link);
}

function update(item, clock, current, unknown) {
  const link = item.firstChild;
  const [name, word, time, late, why] = link.children;
  setTone(item, unknown ? "lost" : toneOf(clock));
  if (current) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  setText(name, clock.clock);
  setText(word, unknown ? `? was ${statusText(clock.status)}` : wordOf(clock));
  setText(time, clock.timestamp_seconds === null ? "no tick yet" : timeOfDay(clock.timestamp_seconds * 1000));
  setText(late, clock.timestamp_seconds === null ? "" : `${duration(behindSeconds(clock))} behind`);
  setText(why, shortReason(clock));
}
