"""Reasons of holds, outcomes of reports, and what partitions wait for, in words. The code is shown, too, because
documents, metrics and logs use it.

The status page has the same words (`api/status/words.js`).
"""

from collections.abc import Mapping

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome
from clocksvc.committed.rules import WaitsFor

REASONS: Mapping[str, str] = {
    Reason.PARTITION_BEHIND: "Partitions are behind",
    Reason.PARTITION_UNREPORTED: "Partitions have not been reported",
    Reason.REPORTS_REJECTED: "The reports of partitions are rejected",
    Reason.TOPIC_MISSING: "A topic is missing",
    Reason.AHEAD_OF_TIME: "Partitions are ahead of the time",
    Reason.TOO_FAR_BACK: "The first tick is too far in the past",
    Reason.METADATA_UNAVAILABLE: "Kafka does not describe the topics",
    Reason.STORE_UNAVAILABLE: "Redis is not available",
    Reason.STORE_MISMATCH: "Redis or the tick log belongs to another installation",
    Reason.TICKLOG_UNAVAILABLE: "The tick log is not available",
    Reason.TICKLOG_TRUNCATED: "The tick log has lost records",
    Reason.TICKLOG_OPEN_TRANSACTION: "Another program has an open transaction in the tick log",
    Reason.UPSTREAM_BEHIND: "An upstream clock is behind",
    Reason.LEADER_STUCK: "The leader makes no progress",
    Reason.CONFIG_CONFLICT: "Replicas have different configurations",
    Reason.NO_LEADER: "No replica leads the clock",
    Reason.PAUSED: "An operator paused the clock",
}
WAITS_FOR: Mapping[str, str] = {
    WaitsFor.NOT_OBSERVED: "not observed yet",
    WaitsFor.NO_ANSWER: "its broker does not answer",
    WaitsFor.RECREATED: "the topic was recreated, and the group's offsets do not count yet",
    WaitsFor.ABOVE_END: "the committed offset is above the end",
    WaitsFor.NOTHING_COMMITTED: "the group has committed nothing",
    WaitsFor.LEADER_UNCONFIRMED: "its leader in Kafka is not observed for long enough yet",
    WaitsFor.NOT_PROCESSED: "the group has not processed it",
    WaitsFor.OPEN_TRANSACTION: "a transaction is open",
    WaitsFor.TOO_FAR_AHEAD: "a timestamp is too far ahead",
    WaitsFor.NO_TIMESTAMP: "a record has no timestamp",
}
"""What a partition of a clock with source `committed` waits for."""
OUTCOMES: Mapping[str, str] = {
    Outcome.TOO_FAR_AHEAD: "timestamp too far ahead",
    Outcome.NO_TIMESTAMP: "record without a timestamp",
    Outcome.NOT_MILLISECONDS: "timestamp is not in milliseconds",
    Outcome.FOREIGN_GROUP: "consumer of another group",
    Outcome.FOREIGN_TOPIC: "another topic",
}


def reason_text(reason: str) -> str:
    """Return a reason as a clause with a capital letter, such as `Partitions are behind (partition_behind)`."""
    return _with_code(REASONS, reason)


def outcome_text(outcome: str) -> str:
    """Return the outcome of a report in words, such as `timestamp too far ahead (too_far_ahead)`."""
    return _with_code(OUTCOMES, outcome)


def waits_for_text(waits_for: str) -> str:
    """Return what a partition waits for in words, such as `the group has not processed it (not_processed)`."""
    return _with_code(WAITS_FOR, waits_for)


def _with_code(words: Mapping[str, str], code: str) -> str:
    return f"{words[code]} ({code})" if code in words else str(code)
