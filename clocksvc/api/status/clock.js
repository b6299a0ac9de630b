// One clock's panel: its time, how far it is behind, its hold, and what to do.

import { adviceFor, NO_ANSWER } from "./advice.js";
import { behindSeconds, secondsSince } from "./ages.js";
import { byId, updateChildren, make, partitionRow, setPartition, setText, setVisible, setTone } from "./dom.js";
import { sentence, toneOf, wordOf } from "./headline.js";
import { asSentence, timeOfDay, count, date, dateTime, partitionName, duration } from "./format.js";
import { waitsForText, outcomeText, statusText } from "./words.js";

const MAX_NAMED = 12;
const OBSERVED_SECTION = "Clocks from committed offsets"; // of the runbook

// Draw the panel; `outage` is null while the service answers.
export function draw(clock, partitions, pace, outage) {
  const at = clock.timestamp_seconds === null ? null : clock.timestamp_seconds * 1000;
  setTone(byId("State"), outage ? "lost" : toneOf(clock));
  setText(byId("ClockName"), clock.clock);
  setText(byId("Word"), outage ? `? no answer, was ${statusText(clock.status)}` : wordOf(clock));
  setVisible(byId("TimeBox"), at !== null);
  setVisible(byId("BehindBox"), at !== null);
  setText(byId("Time"), at === null ? "" : timeOfDay(at));
  setText(byId("Date"), at === null ? "" : date(at));
  setText(byId("Behind"), at === null ? "" : duration(behindSeconds(clock)));
  setText(byId("Allowed"), allowed(clock));
  setText(byId("Sentence"), outage ? `Not known: no answer from the service since ${dateTime(outage.sinceMs, clock.asOfMs)} UTC.` : sentence(clock, pace));
  drawDetail(clock);
  drawHolders(clock);
  drawTodo(clock, outage);
  drawSlowest(clock, partitions);
}

function allowed({ max_out_of_orderness_seconds: late }) {
  return late ? `including ${duration(late)} max_out_of_orderness` : "";
}

// The names of the partitions that hold the clock.
export const holders = (clock) => new Set((clock.hold?.partitions ?? []).map(partitionName));

// The service joins the statements of a detail by semicolons.
function drawDetail(clock) {
  const lines = [...new Set((clock.hold?.detail ?? "").split("; ").filter(Boolean).map(asSentence))];
  updateChildren(byId("Detail"), lines, () => make("li"), setText);
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
  const { steps, why, command } = outage ? { steps: NO_ANSWER, why: null, command: null } : adviceFor(clock);
  updateChildren(byId("Advice"), steps, () => make("li"), setText);
  setVisible(byId("Command"), command !== null);
  setText(byId("CommandWhy"), why ?? "");
  setText(byId("CommandText"), command ?? "");
  const link = byId("RunbookLink");
  link.dataset.reason = outage ? "" : clock.hold.reason;
  link.dataset.section = !outage && clock.source === "committed" && clock.hold.reason.startsWith("partition_") ? OBSERVED_SECTION : "";
  setText(link, outage ? "Runbook" : `Runbook: ${clock.hold.reason}`);
}

function drawSlowest(clock, partitions) {
  const lines = new Map(clock.slowest.map((line) => [partitionName(line), line]));
  const hold = holders(clock);
  updateChildren(byId("Slowest"), [...lines.keys()], partitionRow, (element, name) => {
    const line = lines.get(name);
    const [, late, reported] = element.children;
    const behind = partitions.behindSeconds(line);
    setPartition(element, name, hold.has(name), noteOf(line));
    setText(late, behind === null ? "not known" : duration(behind));
    setText(reported, line.reported_at === null ? "never" : `${duration(secondsSince(clock, line.reported_at))} ago`);
  });
}

function noteOf({ refused, waits_for: waitsFor, committed_offset: committed, end_offset: end }) {
  if (refused) return `Rejected: ${outcomeText(refused)}.`;
  if (!waitsFor) return "";
  const offsets = end === null ? "" : ` Committed ${committed === null ? "nothing" : count(committed)}, end ${count(end)}.`;
  return `${asSentence(waitsForText(waitsFor))}${offsets}`;
}
