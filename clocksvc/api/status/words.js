// Reasons of holds, outcomes of reports, what partitions wait for, and statuses in words. The code is always shown beside its
// words, because documents, metrics and logs use the code.

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
  upstream_behind: "An upstream clock is behind",
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

const WAITS_FOR = {
  not_observed: "not observed yet",
  no_answer: "its broker does not answer",
  recreated: "the topic was recreated, and the group's offsets do not count yet",
  above_end: "the committed offset is above the end",
  nothing_committed: "the group has committed nothing",
  leader_unconfirmed: "its leader in Kafka is not observed for long enough yet",
  not_processed: "the group has not processed it",
  open_transaction: "a transaction is open",
  too_far_ahead: "a timestamp is too far ahead",
  no_timestamp: "a record has no timestamp",
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

// What a partition of a clock with source `committed` waits for, such as "a transaction is open (open_transaction)".
export const waitsForText = (waitsFor) => withCode(WAITS_FOR[waitsFor], waitsFor);

export const isStatus = (code) => Object.hasOwn(STATUSES, code);

export const statusText = (status) => STATUSES[status] ?? status;
