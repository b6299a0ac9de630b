"""Evaluates a watched topic: its settings, and the timestamps of its newest records. Does no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from clocksvc.check.finding import Finding, format_duration, ok, problem, warning
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS, ClockSpec, Source
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import TopicFacts

SHORT_RETENTION_MS = 3_600_000
LOOKS_LIKE_SECONDS = 10**11
"""Milliseconds since the epoch. Smaller timestamps would be before 1973, so they are probably seconds."""
FEW_RECORDS = 100
UNLIMITED_MS = 10 * 365 * 86_400_000

_STEPS_S = (0, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1800)
_HOUR_MS = 3_600_000
_OUTLIER_FACTOR = 10
"""The maximum comes from outliers if it is more than this many times the 99th percentile (or a second, if larger)."""


@dataclass(frozen=True, slots=True)
class OutOfOrderness:
    """How far the timestamps of a sample are behind the highest earlier timestamp of their partition.

    Attributes:
        records: the number of records with a timestamp.
        late: the number of records whose timestamp is behind.
        p99_ms, max_ms: the 99th percentile and the maximum of the distance, over all records.
    """

    records: int
    late: int
    p99_ms: int
    max_ms: int

    @property
    def has_outliers(self) -> bool:
        """True if a few records are much further behind than all others."""
        return self.max_ms > _OUTLIER_FACTOR * max(self.p99_ms, 1000)

    @property
    def recommended_ms(self) -> int:
        """The `max_out_of_orderness` that is sufficient for the sample without outliers, rounded up."""
        wanted_ms = self.p99_ms if self.has_outliers else self.max_ms
        full_hours_ms = -(-wanted_ms // _HOUR_MS) * _HOUR_MS
        return next((step * 1000 for step in _STEPS_S if step * 1000 >= wanted_ms), full_hours_ms)


def measure(partitions: Iterable[Sequence[int]]) -> OutOfOrderness:
    """Measure the out-of-orderness of a sample.

    Args:
        partitions: for each partition its timestamps (ms) in order of offset. Missing timestamps (-1) are ignored.
    """
    lags: list[int] = []
    for timestamps in partitions:
        valid = [timestamp for timestamp in timestamps if timestamp >= 0]
        lags += [highest - timestamp for highest, timestamp in zip(accumulate(valid, max), valid, strict=True)]
    lags.sort()
    p99_ms = lags[min(len(lags) - 1, len(lags) * 99 // 100)] if lags else 0
    return OutOfOrderness(len(lags), sum(lag > 0 for lag in lags), p99_ms, lags[-1] if lags else 0)


def evaluate_topic(spec: ClockSpec, topic: str, facts: TopicFacts | None) -> list[Finding]:
    """Evaluate existence, id, timestamp type, permissions, retention and heartbeats of one topic."""
    part = f"topic {topic}"
    if facts is None:
        to_do = "create it, or correct clocks.topics; clocksvc does not create watched topics"
        return [problem(part, "Kafka does not list it, or this user may not describe it", to_do, spec.name)]
    return [
        ok(part, f"exists, {facts.partitions} partition{'s' * (facts.partitions != 1)}", spec.name),
        *_topic_id(spec, part, facts),
        *_timestamp_type(spec, part, topic, facts),
        *_readable(spec, part, facts),
        *_retention(spec, part, topic, facts),
        *_heartbeat(spec, part, facts),
    ]


def evaluate_sample(
    spec: ClockSpec, topic: str, sample: Mapping[Partition, Sequence[int]], now_ms: int
) -> list[Finding]:
    """Evaluate the timestamps of a CreateTime topic's newest records: their unit and their out-of-orderness."""
    part = f"topic {topic}"
    timestamps = [timestamp for partition in sample.values() for timestamp in partition]
    if not timestamps:
        text = "has no records yet, so the max_out_of_orderness that it needs can't be measured"
        return [ok(part, text, spec.name)]
    return [*_timestamps(spec, part, timestamps, now_ms), *_out_of_orderness(spec, part, sample)]


def _topic_id(spec: ClockSpec, part: str, facts: TopicFacts) -> list[Finding]:
    lost = "if it is deleted and created again, the progress in the old topic counts for it, and ticks can be early"
    if facts.id and not spec.require_topic_ids:
        text = f"has a topic id, but kafka.topic_ids is off: {lost}"
        return [warning(part, text, "remove kafka.topic_ids from the configuration", spec.name)]
    if facts.id:
        return []
    if not spec.require_topic_ids:
        return [ok(part, f"has no topic id (kafka.topic_ids is off): {lost}", spec.name)]
    to_do = "use brokers that give topic ids (Apache Kafka 2.8 or later), or accept this with kafka.topic_ids: off"
    return [problem(part, f"has no topic id, so the clock holds: {lost}", to_do, spec.name)]


def _timestamp_type(spec: ClockSpec, part: str, topic: str, facts: TopicFacts) -> list[Finding]:
    if facts.timestamp_type is None:
        text = "this user may not read its message.timestamp.type, so check assumes CreateTime"
        return [warning(part, text, "allow this user DescribeConfigs on the topic", spec.name)]
    if facts.timestamp_type is TimestampType.LOG_APPEND_TIME:
        return [ok(part, "message.timestamp.type is LogAppendTime: records are never out of order", spec.name)]
    text = "message.timestamp.type is CreateTime: producers set the timestamps"
    if facts.after_max_ms is None or facts.after_max_ms <= spec.max_future_ms:
        return [ok(part, text, spec.name)]
    allowed = "any time" if facts.after_max_ms >= UNLIMITED_MS else format_duration(facts.after_max_ms)
    text += (
        f", and brokers accept records {allowed} ahead (message.timestamp.after.max.ms), but reports of timestamps "
        f"more than {format_duration(spec.max_future_ms)} ahead (max_future) are rejected"
    )
    return [warning(part, text, _alter(topic, "message.timestamp.after.max.ms", spec.max_future_ms), spec.name)]


def _readable(spec: ClockSpec, part: str, facts: TopicFacts) -> list[Finding]:
    if spec.source is Source.COMMITTED and facts.lacks("READ"):
        text = "this user lacks Read, so the time of committed records can't be read, and the clock waits"
        return [problem(part, text, "allow the user of `clocksvc serve` Read on the topic", spec.name)]
    if facts.timestamp_type is TimestampType.LOG_APPEND_TIME or not facts.lacks("READ"):
        return []
    text = "this user lacks Read, so the max_out_of_orderness that the topic needs can't be measured"
    return [warning(part, text, "allow this user Read on the topic; only check needs it", spec.name)]


def _retention(spec: ClockSpec, part: str, topic: str, facts: TopicFacts) -> list[Finding]:
    deletes = "delete" in (facts.cleanup_policy or "")
    if not deletes or facts.retention_ms is None or not 0 <= facts.retention_ms < SHORT_RETENTION_MS:
        return []
    text = (
        f"retention.ms is {format_duration(facts.retention_ms)}: if a consumer is down for this long, records are "
        "deleted before they are processed, and ticks do not show this"
    )
    return [warning(part, text, _alter(topic, "retention.ms", 7 * 86_400_000), spec.name)]


def _heartbeat(spec: ClockSpec, part: str, facts: TopicFacts) -> list[Finding]:
    if spec.heartbeat is None or spec.heartbeat.key is not None or "compact" not in (facts.cleanup_policy or ""):
        return []
    text = "is compacted, so Kafka rejects heartbeats, because they have no key"
    to_do = f"set clocks.{spec.name}.heartbeat.key to a key that no other record has"
    return [problem(part, text, to_do, spec.name)]


def _timestamps(spec: ClockSpec, part: str, timestamps: Sequence[int], now_ms: int) -> list[Finding]:
    total = len(timestamps)
    missing = sum(timestamp < 0 for timestamp in timestamps)
    seconds = sum(0 <= timestamp < LOOKS_LIKE_SECONDS for timestamp in timestamps)
    ahead = sum(timestamp > now_ms + spec.max_future_ms for timestamp in timestamps)
    found = []
    if missing:
        text = f"{missing} of its newest {total} records have no timestamp: reports of them are rejected"
        to_do = "make the producers set timestamps (message format v1 or later)"
        found.append(problem(part, text, to_do, spec.name))
    if seconds:
        text = f"{seconds} of its newest {total} records have timestamps before 1973, which look like seconds"
        found.append(problem(part, text, "make the producers set milliseconds since the epoch", spec.name))
    if ahead:
        text = (
            f"{ahead} of its newest {total} records are more than {format_duration(spec.max_future_ms)} (max_future) "
            "ahead of this machine's clock: reports of them are rejected"
        )
        found.append(warning(part, text, "correct the producers' clocks, or their unit of time", spec.name))
    return found


def _out_of_orderness(spec: ClockSpec, part: str, sample: Mapping[Partition, Sequence[int]]) -> list[Finding]:
    seen = measure(sample.values())
    configured_ms = spec.max_out_of_orderness_ms
    effective_ms = CREATE_TIME_OUT_OF_ORDERNESS_MS if configured_ms is None else configured_ms
    most, maximum = format_duration(seen.p99_ms), format_duration(seen.max_ms)
    text = (
        f"{seen.late} of its newest {seen.records} records come after a record of their partition with a later "
        f"timestamp; the 99th percentile of the difference is {most}, the maximum is {maximum}"
    )
    if seen.max_ms > effective_ms:
        recommended = format_duration(seen.recommended_ms)
        rest = "; the few outliers will be counted as late records" if seen.has_outliers else ""
        to_do = f"set clocks.{spec.name}.max_out_of_orderness to {recommended} or more{rest}"
        if seen.has_outliers and seen.recommended_ms <= effective_ms:
            to_do = "find out which producers send these few records so late; they are counted as late records"
        return [warning(part, f"{text}; max_out_of_orderness is {format_duration(effective_ms)}", to_do, spec.name)]
    text += f"; max_out_of_orderness {format_duration(effective_ms)} is sufficient"
    sufficient_ms = max(seen.recommended_ms, 1000)
    if seen.records >= FEW_RECORDS and sufficient_ms < effective_ms:
        text += f", and {format_duration(sufficient_ms)} would be, too"
    return [ok(part, text, spec.name)]


def _alter(topic: str, name: str, value: int) -> str:
    return (
        f"kafka-configs --bootstrap-server ADDRESS --alter --entity-type topics --entity-name {topic} "
        f"--add-config {name}={value}"
    )
