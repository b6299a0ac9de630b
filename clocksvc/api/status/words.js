// Reasons of holds, outcomes of reports and statuses in words. The code of a reason or an outcome is always shown beside
// its words, because documents, metrics and logs use the code.

const REASONS = {
  partition_behind: "Partitions are behind",
  partition_unreported: "Partitions have not been reported",
  reports_rejected: "The reports of partitions are rejected",
  topic_missing: "A topic is missing",
  ahead_of_time: "Partitions are ahead of the time",
  too_far_back: "The first tick is too far in the past",
  metadata_unavailable: "Kafka does not describe the topics",
  store_unavailable: "Redis is not available",
  store_mismatch: "Redis or the tick log belongs to another installation",
  ticklog_unavailable: "The tick log is not available",
  ticklog_truncated: "The tick log has lost records",
  ticklog_open_transaction: "Another program has an open transaction in the tick log",
  leader_stuck: "The leader makes no progress",
  config_conflict: "Replicas have different configurations",
  no_leader: "No replica leads the clock",
  paused: "An operator paused the clock",
};

const OUTCOMES = {
  too_far_ahead: "timestamp too far ahead",
  no_timestamp: "record without a timestamp",
  not_milliseconds: "timestamp is not in milliseconds",
  foreign_group: "consumer of another group",
  foreign_topic: "another topic",
};

const STATUSES = {
  running: "running",
  catching_up: "catching up",
  holding: "holding",
  paused: "paused",
  starting: "starting",
  rebuilding: "rebuilding",
};

const withCode = (words, code) => (words ? `${words} (${code})` : code);

// A reason as a clause with a capital letter, such as "Partitions are behind (partition_behind)".
export const reasonText = (reason) => withCode(REASONS[reason], reason);

// The outcome of a report in words, such as "timestamp too far ahead (too_far_ahead)".
export const outcomeText = (outcome) => withCode(OUTCOMES[outcome], outcome);

export const isStatus = (code) => Object.hasOwn(STATUSES, code);

export const statusText = (status) => STATUSES[status] ?? status;
