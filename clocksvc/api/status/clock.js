// One clock's panel: is it moving, how far behind, who holds it, since when, what to do.

import { adviceFor, NO_ANSWER } from "./advice.js";
import { byId, keyed, make, say, show, tone } from "./dom.js";
import { behind, sentence, toneOf, wordOf } from "./verdict.js";
import { clockTime, count, date, moment, named, span } from "./words.js";

const NAMED = 12;

// All of it; `trouble` where the service is silent.
export function draw(clock, nowMs, trouble) {
  const at = clock.timestamp_seconds === null ? null : clock.timestamp_seconds * 1000;
  const shownMs = trouble ? trouble.sinceMs : nowMs;
  tone(byId("State"), trouble ? "lost" : toneOf(clock));
  say(byId("ClockName"), clock.clock);
  say(byId("Word"), trouble ? `? no answer, was ${clock.status}` : wordOf(clock));
  say(byId("Time"), at === null ? "no tick yet" : clockTime(at));
  say(byId("Date"), at === null ? "" : date(at));
  byId("State").classList.toggle("new", at === null);
  say(byId("Behind"), span(behind(clock, shownMs)));
  say(byId("Allowed"), allowed(clock));
  say(byId("Sentence"), trouble ? `Not known: the service is silent since ${moment(trouble.sinceMs, nowMs)} UTC.` : sentence(clock, nowMs));
  say(byId("Detail"), clock.hold?.detail ?? slowest(clock, shownMs));
  drawHolders(clock);
  drawTodo(clock, trouble);
  drawSlowest(clock, shownMs);
}

// The names of the partitions that hold the clock.
export const holders = (clock) => new Set((clock.hold?.partitions ?? []).map(named));

function allowed(clock) {
  const late = clock.max_out_of_orderness_seconds;
  return late ? `${span(late)} of it by max_out_of_orderness` : "";
}

function slowest({ slowest: [first] }, nowMs) {
  if (!first || first.timestamp_ms === null) return "";
  return `The slowest partition is ${named(first)}, ${span((nowMs - first.timestamp_ms) / 1000)} behind.`;
}

function drawHolders(clock) {
  const names = [...holders(clock)];
  const shown = names.slice(0, NAMED);
  if (names.length > NAMED) shown.push(`and ${count(names.length - NAMED)} more`);
  keyed(byId("Holders"), shown, () => make("li"), say);
}

function drawTodo(clock, trouble) {
  show(byId("Todo"), Boolean(clock.hold || trouble));
  if (!clock.hold && !trouble) return;
  const { text, why, command } = trouble ? { text: NO_ANSWER, why: null, command: null } : adviceFor(clock);
  say(byId("Advice"), text);
  show(byId("Command"), command !== null);
  say(byId("CommandWhy"), why ?? "");
  say(byId("CommandText"), command ?? "");
  const link = byId("RunbookLink");
  link.dataset.reason = trouble ? "" : clock.hold.reason;
  say(link, trouble ? "Runbook" : `Runbook: ${clock.hold.reason}`);
}

function drawSlowest(clock, nowMs) {
  const lines = new Map(clock.slowest.map((line) => [named(line), line]));
  const hold = holders(clock);
  keyed(byId("Slowest"), [...lines.keys()], row, (element, name) => {
    const line = lines.get(name);
    const [title, late, reported, note] = element.children;
    element.classList.toggle("holds", hold.has(name));
    say(title, name);
    say(late, line.timestamp_ms === null ? "not known" : span((nowMs - line.timestamp_ms) / 1000));
    say(reported, line.reported_at === null ? "never" : `${span((nowMs - Date.parse(line.reported_at)) / 1000)} ago`);
    say(note, [hold.has(name) ? "◀ holds" : "", line.refused ?? ""].filter(Boolean).join(", "));
  });
}

function row() {
  return make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td"));
}
