"""What is wrong with a watched topic, from its facts and a sample of its records. Asks nobody."""

from collections.abc import Mapping, Sequence

from clocksvc.check.finding import Finding, ok, problem, span, warning
from clocksvc.check.out_of_orderness import measure
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS, ClockSpec
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import TopicFacts

SHORT_RETENTION_MS = 3_600_000
LOOKS_LIKE_SECONDS = 10**11
"""Below this, milliseconds since the epoch lie before 1973: somebody writes seconds."""
FEW_RECORDS = 100
FOR_EVER_MS = 10 * 365 * 86_400_000


def judge(spec: ClockSpec, topic: str, facts: TopicFacts | None) -> list[Finding]:
    """Existence, timestamps, retention and heartbeats of one topic."""
    part = f"topic {topic}"
    if facts is None:
        to_do = "create it, or correct clocks.topics; clocksvc creates no topic but the tick log"
        return [problem(part, "Kafka does not list it, or does not let this user see it", to_do, spec.name)]
    return [
        ok(part, f"exists, {facts.partitions} partition{'s' * (facts.partitions != 1)}", spec.name),
        *_timestamps(spec, part, topic, facts),
        *_readable(spec, part, facts),
        *_retention(spec, part, topic, facts),
        *_heartbeat(spec, part, facts),
    ]


def judge_sample(spec: ClockSpec, topic: str, sample: Mapping[Partition, Sequence[int]], now_ms: int) -> list[Finding]:
    """Timestamps and disorder of a CreateTime topic's newest records."""
    part = f"topic {topic}"
    timestamps = [timestamp for partition in sample.values() for timestamp in partition]
    if not timestamps:
        text = "has no records to look at: what max_out_of_orderness it needs is not known yet"
        return [ok(part, text, spec.name)]
    return [*_units(spec, part, timestamps, now_ms), *_disorder(spec, part, sample)]


def _timestamps(spec: ClockSpec, part: str, topic: str, facts: TopicFacts) -> list[Finding]:
    if facts.timestamp_type is None:
        text = "Kafka does not tell its message.timestamp.type: it counts as CreateTime"
        return [warning(part, text, "allow this user DescribeConfigs on the topic", spec.name)]
    if facts.timestamp_type is TimestampType.LOG_APPEND_TIME:
        return [ok(part, "message.timestamp.type is LogAppendTime: records are never out of order", spec.name)]
    text = "message.timestamp.type is CreateTime: producers set the timestamps"
    if facts.after_max_ms is None or facts.after_max_ms <= spec.max_future_ms:
        return [ok(part, text, spec.name)]
    allowed = "any time" if facts.after_max_ms >= FOR_EVER_MS else span(facts.after_max_ms)
    text += (
        f", and brokers take records {allowed} ahead (message.timestamp.after.max.ms), while reports of what is more "
        f"than {span(spec.max_future_ms)} ahead (max_future) are refused"
    )
    return [warning(part, text, _alter(topic, "message.timestamp.after.max.ms", spec.max_future_ms), spec.name)]


def _readable(spec: ClockSpec, part: str, facts: TopicFacts) -> list[Finding]:
    if facts.timestamp_type is TimestampType.LOG_APPEND_TIME or not facts.lacks("READ"):
        return []
    text = "this user may not Read it: what max_out_of_orderness it needs can't be measured"
    return [warning(part, text, "allow this user Read on the topic; only check needs it", spec.name)]


def _retention(spec: ClockSpec, part: str, topic: str, facts: TopicFacts) -> list[Finding]:
    deletes = "delete" in (facts.cleanup_policy or "")
    if not deletes or facts.retention_ms is None or not 0 <= facts.retention_ms < SHORT_RETENTION_MS:
        return []
    text = (
        f"retention.ms is {span(facts.retention_ms)}: records can be deleted before a consumer that stood still has "
        "processed them, and no tick tells of it"
    )
    return [warning(part, text, _alter(topic, "retention.ms", 7 * 86_400_000), spec.name)]


def _heartbeat(spec: ClockSpec, part: str, facts: TopicFacts) -> list[Finding]:
    if spec.heartbeat is None or spec.heartbeat.key is not None or "compact" not in (facts.cleanup_policy or ""):
        return []
    text = "is compacted, so Kafka refuses records without a key, and heartbeats have none"
    to_do = f"set clocks.{spec.name}.heartbeat.key to a key that no record of yours has"
    return [problem(part, text, to_do, spec.name)]


def _units(spec: ClockSpec, part: str, timestamps: Sequence[int], now_ms: int) -> list[Finding]:
    total = len(timestamps)
    missing = sum(timestamp < 0 for timestamp in timestamps)
    seconds = sum(0 <= timestamp < LOOKS_LIKE_SECONDS for timestamp in timestamps)
    ahead = sum(timestamp > now_ms + spec.max_future_ms for timestamp in timestamps)
    found = []
    if missing:
        text = f"{missing} of its newest {total} records have no timestamp: reports of them are refused"
        found.append(problem(part, text, "let the producers set timestamps (message format v1 or later)", spec.name))
    if seconds:
        text = f"{seconds} of its newest {total} records have timestamps before 1973, which look like seconds"
        found.append(problem(part, text, "let the producers set milliseconds since the epoch", spec.name))
    if ahead:
        text = (
            f"{ahead} of its newest {total} records are more than {span(spec.max_future_ms)} (max_future) ahead of "
            "this machine's clock: reports of them are refused"
        )
        found.append(warning(part, text, "correct the producers' clocks, or their unit of time", spec.name))
    return found


def _disorder(spec: ClockSpec, part: str, sample: Mapping[Partition, Sequence[int]]) -> list[Finding]:
    seen = measure(sample.values())
    configured_ms = spec.max_out_of_orderness_ms
    effective_ms = CREATE_TIME_OUT_OF_ORDERNESS_MS if configured_ms is None else configured_ms
    text = (
        f"{seen.behind} of its newest {seen.records} records came behind a later timestamp of their partition: 99% of "
        f"all at most {span(seen.p99_ms)}, the worst {span(seen.max_ms)}"
    )
    if seen.max_ms > effective_ms:
        rest = "; the few beyond would be counted as late" if seen.strays else ""
        set_to = f"set clocks.{spec.name}.max_out_of_orderness to {span(seen.recommended_ms)} or more{rest}"
        if seen.strays and seen.recommended_ms <= effective_ms:
            set_to = "find out who sends these few so late: they are counted as late records"
        return [warning(part, f"{text}; max_out_of_orderness is {span(effective_ms)}", set_to, spec.name)]
    text += f"; max_out_of_orderness {span(effective_ms)} covers that"
    least_ms = max(seen.recommended_ms, 1000)
    if seen.records >= FEW_RECORDS and least_ms < effective_ms:
        text += f", {span(least_ms)} would too"
    return [ok(part, text, spec.name)]


def _alter(topic: str, name: str, value: int) -> str:
    return (
        f"kafka-configs --bootstrap-server ADDRESS --alter --entity-type topics --entity-name {topic} "
        f"--add-config {name}={value}"
    )
