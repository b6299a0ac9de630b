// The holds of the last hours, as a line and as text.

import { byId, updateChildren, make, setText } from "./dom.js";
import { timeOfDay, nameFirst, dateTime, partitionName, plural, duration } from "./format.js";

const LONGEST_MS = 6 * 3_600_000;
const MARKS = 5;
const LISTED = 8;

export function draw(holds, clock, nowMs) {
  const found = holds.list(clock);
  const oldestMs = Math.min(holds.oldestMs ?? nowMs, found.at(-1)?.fromMs ?? nowMs, nowMs - 60_000);
  const fromMs = Math.max(oldestMs, nowMs - LONGEST_MS);
  const place = ({ fromMs: from, untilMs }) => [(100 * (Math.max(from, fromMs) - fromMs)) / (nowMs - fromMs), (100 * ((untilMs ?? nowMs) - Math.max(from, fromMs))) / (nowMs - fromMs)];
  const bars = [...found.map((hold) => ["hold", hold]), ...holds.without.map((gap) => ["without", gap])];
  const byKey = new Map(bars.map(([sort, gap]) => [`${sort}${gap.fromMs}`, [sort, gap]]));
  updateChildren(byId("Line"), [...byKey.keys()], (key) => make("span", { className: byKey.get(key)[0] }), (bar, key) => {
    const [left, width] = place(byKey.get(key)[1]);
    bar.style.left = `${left.toFixed(3)}%`;
    bar.style.width = `${width.toFixed(3)}%`;
  });
  drawAxis(fromMs, nowMs);
  drawWords(found, holds, clock, fromMs, nowMs);
}

function drawAxis(fromMs, nowMs) {
  const letters = nowMs - fromMs < 600_000 ? 8 : 5; // with seconds, or without
  const keys = Array.from({ length: MARKS }, (_, at) => String(at));
  updateChildren(byId("Axis"), keys, () => make("span"), (mark, key) => {
    setText(mark, timeOfDay(fromMs + ((nowMs - fromMs) * Number(key)) / (MARKS - 1)).slice(0, letters));
  });
}

function drawWords(found, holds, clock, fromMs, nowMs) {
  const seconds = (nowMs - fromMs) / 1000;
  setText(byId("HoldsSpan"), `last ${duration(seconds)}`);
  const sum = found.reduce((all, { fromMs: from, untilMs }) => all + (untilMs ?? nowMs) - Math.max(from, fromMs), 0) / 1000;
  setText(byId("HoldsWords"), found.length ? `${plural(found.length, "hold")}, ${duration(sum)} of the last ${duration(seconds)}.` : `No hold in the last ${duration(seconds)}.`);
  const shown = new Map(found.slice(0, LISTED).map((hold) => [String(hold.fromMs), hold]));
  updateChildren(byId("HoldsList"), [...shown.keys()], () => make("li"), (item, key) => setText(item, inWords(shown.get(key), nowMs)));
  const without = holds.without.length ? " The lower lane shows ticks that did not wait for an excluded partition." : "";
  setText(byId("HoldsHow"), `Computed from ticks that are more than ${duration(clock.hold_after_seconds)} apart. Reasons are known only for holds that this page has seen.${without}`);
}

function inWords({ fromMs, untilMs, reason, partitions = [] }, nowMs) {
  const names = partitions.length ? `: ${nameFirst(partitions.map(partitionName), 3)}` : "";
  const until = untilMs === null ? "until now" : `to ${dateTime(untilMs, nowMs)}`;
  const why = reason ? ` · ${reason}${names}` : "";
  return `${dateTime(fromMs, nowMs)} ${until} · ${duration(((untilMs ?? nowMs) - fromMs) / 1000)}${why}`;
}
