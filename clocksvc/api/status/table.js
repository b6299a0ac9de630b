// All partitions as a table, the slowest first. It is the accessible form of the map, and is filled only while it is open.

import { byId, partitionRow, setPartition, setText, updateChildren } from "./dom.js";
import { timeOfDayMs, count, date, duration } from "./format.js";

const ROWS = 100;
const NOTES = { ".": "", "?": "Not reported.", "!": "Newest report rejected.", x: "Excluded." };
let first = 0;
let redraw = () => {};

export function start() {
  byId("TableBox").addEventListener("toggle", () => redraw());
  byId("TableBack").addEventListener("click", () => move(-ROWS));
  byId("TableNext").addEventListener("click", () => move(ROWS));
}

export function draw(partitions, hold) {
  redraw = () => draw(partitions, hold);
  if (!byId("TableBox").open) return;
  const lines = [];
  partitions.each((topic, number, line) => lines.push({ name: `${topic}:${number}`, ...line }));
  lines.sort((a, b) => rank(a, hold) - rank(b, hold) || (a.clockMs ?? 0) - (b.clockMs ?? 0));
  first = Math.max(0, Math.min(first, lines.length - 1));
  const shown = new Map(lines.slice(first, first + ROWS).map((line) => [line.name, line]));
  setText(byId("TableCaption"), `${count(first + 1)} to ${count(first + shown.size)} of ${count(lines.length)}, the slowest first`);
  byId("TableBack").disabled = first === 0;
  byId("TableNext").disabled = first + ROWS >= lines.length;
  updateChildren(byId("TableRows"), [...shown.keys()], partitionRow, (element, name) => update(element, shown.get(name), hold));
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

function update(element, { name, clockMs, behindMs, mark }, hold) {
  const [, at, late] = element.children;
  setPartition(element, name, hold.has(name), NOTES[mark]);
  setText(at, clockMs === null ? "not known" : dateTimeMs(clockMs, clockMs + behindMs));
  setText(late, clockMs === null ? "not known" : duration(behindMs / 1000));
}

const dateTimeMs = (ms, nowMs) => (date(ms) === date(nowMs) ? timeOfDayMs(ms) : `${date(ms)} ${timeOfDayMs(ms)}`);
