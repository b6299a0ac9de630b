// The list of all clocks, the most severe first.

import { behindSeconds } from "./ages.js";
import { byId, updateChildren, make, setText, setVisible, setTone } from "./dom.js";
import { severity, shortReason, toneOf, wordOf } from "./headline.js";
import { timeOfDay, duration } from "./format.js";
import { statusText } from "./words.js";

// Draw the list. It is hidden if there is only one clock. `unknown` is true if the service does not answer.
export function draw(clocks, selected, unknown) {
  setVisible(byId("Overview"), clocks.size > 1);
  if (clocks.size < 2) return;
  const names = [...clocks.keys()].sort((a, b) => severity(clocks.get(a)) - severity(clocks.get(b)) || (a < b ? -1 : 1));
  updateChildren(byId("Clocks"), names, create, (item, name) => update(item, clocks.get(name), name === selected, unknown));
}

function create(name) {
  const link = make("a", { href: `#${name}` });
  for (const [tag, part] of [["strong", "name"], ["span", "word"], ["span", "time"], ["span", "behind"], ["span", "why"]]) {
    link.append(make(tag, { className: part }), " ");
  }
  return make("li", {}, link);
}

function update(item, clock, current, unknown) {
  const link = item.firstChild;
  const [name, word, time, late, why] = link.children;
  setTone(item, unknown ? "lost" : toneOf(clock));
  if (current) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  setText(name, clock.clock);
  setText(word, unknown ? `? was ${statusText(clock.status)}` : wordOf(clock));
  setText(time, clock.timestamp_seconds === null ? "no tick yet" : timeOfDay(clock.timestamp_seconds * 1000));
  setText(late, clock.timestamp_seconds === null ? "" : `${duration(behindSeconds(clock))} behind`);
  setText(why, shortReason(clock));
}
