// The holds of the last hours, as a line and in words.

import { byId, keyed, make, say } from "./dom.js";
import { clockTime, listed, moment, named, plural, span } from "./words.js";

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
  keyed(byId("Line"), [...byKey.keys()], (key) => make("span", { className: byKey.get(key)[0] }), (bar, key) => {
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
  keyed(byId("Axis"), keys, () => make("span"), (mark, key) => {
    say(mark, clockTime(fromMs + ((nowMs - fromMs) * Number(key)) / (MARKS - 1)).slice(0, letters));
  });
}

function drawWords(found, holds, clock, fromMs, nowMs) {
  const seconds = (nowMs - fromMs) / 1000;
  say(byId("HoldsSpan"), `the last ${span(seconds)}`);
  const sum = found.reduce((all, { fromMs: from, untilMs }) => all + (untilMs ?? nowMs) - Math.max(from, fromMs), 0) / 1000;
  say(byId("HoldsWords"), found.length ? `${plural(found.length, "hold")}, ${span(sum)} of the last ${span(seconds)}.` : `No hold in the last ${span(seconds)}.`);
  const shown = new Map(found.slice(0, LISTED).map((hold) => [String(hold.fromMs), hold]));
  keyed(byId("HoldsList"), [...shown.keys()], () => make("li"), (item, key) => say(item, inWords(shown.get(key), nowMs)));
  const without = holds.without.length ? " The lower lane: ticks that did not wait for an excluded partition." : "";
  say(byId("HoldsHow"), `Read from the ticks: more than ${span(clock.hold_after_seconds)} between two of them. Reasons are known of what this page has seen itself.${without}`);
}

function inWords({ fromMs, untilMs, reason, partitions = [] }, nowMs) {
  const names = partitions.length ? `: ${listed(partitions.map(named), 3)}` : "";
  const until = untilMs === null ? "until now" : `to ${moment(untilMs, nowMs)}`;
  const why = reason ? ` · ${reason}${names}` : "";
  return `${moment(fromMs, nowMs)} ${until} · ${span(((untilMs ?? nowMs) - fromMs) / 1000)}${why}`;
}
