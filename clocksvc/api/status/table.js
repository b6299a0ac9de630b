// All partitions as a table, the slowest first. It is the accessible form of the map, and is filled only while it is open.

import { byId, updateChildren, make, setText } from "./dom.js";
import { timeOfDayMs, count, date, duration } from "./format.js";

const ROWS = 100;
const NOTES = { ".": "", "?": "not reported", "!": "newest report rejected", x: "excluded" };
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
  setText(byId("TableCaption"), `${count(first + 1)} to ${count(first + shown.size)} of ${count(lines.length)}, the slowest first`);
  byId("TableBack").disabled = first === 0;
  byId("TableNext").disabled = first + ROWS >= lines.length;
  updateChildren(byId("TableRows"), [...shown.keys()], row, (element, name) => update(element, shown.get(name), hold, nowMs));
}

function move(by) {
  first += by;
  redraw();
}

// The order: partitions that hold the clock, unknown partitions, other partitions by their clocks, excluded partitions.
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
  setText(title, name);
  setText(at, clockMs === null ? "unknown" : date(clockMs) === date(nowMs) ? timeOfDayMs(clockMs) : `${date(clockMs)} ${timeOfDayMs(clockMs)}`);
  setText(late, clockMs === null ? "–" : duration((nowMs - clockMs) / 1000));
  setText(note, [holds ? "◀ holds" : "", NOTES[mark]].filter(Boolean).join(", "));
}
