// The latest ticks as they come. It is no live region: a screen reader would never be silent.

import { byId, keyed, make, say } from "./dom.js";
import { clockTime, clockTimeMs, plural, span } from "./words.js";

const SHOWN = 12;

// Ticks in order; the newest is shown on top.
export function draw(ticks) {
  const shown = new Map(ticks.slice(-SHOWN).reverse().map((tick) => [tick.time, tick]));
  keyed(byId("Ticks"), [...shown.keys()], (key) => create(shown.get(key)), () => {});
}

export function drawLink(text) {
  say(byId("TicksHow"), text);
}

function create(tick) {
  const emittedMs = Date.parse(tick.emitted_at);
  const late = span(emittedMs / 1000 - tick.timestamp_seconds);
  const item = make("li", {}, make("strong", { textContent: clockTime(tick.timestamp_seconds * 1000) }), " ");
  item.append(make("span", { className: "muted", textContent: `at ${clockTimeMs(emittedMs)}, ${late} after` }));
  if (tick.excluded.length) {
    item.append(" ", make("span", { className: "without", textContent: `without ${plural(tick.excluded.length, "partition")}` }));
  }
  return item;
}
