// What to do about a hold. The advice depends on the reason, and on what the service's answer says about the partitions
// that hold the clock: rejected reports, the time of the last report, heartbeats. docs/runbook.md has more.

import { secondsSince } from "./ages.js";
import { duration, nameFirst, partitionName, stageName } from "./format.js";
import { stageToBlame } from "./headline.js";
import { heartbeats } from "./heartbeats.js";
import { waitsForText, outcomeText, reasonText } from "./words.js";

const SILENT_S = 30; // consumers repeat the reports of all their partitions every 10 s

const MISCONFIGURED = new Set(["not_milliseconds", "foreign_group", "foreign_topic"]);

const REJECTED = {
  too_far_ahead: () =>
    "Find the producer whose clock is ahead, and correct its time (NTP). If every partition is affected, check the time of Redis's machine. The next valid record counts.",
  no_timestamp: () => "The records have no timestamp. Let the producer set one, or set message.timestamp.type=LogAppendTime for the topic.",
  not_milliseconds: () =>
    "The timestamps look like seconds or microseconds. Report the record's timestamp in milliseconds since 1970. The next valid report counts.",
  foreign_group: (clock) =>
    `These reports come from another consumer group than the clock's group ${clock.group}. Use group ${clock.group} in the consumer (group.id and group=), or change the clock's group in the configuration.`,
  foreign_topic: (clock) =>
    `These reports are for another topic than the clock's (${clock.topics.join(", ")}), or name no topic. Correct the consumer's topic (topic=) or the clock's topics.`,
};

const ADVICE = {
  partition_behind: (clock) => (isObserved(clock) ? observed(clock) : [...rejections(clock), ...silent(clock), ...reported(clock)]),
  partition_unreported: (clock) => (isObserved(clock) ? observed(clock) : [...rejections(clock), ...unreported(clock)]),
  reports_rejected: (clock) => rejections(clock),
  topic_missing: (clock) => [
    `Kafka does not list a topic of this clock (${clock.topics.join(", ")}). If the name is wrong, correct it. If the topic exists, grant the permission Describe. If it is gone for good, remove it from the configuration.`,
  ],
  ahead_of_time: () => [
    "The partitions are ahead of the leader's or Redis's wall clock. Check the time on those machines and on the producers (NTP). The clock continues by itself when both have passed the boundary.",
  ],
  too_far_back: (clock) => [
    "If the consumers still process old records, wait: the clock begins by itself. If their timestamps are wrong, correct the consumer or the producer.",
    `To begin that far in the past, set a larger max_past for clock ${clock.clock}.`,
  ],
  upstream_behind: (clock) => waitsFor(clock),
  metadata_unavailable: () => [
    "Check that the brokers are up and give topic ids (Kafka 2.8 or later), and that this service may describe the topics. The clock continues by itself; no tick is lost.",
  ],
  store_unavailable: () => [
    "Start Redis, or free memory in it (maxmemory). No process needs a restart. Consumers continue, and the skipped ticks follow by themselves.",
  ],
  store_mismatch: () => [
    "Correct redis.url, redis.prefix or tick_log.topic: one of them belongs to another installation. Each installation needs its own redis.prefix and tick_log.topic.",
    "If the Redis of this installation was replaced by an empty one, run clocksvc init --adopt-tick-log. If Kafka was recreated, read the runbook first.",
  ],
  ticklog_unavailable: () => [
    "Check that the brokers are up, that enough replicas are in sync, and that this service may write to the tick log. The clock continues by itself. If the detail names a newer format, run the newer version again.",
  ],
  ticklog_truncated: () => [
    "A person must decide where to continue. First find out who deleted the records, and set cleanup.policy=compact.",
  ],
  ticklog_open_transaction: () => [
    "Find the transaction with kafka-transactions.sh find-hanging and abort it. Only clocksvc may write to the tick log.",
  ],
  leader_stuck: () => [
    "The leader has released its lease, so that another replica can lead. If this repeats, see the leader's log: Kafka or Redis is slow, or its machine is overloaded.",
  ],
  config_conflict: () => ["Finish the rolling update, or stop the replicas with the wrong configuration. The detail above names them."],
  no_leader: () => ["Check that replicas run and reach Redis and Kafka; see their logs. A replica then leads within seconds."],
  paused: () => ["Nothing is broken. Ask the operator before you resume the clock. The skipped ticks then follow."],
};

// What to do about partitions of a clock with source `committed`, by what they wait for.
const OBSERVED = {
  not_observed: () => "Wait some seconds. If it remains, no observer works: see the log of the replica that leads the clock.",
  no_answer: () => "Check that the brokers are up. The partition continues by itself.",
  recreated: ({ group }) => `The topic was recreated. Restart the consumers of group ${group}, so that they commit offsets of the new topic.`,
  above_end: ({ group }) => `The committed offset is above the end: it belongs to a former topic, or records were lost. Restart the consumers of group ${group}.`,
  nothing_committed: ({ group }) =>
    `Start group ${group}, or ask its owner. With auto.offset.reset=latest, it commits nothing before the next record of the partition. Do not set its offset to the end: only its owner knows whether the records there still have to be processed.`,
  leader_unconfirmed: () => "Nothing. The partition passes a later boundary.",
  not_processed: ({ group }) =>
    `Start the consumers of group ${group}, or make them faster. If the committed offset does not move although they run, they do not commit: they must commit after processing.`,
  open_transaction: () => "Wait until the producer's transaction.timeout.ms is over. Then find the transaction with kafka-transactions.sh find-hanging and abort it.",
  too_far_ahead: () => "Find the producer whose clock is ahead, and correct its time (NTP). Without lag, the partition continues by itself after drain_delay.",
  no_timestamp: () => "Let the producer set a timestamp, or set message.timestamp.type=LogAppendTime for the topic. Without lag, the partition continues by itself after drain_delay.",
};

const OTHER = () => ["This reason is newer than this page. See the detail above and the leader's log."];

// What to do if the service does not answer.
export const NO_ANSWER = [
  "Check that replicas run and can be reached from here. Consumers continue, and no tick is lost while the service does not answer.",
];

// Returns {steps, why, command} for the clock's hold. `steps` are sentences. `why` and `command` are null if no command helps.
export function adviceFor(clock) {
  const [why, command] = commandFor(clock) ?? [null, null];
  const steps = (ADVICE[clock.hold.reason] ?? OTHER)(clock);
  return { steps: steps.length ? steps : [`Check the consumers of group ${clock.group}.`], why, command };
}

// The state of each partition that holds the clock. The answer has the state of the ten slowest partitions only.
function holding(clock) {
  const names = new Set(clock.hold.partitions.map(partitionName));
  return clock.slowest.filter((line) => names.has(partitionName(line)));
}

// One sentence for each outcome with which the newest reports were rejected. The detail of the hold reports_rejected
// already says that they were.
function rejections(clock) {
  const outcomes = [...new Set(holding(clock).map((line) => line.refused))].filter(Boolean);
  const known = clock.hold.reason === "reports_rejected" && outcomes.length === 1;
  return outcomes.map((outcome) => {
    const names = namesOf(holding(clock).filter((line) => line.refused === outcome));
    const what = known ? "" : `The newest reports of ${names} are rejected: ${outcomeText(outcome)}. `;
    return `${what}${REJECTED[outcome]?.(clock) ?? "See the consumer's log."}`;
  });
}

function silent(clock) {
  const lines = holding(clock).filter((line) => !line.refused && !isReported(clock, line));
  if (!lines.length) return [];
  const [{ reported_at: last }] = lines;
  const since = last === null ? "" : `, last reported ${duration(secondsSince(clock, last))} ago`;
  return [`Start a consumer of group ${clock.group} for ${namesOf(lines)}${since}. If one runs, see its log: it may have no partition, or be stuck.`];
}

function reported(clock) {
  const lines = holding(clock).filter((line) => !line.refused && isReported(clock, line));
  if (!lines.length) return [];
  const names = namesOf(lines);
  const beats = heartbeats(clock);
  if (beats.late) return [`A consumer reports ${names}, but no newer record arrives. ${beats.text}`];
  if (clock.heartbeats.every_seconds === null) {
    return [`A consumer reports ${names}, but processes no newer record. Without lag the partition is quiet: switch heartbeats on (heartbeat.every). With lag the consumer is stuck at a record or slow: see its log.`];
  }
  return [`A consumer reports ${names}, and heartbeats arrive. So it is stuck at a record, or slower than its producers: see its log and its lag.`];
}

function unreported(clock) {
  const lines = holding(clock).filter((line) => !line.refused);
  if (!lines.length && clock.hold.partitions.length) return [];
  if (!clock.hold.partitions.length) return ["Every partition is excluded. Include at least one: clocksvc include."];
  const beats = heartbeats(clock);
  const off = clock.heartbeats.every_seconds === null;
  const enough = off
    ? "One processed record in each partition is enough. Heartbeats are off: remove heartbeat: null from the clock's configuration, or write a record to partitions without records."
    : "One processed record or heartbeat in each partition is enough.";
  const quiet = beats.late ? `A partition without records needs a heartbeat. ${beats.text}` : enough;
  return [`Start the consumers of group ${clock.group}. If they run, check that they report this clock's topics (${clock.topics.join(", ")}) and have all partitions.`, quiet];
}

const isObserved = ({ source }) => source === "committed";

// One sentence for each reason why partitions that hold the clock wait.
function observed(clock) {
  if (!clock.hold.partitions.length) return unreported(clock);
  const lines = holding(clock).filter((line) => line.waits_for);
  if (!lines.length) return ["See the detail above, and the log of the replica that leads the clock."];
  return [...new Set(lines.map((line) => line.waits_for))].map((waitsFor) => {
    const named = namesOf(lines.filter((line) => line.waits_for === waitsFor));
    return `${named}: ${waitsForText(waitsFor)}. ${OBSERVED[waitsFor]?.(clock) ?? "See the runbook of the newer version."}`;
  });
}

function waitsFor({ clock, hold }) {
  if (!hold.upstream) return ["See the upstream clocks of this clock (after)."];
  const stage = stageToBlame(hold);
  const name = stageName(stage);
  const where = stage.url ? `It belongs to the service at ${stage.url}: see its page.` : "Select it in the pipeline below to see what to do.";
  const why = stage.hold ? `holds: ${reasonText(stage.hold.reason)}` : "has not emitted the next boundary";
  return [`The stage ${name} ${why}. ${where}`, `Nothing is to do for ${clock} itself: its ticks follow by themselves.`];
}

const isReported = (clock, { reported_at: last }) => last !== null && secondsSince(clock, last) <= SILENT_S;
const namesOf = (lines) => nameFirst(lines.map(partitionName), 3);

function commandFor(clock) {
  const name = clock.clock;
  switch (clock.hold.reason) {
    case "partition_behind":
    case "reports_rejected":
      return exclusion(clock);
    case "too_far_back":
      return ["To begin the clock after a time of your choice:", `clocksvc init ${name} --last-tick T`];
    case "ticklog_truncated":
      return ["Then continue after the last time shown:", `clocksvc init ${name} --last-tick ${clock.time ?? "T"}`];
    case "paused":
      return ["To resume it:", `clocksvc resume ${name} --reason "…"`];
    default:
      return null;
  }
}

// An exclusion does not help at a first start, or if a consumer has a wrong setting.
function exclusion(clock) {
  const [first] = clock.hold.partitions;
  if (!first || clock.last_tick === null || holding(clock).some(({ refused }) => MISCONFIGURED.has(refused))) return null;
  return ["Only if ticks without this partition are better than no ticks:", `clocksvc exclude ${clock.clock} ${partitionName(first)} --reason "…"`];
}
