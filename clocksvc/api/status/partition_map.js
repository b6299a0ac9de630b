// The map of all partition clocks. Each has a cell, whose colour shows how far the partition is behind. Partitions that
// hold the clock have a ring.

import { byId, setText } from "./dom.js";
import { shortDuration, timeOfDayMs, count, plural, duration } from "./format.js";

const GAP = 1;
const LABEL = 20;
const MARGIN = 8; // room for a ring around a cell at the edge
const MARKED = { "?": "unknown", "!": "rejected", x: "excluded" };
const NOTES = { unknown: "not reported", rejected: "its newest report was rejected", excluded: "excluded: ticks do not wait for it" };
const MAX_NAMED = 100; // a leader lists at most this many partitions in a hold
let placed = [];

// The limits of levels 0, 1 and 2, in seconds behind. A delay up to max_out_of_orderness counts as on time.
export function levels({ interval_seconds: interval, max_out_of_orderness_seconds: allowed }) {
  const late = allowed ?? 0;
  return [Math.max(1.5 * interval, 5) + late, Math.max(3 * interval, 15) + late, Math.max(10 * interval, 60) + late];
}

export function drawLegend(clock) {
  const bounds = levels(clock);
  bounds.forEach((bound, level) => setText(what(level), `up to ${duration(bound)} behind`));
  setText(what(3), "more");
}

const what = (level) => byId("Legend").querySelector(`[data-level="${level}"] .what`);

export function draw(partitions, clock, hold) {
  const canvas = byId("Map");
  const size = partitions.size;
  const cell = cellFor(size, canvas.parentElement.clientWidth);
  const width = canvas.parentElement.clientWidth - parseFloat(getComputedStyle(canvas.parentElement).paddingLeft) * 2;
  const columns = Math.max(1, Math.floor((width - 2 * MARGIN + GAP) / (cell.width + GAP)));
  place(partitions, columns, cell);
  const context = prepare(canvas, width, placed.length ? placed.at(-1).bottom + MARGIN : 0);
  paint(context, partitions, { colours: colours(), bounds: levels(clock), cell, columns, hold, labels: partitions.topics.size > 1 });
  describe(canvas, partitions, clock, hold);
}

// Describes the partition at a point of the canvas; null if there is no partition.
export function describeAt(partitions, x, y, hold) {
  const block = placed.find(({ top, bottom }) => y >= top && y < bottom);
  if (!block) return null;
  const column = Math.floor((x - MARGIN) / (block.cell.width + GAP));
  const number = Math.floor((y - block.top) / (block.cell.height + GAP)) * block.columns + column;
  const line = partitions.topics.get(block.topic)?.[number];
  if (column < 0 || column >= block.columns || !line) return null;
  const at = line.clockMs === null ? "" : ` at ${timeOfDayMs(line.clockMs)}, ${duration(line.behindMs / 1000)} behind`;
  const note = NOTES[MARKED[line.mark]];
  return `${block.topic}:${number}${at}${note ? `; ${note}` : ""}${hold.has(`${block.topic}:${number}`) ? "; holds the clock" : ""}`;
}

// The center of a partition's cell on the canvas.
export function cellCenter(topic, number) {
  const { top, columns, cell } = placed.find((block) => block.topic === topic);
  const x = MARGIN + (number % columns) * (cell.width + GAP) + cell.width / 2;
  return { x, y: top + Math.floor(number / columns) * (cell.height + GAP) + cell.height / 2 };
}

// Up to 640 cells show the partition's number. If there are more, the cells are plain squares.
function cellFor(size, width) {
  const narrow = width < 600;
  if (size <= 160) return narrow ? { width: 41, height: 30, text: 2 } : { width: 62, height: 38, text: 2 };
  if (size <= 640) return { width: 32, height: 20, text: 1 };
  const side = Math.max(4, Math.min(13, Math.floor(Math.sqrt((width * (narrow ? 600 : 560)) / size)) - GAP));
  return { width: side, height: side, text: 0 };
}

function place(partitions, columns, cell) {
  let top = MARGIN;
  placed = [];
  for (const [topic, lines] of partitions.topics) {
    if (partitions.topics.size > 1) top += LABEL;
    const bottom = top + Math.ceil(lines.length / columns) * (cell.height + GAP);
    placed.push({ topic, top, bottom, columns, cell });
    top = bottom + MARGIN;
  }
}

function prepare(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [pixels, lines] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels || canvas.height !== lines) {
    canvas.width = pixels;
    canvas.height = lines;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// A canvas can't use CSS variables, so the computed colours are read from the legend's swatches.
function colours() {
  const found = {};
  for (const item of byId("Legend").children) {
    const style = getComputedStyle(item.firstElementChild);
    found[item.dataset.level] = { fill: style.backgroundColor, text: style.color };
  }
  found.ink = getComputedStyle(byId("Legend")).color;
  found.font = getComputedStyle(byId("Legend")).fontFamily;
  return found;
}

function paint(context, partitions, look) {
  const held = [];
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { topic, top } of placed) {
    if (look.labels) label(context, look, topic, top);
    const lines = partitions.topics.get(topic);
    for (let number = 0; number < lines.length; number += 1) {
      const box = { x: MARGIN + (number % look.columns) * (look.cell.width + GAP), y: top + Math.floor(number / look.columns) * (look.cell.height + GAP) };
      const holds = look.hold.has(`${topic}:${number}`);
      fill(context, look, box, { number, late: lateness(lines[number]), mark: lines[number].mark, holds });
      if (holds) held.push(box);
    }
  }
  held.forEach((box) => ring(context, look, box));
}

function fill(context, { colours: of, cell, bounds }, { x, y }, { number, late, mark, holds }) {
  const sort = MARKED[mark] ?? levelOf(late, bounds);
  const colour = holds ? of.holds : of[sort];
  context.fillStyle = colour.fill;
  context.fillRect(x, y, cell.width, cell.height);
  if (cell.text === 0) return;
  context.fillStyle = colour.text;
  context.font = `${cell.text === 1 ? "11px" : "600 12px"} ${of.font}`;
  const sign = { unknown: "?", rejected: "!", excluded: "×" }[sort];
  if (cell.text === 1) {
    context.fillText(sign ? `${sign}${number}` : number, x + cell.width / 2, y + cell.height / 2 + 0.5);
    return;
  }
  context.fillText(number, x + cell.width / 2, y + cell.height * 0.32);
  context.font = `11px ${of.font}`;
  context.fillText(sign ?? shortDuration(late), x + cell.width / 2, y + cell.height * 0.72);
}

const lateness = ({ behindMs }) => (behindMs === null ? null : behindMs / 1000);

function levelOf(late, bounds) {
  if (late === null) return "unknown";
  const level = bounds.findIndex((bound) => late <= bound);
  return level < 0 ? 3 : level;
}

// A ring makes a small cell easy to find among thousands.
function ring(context, { colours: of, cell }, { x, y }) {
  const out = cell.text === 0 ? 4 : 1;
  context.lineWidth = cell.text === 0 ? 2.5 : 3;
  context.strokeStyle = of.ink;
  context.strokeRect(x - out, y - out, cell.width + 2 * out, cell.height + 2 * out);
}

function label(context, { colours: of }, topic, top) {
  context.textAlign = "left";
  context.fillStyle = of.ink;
  context.font = `12px ${of.font}`;
  context.fillText(topic, MARGIN, top - LABEL / 2);
  context.textAlign = "center";
}

function describe(canvas, partitions, clock, hold) {
  const bounds = levels(clock);
  const sums = {};
  partitions.each((topic, number, line) => {
    const sort = MARKED[line.mark] ?? levelOf(lateness(line), bounds);
    sums[sort] = (sums[sort] ?? 0) + 1;
  });
  const parts = [[0, "on time"], [1, "a little behind"], [2, "behind"], [3, "far behind"], ["unknown", "not reported"], ["rejected", "rejected"], ["excluded", "excluded"]]
    .filter(([sort]) => sums[sort])
    .map(([sort, words]) => `${count(sums[sort])} ${words}`);
  const holders = hold.size < MAX_NAMED ? plural(hold.size, "partition holds", "partitions hold") : `${MAX_NAMED} or more partitions hold`;
  const holding = hold.size ? `${holders} the clock` : "no partition holds the clock";
  canvas.setAttribute("aria-label", `${plural(partitions.size, "partition clock")}: ${parts.join(", ")}; ${holding}. A table with the same data follows.`);
  setText(byId("MapCount"), parts.join(" · "));
}
