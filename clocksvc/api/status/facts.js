// Who leads, who is watched, who was excluded by whom, and whether heartbeats come.

import { byId, keyed, make, say, tone } from "./dom.js";
import { count, moment, span } from "./words.js";

export function draw(clock, nowMs) {
  const facts = new Map([
    ["Leader", [clock.leader ?? "nobody", clock.leader === null ? "hold" : ""]],
    ["Partitions", partitions(clock.partitions)],
    ["Heartbeats", clock.heartbeats ? heartbeats(clock.heartbeats, nowMs) : ["not known", ""]],
    ["Holds after", [`${span(clock.hold_after_seconds)} without a tick`, ""]],
    ["Group", [clock.group, ""]],
    ["Topics", [clock.topics.join(", "), ""]],
  ]);
  keyed(byId("Facts"), [...facts.keys()], (name) => make("div", {}, make("dt", { textContent: name }), make("dd")), (item, name) => {
    const [text, sort] = facts.get(name);
    say(item.lastChild, text);
    tone(item, sort);
  });
  const standing = [...(clock.pause ? [`Paused ${said(clock.pause, nowMs)}`] : []), ...clock.exclusions.map((one) => `${one.topic}:${one.partition} excluded ${said(one, nowMs)}`)];
  keyed(byId("Standing"), standing.length ? standing : ["None: every partition counts."], () => make("li"), say);
}

function partitions({ known, unknown, excluded }) {
  if (known === null) return ["not known", "hold"];
  return [`${count(known)} known, ${count(unknown)} not reported, ${count(excluded)} excluded`, unknown ? "hold" : excluded ? "warn" : ""];
}

function heartbeats({ every_seconds: every, last_success_at: last, delivered, failed, expired }, nowMs) {
  if (every === null) return ["switched off", ""];
  if (delivered === null) return [`every ${span(every)}; how they do is not known`, "warn"];
  const ago = last === null ? null : (nowMs - Date.parse(last)) / 1000;
  const reached = last === null ? "no round has reached every partition yet" : `the last whole round was ${span(ago)} ago`;
  const text = `every ${span(every)}; ${reached}; ${count(delivered)} delivered, ${count(failed)} failed, ${count(expired)} expired`;
  return [text, ago === null || ago > 2 * every + 10 ? "warn" : ""];
}

function said({ by, at, reason }, nowMs) {
  const atMs = Date.parse(at);
  return `by ${by} at ${moment(atMs, nowMs)} (${span((nowMs - atMs) / 1000)} ago): ${reason}`;
}
