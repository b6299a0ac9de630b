// All partitions as a table, the slowest first: the map for those who don't see it. Filled only while it is open.

import { byId, keyed, make, say } from "./dom.js";
import { clockTimeMs, count, date, span } from "./words.js";

const ROWS = 100;
const NOTES = { ".": "", "?": "not reported", "!": "newest report refused", x: "excluded" };
let first = 0;
let redraw = () => {};

export function start() {
  byId("TableBox").addEventListener("toggle", () => redraw());
  byId("TableBack").addEventListener("click", () => move(-ROWS));
  byId("TableNext").addEventListener("click", () => move(ROWS));
}

export function draw(partitions, hold, nowMs) {
  redraw = () => draw(partitions, hold, nowMs);
  if (!byId("TableBox").open) return;
  const lines = [];
  partitions.each((topic, number, clockMs, mark) => lines.push({ name: `${topic}:${number}`, clockMs, mark }));
  lines.sort((a, b) => rank(a, hold) - rank(b, hold) || (a.clockMs ?? 0) - (b.clockMs ?? 0));
  first = Math.max(0, Math.min(first, lines.length - 1));
  const shown = new Map(lines.slice(first, first + ROWS).map((line) => [line.name, line]));
  say(byId("TableCaption"), `${count(first + 1)} to ${count(first + shown.size)} of ${count(lines.length)}, the slowest first`);
  byId("TableBack").disabled = first === 0;
  byId("TableNext").disabled = first + ROWS >= lines.length;
  keyed(byId("TableRows"), [...shown.keys()], row, (element, name) => update(element, shown.get(name), hold, nowMs));
}

function move(by) {
  first += by;
  redraw();
}

// Those that hold, then unknown ones, then by their clocks; excluded ones hold nobody up.
function rank({ name, mark, clockMs }, hold) {
  if (hold.has(name)) return 0;
  if (mark === "x") return 3;
  return clockMs === null ? 1 : 2;
}

function row() {
  return make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td"));
}

function update(element, { name, clockMs, mark }, hold, nowMs) {
  const [title, at, late, note] = element.children;
  const holds = hold.has(name);
  element.classList.toggle("holds", holds);
  say(title, name);
  say(at, clockMs === null ? "not known" : date(clockMs) === date(nowMs) ? clockTimeMs(clockMs) : `${date(clockMs)} ${clockTimeMs(clockMs)}`);
  say(late, clockMs === null ? "–" : span((nowMs - clockMs) / 1000));
  say(note, [holds ? "◀ holds" : "", NOTES[mark]].filter(Boolean).join(", "));
}
