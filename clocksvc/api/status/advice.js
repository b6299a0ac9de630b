// What to do about a hold, by its reason, in one or two sentences. docs/runbook.md has more.

const CONSUMERS =
  "See the table of the slowest partitions. If a partition was reported more than 30 s ago, no consumer has it; start a consumer. " +
  "If it was reported later, either the partition is quiet (check the heartbeats), or its consumer is stuck at a record (see its log).";

const ADVICE = {
  partition_behind: (clock) => `Check the consumers of group ${clock.group}. ${CONSUMERS}`,
  partition_unreported: (clock) =>
    `The partitions listed above have not been reported. Check that consumers of group ${clock.group} run and have all partitions. One processed record or heartbeat in each partition is enough.`,
  reports_rejected: () =>
    "The timestamps that consumers report are rejected, because they are too far ahead or missing. Find the producer whose clock is wrong. The next valid record counts.",
  topic_missing: (clock) =>
    `Kafka does not list a topic of this clock (${clock.topics.join(", ")}). Was it deleted, or was the permission to describe it removed? If it is gone for good, remove it from the configuration.`,
  ahead_of_time: () =>
    "Partitions are ahead of the leader's or Redis's wall clock. Check the time on those machines (NTP). The clock continues by itself when both have passed the boundary.",
  metadata_unavailable: () =>
    "Kafka does not describe the topics. Check that the brokers are up, and that this service may describe the topics. The clock continues by itself; no tick is lost.",
  store_unavailable: () =>
    "Start Redis, or free memory in it (maxmemory). No process needs a restart. Consumers continue, and the skipped ticks follow by themselves.",
  store_mismatch: () =>
    "This Redis contains the state of another Kafka cluster, or the tick log belongs to another installation. Correct redis.url, redis.prefix or tick_log.topic. If Kafka was recreated, read the runbook first.",
  ticklog_unavailable: () =>
    "Kafka accepts no records for the tick log. Check that the brokers are up, that enough replicas are in sync, and that this service may write to it. The clock continues by itself.",
  ticklog_truncated: () =>
    "The tick log has lost records. A person must decide where to continue. First find out who deleted the records, and set cleanup.policy=compact.",
  ticklog_open_transaction: () =>
    "Another program has an open transaction in the tick log. Find it with kafka-transactions.sh find-hanging and abort it. Only clocksvc may write to the tick log.",
  leader_stuck: () =>
    "The leader made no progress for several seconds and released its lease, so that another replica can lead. If this repeats, see the leader's log: Kafka or Redis is slow, or its machine is overloaded.",
  config_conflict: () =>
    "Replicas with different configurations of this clock are alive; the line above lists them. Finish the rolling update, or stop the wrong replicas.",
  no_leader: () =>
    "No replica leads this clock. Check that replicas run and reach Redis and Kafka; see their logs. A replica then takes over within seconds.",
  paused: () => "Nothing is broken. An operator paused this clock. Ask the operator before you resume it. The skipped ticks then follow.",
};

const OTHER = () => "This reason is newer than this page: see the detail above and the leader's log.";

// Returns {text, why, command} for the clock's hold. `why` and `command` are null if no command helps.
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
        "Only if ticks without this partition are better than no ticks:",
        `clocksvc exclude ${name} ${first.topic}:${first.partition} --reason "…"`,
      ];
    case "ticklog_truncated":
      return ["Then continue after the last time shown:", `clocksvc init ${name} --last-tick ${clock.time ?? "T"}`];
    case "paused":
      return ["To resume it:", `clocksvc resume ${name} --reason "…"`];
    default:
      return null;
  }
}

// What to do if the service does not answer.
export const NO_ANSWER =
  "Check that replicas run and can be reached from here. Consumers continue, and no tick is lost while the service does not answer.";
