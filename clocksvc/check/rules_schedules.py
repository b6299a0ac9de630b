"""Evaluates the topics of a clock's schedules and due records. Does no I/O."""

from dataclasses import replace
from typing import Any

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.kafka.cluster_facts import TopicFacts
from clocksvc.kafka.schedule_topics import ScheduleTopic, problems, warnings
from clocksvc.kafka.topic_settings import wanted_min_insync

OPERATIONS = ("READ", "WRITE", "DESCRIBE_CONFIGS")
"""Kafka's names of the scheduler's operations on both topics."""


def evaluate_schedule_topic(
    wanted: ScheduleTopic, facts: TopicFacts | None, brokers: int, not_creatable: str | None = None
) -> list[Finding]:
    """Test whether a topic could lose schedules or due records, and whether this user has the scheduler's permissions.

    Args:
        wanted: the topic as clocksvc creates it.
        facts: None if the topic does not exist.
        not_creatable: why this user may not create a missing topic.
    """
    part = f"{wanted.kind} {wanted.topic}"
    if facts is None and not_creatable:
        text = f"does not exist, and can't be created: {not_creatable}"
        to_do = f"allow this user Create on the topic, or create it with {wanted.partitions} partitions"
        return [problem(part, text, to_do, wanted.clock)]
    if facts is None:
        return [ok(part, "does not exist yet: the first scheduler creates it", wanted.clock)]
    topic = _with_facts(wanted, facts, brokers)
    found = [
        problem(part, f"this user lacks {name}", f"allow this user {name} on the topic", wanted.clock)
        for name in (operation.title().replace("_", "") for operation in facts.lacks(*OPERATIONS))
    ]
    found += [problem(part, *_split(text), wanted.clock) for text in problems(topic)]
    found += [warning(part, *_split(text), wanted.clock) for text in warnings(topic)]
    count = f"{topic.partitions} partition{'s' * (topic.partitions != 1)}"
    return found or [ok(part, f"exists: {count}, cleanup.policy={topic.cleanup_policy}", wanted.clock)]


def _with_facts(wanted: ScheduleTopic, facts: TopicFacts, brokers: int) -> ScheduleTopic:
    """Return the topic with its facts. A setting that Kafka does not list gets the wanted value."""
    known = {
        "cleanup_policy": facts.cleanup_policy,
        "timestamp_type": None if facts.timestamp_type is None else facts.timestamp_type.value,
        "max_message_bytes": facts.max_message_bytes,
        "retention_ms": facts.retention_ms,
        "retention_bytes": facts.retention_bytes,
        "min_insync": int(wanted_min_insync(brokers)) if facts.min_insync is None else facts.min_insync,
    }
    listed: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    return replace(wanted, partitions=facts.partitions, replication=facts.replication, brokers=brokers, **listed)


def _split(text: str) -> tuple[str, str]:
    """Return the two parts of a text from `problems` or `warnings`: what is wrong, and what to do."""
    wrong, _, to_do = text.partition(": ")
    return wrong, to_do or "check the topic's replicas"
