// What to do about a hold, in a sentence or two by its reason: for a night in which docs/runbook.md is out of reach.

const CONSUMERS =
  "See the table of the slowest partitions: reported long ago (more than 30 s) means that no consumer has the partition, so start one; " +
  "reported lately means that it is quiet (are heartbeats sent?) or that the consumer is stuck at a record: its log says where.";

const ADVICE = {
  partition_behind: (clock) => `Look at the consumers of group ${clock.group}. ${CONSUMERS}`,
  partition_unreported: (clock) =>
    `Nobody has reported the partitions that are named. See that consumers of group ${clock.group} run and have them all; one record or heartbeat in each is enough.`,
  reports_rejected: () =>
    "Timestamps that consumers report are refused: too far ahead of the time, or none. Find the producer whose clock is wrong; the next ordinary record counts.",
  topic_missing: (clock) =>
    `Kafka does not list a topic of this clock (${clock.topics.join(", ")}). Was it deleted, or the right to describe it taken away? One that is gone for good: take it out of the configuration.`,
  ahead_of_time: () =>
    "Partitions are ahead of the leader's or Redis's own clock. Check the time on those machines (NTP); it goes on by itself once both have passed the boundary.",
  metadata_unavailable: () =>
    "Kafka does not describe the topics. Are the brokers up, and may this service describe the topics? It goes on by itself, and makes up for every tick.",
  store_unavailable: () =>
    "Bring Redis back, or make room in it (maxmemory). No process needs a restart; consumers go on meanwhile, and skipped ticks come by themselves.",
  store_mismatch: () =>
    "This Redis holds the state of another Kafka cluster. Correct redis.url or redis.prefix; where Kafka was made anew, see the runbook first.",
  ticklog_unavailable: () =>
    "Kafka takes no records for the tick log. Are the brokers up, with enough in-sync replicas, and may this service write there? It goes on by itself.",
  ticklog_truncated: () =>
    "The tick log has lost records: nothing is guessed, a person must say where to go on. See who deleted them and set cleanup.policy=compact first.",
  ticklog_open_transaction: () =>
    "Somebody else's transaction is open in the tick log. Find it with kafka-transactions.sh find-hanging, abort it, and let nobody but clocksvc write there.",
  config_conflict: () =>
    "Replicas with different configurations of this clock are alive; the line above names them. Finish the rolling update, or end those that are wrong.",
  no_leader: () =>
    "No replica leads this clock. Do they run, and do they reach Redis and Kafka? Their logs say; one takes over within seconds.",
  paused: () => "Nothing is broken: somebody wants this. Ask them before you let it go on; every skipped tick comes then.",
};

const OTHER = () => "This reason is newer than this page: see the detail above and the leader's log.";

// For a hold: {text, why, command}; why and command are null where no command helps.
export function adviceFor(clock) {
  const text = (ADVICE[clock.hold.reason] ?? OTHER)(clock);
  const [why, command] = commandFor(clock) ?? [null, null];
  return { text, why, command };
}

function commandFor(clock) {
  const name = clock.clock;
  const [first] = clock.hold.partitions;
  switch (clock.hold.reason) {
    case "partition_behind":
    case "partition_unreported":
    case "reports_rejected":
      return first && [
        "Only where ticks without it are worth more than none:",
        `clocksvc exclude ${name} ${first.topic}:${first.partition} --reason "…"`,
      ];
    case "ticklog_truncated":
      return ["Then go on after the last time shown:", `clocksvc init ${name} --last-tick ${clock.time ?? "T"}`];
    case "paused":
      return ["To let it go on:", `clocksvc resume ${name} --reason "…"`];
    default:
      return null;
  }
}

// What to do where the service itself is silent.
export const NO_ANSWER =
  "Do replicas run, and is there a way to them from here? Consumers go on meanwhile, and a clock loses nothing while nobody sees it.";
