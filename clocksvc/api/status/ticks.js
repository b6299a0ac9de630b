// The newest ticks. The list is not a live region, because a screen reader would read every tick.

import { byId, updateChildren, make, setText } from "./dom.js";
import { timeOfDay, timeOfDayMs, plural, duration } from "./format.js";

// `ticks` must be ascending. The newest tick is shown on top.
export function draw(ticks) {
  const shown = new Map(ticks.toReversed().map((tick) => [tick.time, tick]));
  updateChildren(byId("Ticks"), [...shown.keys()], (key) => create(shown.get(key)), () => {});
}

export function drawLink(isLive) {
  setText(byId("TicksHow"), isLive ? "live" : "not connected: continues after the last tick shown");
}

function create(tick) {
  const emittedMs = Date.parse(tick.emitted_at);
  const late = duration(emittedMs / 1000 - tick.timestamp_seconds);
  const item = make("li", {}, make("strong", { textContent: timeOfDay(tick.timestamp_seconds * 1000) }), " ");
  item.append(make("span", { className: "muted", textContent: `at ${timeOfDayMs(emittedMs)}, ${late} after` }));
  if (tick.excluded.length) {
    item.append(" ", make("span", { className: "without", textContent: `without ${plural(tick.excluded.length, "partition")}` }));
  }
  return item;
}
