"""The topics of a clock's schedules and of its due records: how they must be, and how missing ones are created."""

from collections.abc import Mapping
from dataclasses import dataclass

from clocksvc.clock.log_record import MAX_RECORD_BYTES
from clocksvc.errors import DueLogUnavailable, SchedulesMisconfigured, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.topic_settings import (
    DescribedTopic,
    WantedTopic,
    durability_warnings,
    how_to_change,
    wanted_min_insync,
)

TIMEOUT_S = 6.0
SCHEDULES, DUE = "topic of schedules", "topic of due records"
"""What error messages call the topics."""
MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's default. Brokers can have a smaller one for all topics."""
MIN_MESSAGE_BYTES = 2 * MAX_RECORD_BYTES
"""A record with a payload of 64 KiB, its other fields, and the overhead of its batch."""
DUE_RETENTION_MS = 7 * 86_400_000
MIN_RETENTION_MS = 2 * 3_600_000
"""An owner writes its position at least once an hour. The newest one must not be removed before the next one comes."""
USUAL_RETENTION_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ScheduleTopic:
    """One of the two topics, as brokers describe it.

    Attributes:
        kind: SCHEDULES or DUE.
        wanted_partitions: the configured number.
        retention_ms, retention_bytes: -1 for no limit.
        replication: the number of replicas of the partition that has the fewest.
        brokers: how many brokers the cluster has.
    """

    topic: str
    kind: str
    clock: str
    wanted_partitions: int
    partitions: int
    cleanup_policy: str
    timestamp_type: str = "LogAppendTime"
    max_message_bytes: int = MAX_MESSAGE_BYTES
    retention_ms: int = DUE_RETENTION_MS
    retention_bytes: int = -1
    replication: int = 1
    min_insync: int = 1
    brokers: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.topic!r}"


def wanted_schedule_config(brokers: int) -> dict[str, str]:
    """Return the settings of a new topic of schedules."""
    return {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": wanted_min_insync(brokers),
    }


def wanted_due_config(brokers: int) -> dict[str, str]:
    """Return the settings of a new topic of due records."""
    return wanted_schedule_config(brokers) | {
        "cleanup.policy": "delete",
        "retention.ms": str(DUE_RETENTION_MS),
        "retention.bytes": "-1",
    }


def topics_of(spec: SchedulesSpec) -> list[ScheduleTopic]:
    """Return both topics as clocksvc creates them, without their durability."""
    return [
        ScheduleTopic(spec.topic, SCHEDULES, spec.clock, spec.partitions, spec.partitions, "compact"),
        ScheduleTopic(spec.due_topic, DUE, spec.clock, spec.partitions, spec.partitions, "delete"),
    ]


def problems(topic: ScheduleTopic) -> list[str]:
    """List why schedules or due records could be lost. The clock's schedules do not run if there is an entry.

    Each entry has the form `WHAT IS WRONG: WHAT TO DO`.
    """
    found = []
    if topic.partitions != topic.wanted_partitions:
        setting = f"clocks.{topic.clock}.schedules.partitions"
        found.append(
            f"{topic} has {topic.partitions} partitions, but {setting} is {topic.wanted_partitions}: set {setting} to "
            f"{topic.partitions} if both topics have so many. A schedule's partition is computed from its id, so "
            "partitions can't be added: for another number, export the schedules, stop all schedulers, let the workers "
            "finish the topic of due records, then delete both topics, and import the schedules (all steps are in "
            "docs/operations.md, 'Another number of partitions')"
        )
    policies = {policy.strip() for policy in topic.cleanup_policy.split(",")}
    if topic.kind == SCHEDULES and "delete" in policies:
        found.append(
            f"{topic} has cleanup.policy={topic.cleanup_policy}, which deletes schedules: "
            f"{how_to_change(topic.topic, 'cleanup.policy', 'compact')}"
        )
    if topic.kind == DUE and "compact" in policies:
        found.append(
            f"{topic} has cleanup.policy={topic.cleanup_policy}, which keeps only the newest record of each schedule: "
            f"{how_to_change(topic.topic, 'cleanup.policy', 'delete')}"
        )
    if topic.kind == DUE and 0 <= topic.retention_ms < MIN_RETENTION_MS:
        found.append(
            f"{topic} has retention.ms={topic.retention_ms}, so the scheduler's position can be removed: "
            f"{how_to_change(topic.topic, 'retention.ms', str(DUE_RETENTION_MS))}"
        )
    if topic.max_message_bytes < MIN_MESSAGE_BYTES:
        found.append(
            f"{topic} has max.message.bytes={topic.max_message_bytes}, so brokers can reject its records: "
            f"{how_to_change(topic.topic, 'max.message.bytes', str(MAX_MESSAGE_BYTES))}"
        )
    return found


def warnings(topic: ScheduleTopic) -> list[str]:
    """List settings that should be changed. The entries have the same form as `problems`."""
    found = []
    if topic.timestamp_type != "LogAppendTime":
        found.append(
            f"{topic} has message.timestamp.type={topic.timestamp_type}: "
            f"{how_to_change(topic.topic, 'message.timestamp.type', 'LogAppendTime')}"
        )
    if topic.kind == DUE and MIN_RETENTION_MS <= topic.retention_ms < USUAL_RETENTION_MS:
        found.append(
            f"{topic} has retention.ms={topic.retention_ms}, so a consumer that is down for longer loses due records: "
            f"{how_to_change(topic.topic, 'retention.ms', str(DUE_RETENTION_MS))}"
        )
    if topic.kind == DUE and topic.retention_bytes >= 0:
        found.append(
            f"{topic} has retention.bytes={topic.retention_bytes}, so many due records at once can remove others, and "
            f"the scheduler's position: {how_to_change(topic.topic, 'retention.bytes', '-1')}"
        )
    return found + durability_warnings(topic, "stop or lose schedules")


def ensure_schedule_topics(
    spec: SchedulesSpec, settings: Mapping[str, str], time: Time, keep_alive: KeepAlive, timeout_s: float = TIMEOUT_S
) -> list[str]:
    """Create the topics of a clock's schedules that are missing, and check the settings of both.

    Blocks for up to twice `timeout_s`.

    Returns:
        Settings that should be changed, as `warnings` returns them.

    Raises:
        SchedulesMisconfigured: a topic has another number of partitions, or settings with which records could be lost.
        SchedulesUnavailable, DueLogUnavailable: Kafka does not answer, or a request is not authorized.
    """
    found: list[str] = []
    for wanted in topics_of(spec):
        schedules = wanted.kind == SCHEDULES
        topic = InternalTopic(wanted.topic, wanted.kind, SchedulesUnavailable if schedules else DueLogUnavailable)
        config = wanted_schedule_config if schedules else wanted_due_config

        def check(described: DescribedTopic, wanted: ScheduleTopic = wanted) -> None:
            actual = _described(wanted, described)
            if unsafe := problems(actual):
                raise SchedulesMisconfigured("; ".join(unsafe))
            found.extend(warnings(actual))

        deadline = SlicedDeadline(time, timeout_s, keep_alive)
        ensure_topic(topic, WantedTopic(spec.partitions, config, check), settings, timeout_s, deadline)
    return found


def _described(wanted: ScheduleTopic, described: DescribedTopic) -> ScheduleTopic:
    """Return a topic as brokers describe it. A setting that they do not list has Kafka's default."""
    settings = described.settings
    return ScheduleTopic(
        topic=wanted.topic,
        kind=wanted.kind,
        clock=wanted.clock,
        wanted_partitions=wanted.wanted_partitions,
        partitions=described.partitions,
        cleanup_policy=settings.get("cleanup.policy", "delete"),
        timestamp_type=settings.get("message.timestamp.type", "CreateTime"),
        max_message_bytes=int(settings.get("max.message.bytes", str(MAX_MESSAGE_BYTES))),
        retention_ms=int(settings.get("retention.ms", str(DUE_RETENTION_MS))),
        retention_bytes=int(settings.get("retention.bytes", "-1")),
        replication=described.replication,
        min_insync=described.min_insync,
        brokers=described.brokers,
    )
