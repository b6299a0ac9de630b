// One clock's panel: its time, how far it is behind, its hold, and what to do.

import { adviceFor, NO_ANSWER } from "./advice.js";
import { byId, updateChildren, make, setText, setVisible, setTone } from "./dom.js";
import { behind, sentence, toneOf, wordOf } from "./headline.js";
import { timeOfDay, count, date, dateTime, partitionName, duration } from "./format.js";

const MAX_NAMED = 12;

// Draw the panel; `outage` is null while the service answers.
export function draw(clock, nowMs, outage) {
  const at = clock.timestamp_seconds === null ? null : clock.timestamp_seconds * 1000;
  const shownMs = outage ? outage.sinceMs : nowMs;
  setTone(byId("State"), outage ? "lost" : toneOf(clock));
  setText(byId("ClockName"), clock.clock);
  setText(byId("Word"), outage ? `? no answer, was ${clock.status}` : wordOf(clock));
  setText(byId("Time"), at === null ? "no tick yet" : timeOfDay(at));
  setText(byId("Date"), at === null ? "" : date(at));
  byId("State").classList.toggle("new", at === null);
  setText(byId("Behind"), duration(behind(clock, shownMs)));
  setText(byId("Allowed"), allowed(clock));
  setText(byId("Sentence"), outage ? `Unknown: no answer from the service since ${dateTime(outage.sinceMs, nowMs)} UTC.` : sentence(clock, nowMs));
  setText(byId("Detail"), clock.hold?.detail ?? slowest(clock, shownMs));
  drawHolders(clock);
  drawTodo(clock, outage);
  drawSlowest(clock, shownMs);
}

// The names of the partitions that hold the clock.
export const holders = (clock) => new Set((clock.hold?.partitions ?? []).map(partitionName));

function allowed(clock) {
  const late = clock.max_out_of_orderness_seconds;
  return late ? `including ${duration(late)} max_out_of_orderness` : "";
}

function slowest({ slowest: [first] }, nowMs) {
  if (!first || first.timestamp_ms === null) return "";
  return `The slowest partition is ${partitionName(first)}, ${duration((nowMs - first.timestamp_ms) / 1000)} behind.`;
}

function drawHolders(clock) {
  const names = [...holders(clock)];
  const shown = names.slice(0, MAX_NAMED);
  if (names.length > MAX_NAMED) shown.push(`and ${count(names.length - MAX_NAMED)} more`);
  updateChildren(byId("Holders"), shown, () => make("li"), setText);
}

function drawTodo(clock, outage) {
  setVisible(byId("Todo"), Boolean(clock.hold || outage));
  if (!clock.hold && !outage) return;
  const { text, why, command } = outage ? { text: NO_ANSWER, why: null, command: null } : adviceFor(clock);
  setText(byId("Advice"), text);
  setVisible(byId("Command"), command !== null);
  setText(byId("CommandWhy"), why ?? "");
  setText(byId("CommandText"), command ?? "");
  const link = byId("RunbookLink");
  link.dataset.reason = outage ? "" : clock.hold.reason;
  setText(link, outage ? "Runbook" : `Runbook: ${clock.hold.reason}`);
}

function drawSlowest(clock, nowMs) {
  const lines = new Map(clock.slowest.map((line) => [partitionName(line), line]));
  const hold = holders(clock);
  updateChildren(byId("Slowest"), [...lines.keys()], row, (element, name) => {
    const line = lines.get(name);
    const [title, late, reported, note] = element.children;
    element.classList.toggle("holds", hold.has(name));
    setText(title, name);
    setText(late, line.timestamp_ms === null ? "unknown" : duration((nowMs - line.timestamp_ms) / 1000));
    setText(reported, line.reported_at === null ? "never" : `${duration((nowMs - Date.parse(line.reported_at)) / 1000)} ago`);
    setText(note, [hold.has(name) ? "◀ holds" : "", line.refused ?? ""].filter(Boolean).join(", "));
  });
}

function row() {
  return make("tr", {}, make("th", { scope: "row" }), make("td"), make("td"), make("td"));
}
