// All clocks at a glance, the ones that need somebody first.

import { byId, keyed, make, say, show, tone } from "./dom.js";
import { behind, severity, shortWhy, toneOf, wordOf } from "./verdict.js";
import { clockTime, span } from "./words.js";

// One clock alone needs no overview: its panel says it all. `unknown`: it is not known how they are, `nowMs` is when it was.
export function draw(clocks, selected, nowMs, unknown) {
  show(byId("Overview"), clocks.size > 1);
  if (clocks.size < 2) return;
  const names = [...clocks.keys()].sort((a, b) => severity(clocks.get(a)) - severity(clocks.get(b)) || (a < b ? -1 : 1));
  keyed(byId("Clocks"), names, create, (item, name) => update(item, clocks.get(name), name === selected, nowMs, unknown));
}

function create(name) {
  const link = make("a", { href: `#${name}` });
  for (const [tag, part] of [["strong", "name"], ["span", "word"], ["span", "time"], ["span", "behind"], ["span", "why"]]) {
    link.append(make(tag, { className: part }), " ");
  }
  return make("li", {}, link);
}

function update(item, clock, current, nowMs, unknown) {
  const link = item.firstChild;
  const [name, word, time, late, why] = link.children;
  tone(item, unknown ? "lost" : toneOf(clock));
  if (current) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  say(name, clock.clock);
  say(word, unknown ? `? was ${clock.status}` : wordOf(clock));
  say(time, clock.timestamp_seconds === null ? "no tick yet" : clockTime(clock.timestamp_seconds * 1000));
  say(late, clock.timestamp_seconds === null ? "" : `${span(behind(clock, nowMs))} behind`);
  say(why, shortWhy(clock, nowMs));
}
