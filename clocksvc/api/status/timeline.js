// The holds of a clock: the last hours as a line, and the last days as text.

import { byId, updateChildren, make, setText, setVisible } from "./dom.js";
import { timeOfDay, dateTime, plural, duration } from "./format.js";
import { holdText } from "./headline.js";

const LINE_MS = 6 * 3_600_000;
const SHORTEST_LINE_MS = 60_000;
const MARKS = 5;
const LISTED = 8;

// `holds` is a Holds, and `clock` the state of the same clock.
export function draw(holds, clock) {
  const known = withPresentHold(holds.list ?? [], clock);
  drawLine(known, holds.keptSinceMs, clock.asOfMs);
  setText(byId("HoldsWords"), words(holds, clock.asOfMs));
  // The panel above shows the present hold.
  const past = known.filter(({ untilMs }) => untilMs !== null);
  const shown = new Map(past.slice(0, LISTED).map((hold) => [keyOf(hold), hold]));
  updateChildren(byId("HoldsList"), [...shown.keys()], () => make("li"), (item, key) => setText(item, inWords(shown.get(key), clock.asOfMs)));
  setVisible(byId("HoldsHow"), past.length > LISTED || holds.more);
  setText(byId("HoldsHow"), `The older holds are at v1/clocks/${clock.clock}/holds.`);
}

// The service's list can lack the present hold, for example while no process leads the clock.
function withPresentHold(list, { hold }) {
  if (!hold?.since || list.some(({ untilMs }) => untilMs === null)) return list;
  return [{ ...hold, fromMs: Date.parse(hold.since), untilMs: null }, ...list];
}

const keyOf = ({ fromMs, reason }) => `${fromMs} ${reason}`;

function drawLine(holds, keptSinceMs, nowMs) {
  const fromMs = Math.max(Math.min(keptSinceMs ?? nowMs, nowMs - SHORTEST_LINE_MS), nowMs - LINE_MS);
  const percent = (ms) => (100 * (Math.max(ms, fromMs) - fromMs)) / (nowMs - fromMs);
  const shown = holds.filter(({ untilMs }) => untilMs === null || untilMs > fromMs);
  const byKey = new Map(shown.map((hold) => [keyOf(hold), hold]));
  updateChildren(byId("Line"), [...byKey.keys()], () => make("span", { className: "hold" }), (bar, key) => {
    const { fromMs: began, untilMs } = byKey.get(key);
    bar.style.left = `${percent(began).toFixed(3)}%`;
    bar.style.width = `${(percent(untilMs ?? nowMs) - percent(began)).toFixed(3)}%`;
  });
  drawAxis(fromMs, nowMs);
}

function drawAxis(fromMs, nowMs) {
  const letters = nowMs - fromMs < 600_000 ? 8 : 5; // with seconds, or without
  const keys = Array.from({ length: MARKS }, (_, at) => String(at));
  updateChildren(byId("Axis"), keys, () => make("span"), (mark, key) => {
    setText(mark, timeOfDay(fromMs + ((nowMs - fromMs) * Number(key)) / (MARKS - 1)).slice(0, letters));
  });
}

function words({ list, more, keptSinceMs }, nowMs) {
  if (list === null) return "The service has not sent the holds yet.";
  if (keptSinceMs === null) return "The service has no record of holds yet.";
  const span = `in the last ${duration((nowMs - keptSinceMs) / 1000)}`;
  if (!list.length) return `No hold ${span}.`;
  const sum = list.reduce((all, { fromMs, untilMs }) => all + (untilMs ?? nowMs) - fromMs, 0) / 1000;
  return more ? `More than ${plural(list.length, "hold")} ${span}.` : `${plural(list.length, "hold")} ${span}, ${duration(sum)} in total.`;
}

function inWords(hold, nowMs) {
  const { fromMs, untilMs } = hold;
  return `${dateTime(fromMs, nowMs)} to ${dateTime(untilMs, nowMs)}, ${duration((untilMs - fromMs) / 1000)}. ${holdText(hold, 3)}`;
}
