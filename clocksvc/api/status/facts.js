// Leader, partitions, heartbeats, configuration and operator overrides of a clock.

import { secondsSince } from "./ages.js";
import { byId, updateChildren, make, setText, setTone } from "./dom.js";
import { count, dateTime, duration, plural, stageName } from "./format.js";
import { heartbeats } from "./heartbeats.js";

export function draw(clock) {
  const beats = heartbeats(clock);
  const facts = new Map([
    ["Leader", [clock.leader ?? "None", clock.leader === null ? "hold" : ""]],
    ["Partitions", partitions(clock.partitions)],
    ...sourceFacts(clock, beats),
    ["Interval", [duration(clock.interval_seconds), ""]],
    ["Holds after", [`${duration(clock.hold_after_seconds)} without a tick`, ""]],
    ["Group", [clock.group, ""]],
    ["Topics", [clock.topics.join(", "), ""]],
  ]);
  updateChildren(byId("Facts"), [...facts.keys()], (name) => make("div", {}, make("dt", { textContent: name }), make("dd")), (item, name) => {
    const [text, sort] = facts.get(name);
    setText(item.lastChild, text);
    setTone(item, sort);
  });
  const overrides = [...(clock.pause ? [`Paused ${audit(clock.pause, clock)}`] : []), ...clock.exclusions.map((one) => `${one.topic}:${one.partition} excluded ${audit(one, clock)}`)];
  updateChildren(byId("Overrides"), overrides.length ? overrides : ["None."], () => make("li"), setText);
}

function sourceFacts(clock, beats) {
  if (clock.source !== "committed") return [["Heartbeats", [`${beats.text} ${beats.counts}`.trim(), beats.late ? "warn" : ""]]];
  const { observer, after } = clock;
  const read = observer === null ? "not read yet" : `read ${duration(secondsSince(clock, observer.observed_at))} ago`;
  const skipped = observer?.skipped_records ? `, ${plural(observer.skipped_records, "offset")} skipped` : "";
  const none = observer?.committed_partitions === 0 ? ", the group has none in any partition: is its name right?" : "";
  const source = `Committed offsets, ${read}${none}${skipped}${observer?.problem ? `: ${observer.problem}` : ""}`;
  return [["Source", [source, observer?.problem ? "hold" : observer === null || none ? "warn" : ""]], ...(after.length ? [["After", [after.map(stageName).join(", "), ""]]] : [])];
}

function partitions({ known, unknown, excluded }) {
  if (known === null) return ["Not known, because Redis does not answer", "hold"];
  return [`${count(known)} known, ${count(unknown)} not reported, ${count(excluded)} excluded`, unknown ? "hold" : excluded ? "warn" : ""];
}

function audit({ by, at, reason }, clock) {
  return `by ${by} at ${dateTime(Date.parse(at), clock.answeredMs)} (${duration(secondsSince(clock, at))} ago): ${reason}`;
}
