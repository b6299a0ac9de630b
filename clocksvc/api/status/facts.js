// Leader, partitions, heartbeats, configuration and operator overrides of a clock.

import { byId, updateChildren, make, setText, setTone } from "./dom.js";
import { count, dateTime, duration } from "./format.js";

export function draw(clock, nowMs) {
  const facts = new Map([
    ["Leader", [clock.leader ?? "none", clock.leader === null ? "hold" : ""]],
    ["Partitions", partitions(clock.partitions)],
    ["Heartbeats", clock.heartbeats ? heartbeats(clock.heartbeats, nowMs) : ["unknown", ""]],
    ["Holds after", [`${duration(clock.hold_after_seconds)} without a tick`, ""]],
    ["Group", [clock.group, ""]],
    ["Topics", [clock.topics.join(", "), ""]],
  ]);
  updateChildren(byId("Facts"), [...facts.keys()], (name) => make("div", {}, make("dt", { textContent: name }), make("dd")), (item, name) => {
    const [text, sort] = facts.get(name);
    setText(item.lastChild, text);
    setTone(item, sort);
  });
  const overrides = [...(clock.pause ? [`Paused ${audit(clock.pause, nowMs)}`] : []), ...clock.exclusions.map((one) => `${one.topic}:${one.partition} excluded ${audit(one, nowMs)}`)];
  updateChildren(byId("Overrides"), overrides.length ? overrides : ["None."], () => make("li"), setText);
}

function partitions({ known, unknown, excluded }) {
  if (known === null) return ["unknown", "hold"];
  return [`${count(known)} known, ${count(unknown)} not reported, ${count(excluded)} excluded`, unknown ? "hold" : excluded ? "warn" : ""];
}

function heartbeats({ every_seconds: every, last_success_at: last, delivered, failed, expired }, nowMs) {
  if (every === null) return ["off", ""];
  if (delivered === null) return [`every ${duration(every)}; counts unknown`, "warn"];
  const ago = last === null ? null : (nowMs - Date.parse(last)) / 1000;
  const reached = last === null ? "no complete round yet" : `last complete round ${duration(ago)} ago`;
  const text = `every ${duration(every)}; ${reached}; ${count(delivered)} delivered, ${count(failed)} failed, ${count(expired)} expired`;
  return [text, ago === null || ago > 2 * every + 10 ? "warn" : ""];
}

function audit({ by, at, reason }, nowMs) {
  const atMs = Date.parse(at);
  return `by ${by} at ${dateTime(atMs, nowMs)} (${duration((nowMs - atMs) / 1000)} ago): ${reason}`;
}
