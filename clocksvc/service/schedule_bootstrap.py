"""Creates the implementations for schedules from the settings: topics, ticks, partitions, sinks, the outbox's topic."""

from collections.abc import Callable, Collection
from functools import lru_cache, partial

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.due_sink import DueSink
from clocksvc.interfaces.outbox import OutboxTopic
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.tick_source import TickSource
from clocksvc.interfaces.time import Time
from clocksvc.kafka import schedule_topics as kafka_topics
from clocksvc.kafka.compacted_topic import KafkaCompactedTopic
from clocksvc.kafka.due_log import KafkaDueLog
from clocksvc.kafka.log_follower import KafkaLogFollower
from clocksvc.kafka.outbox_topic import KafkaOutboxTopic
from clocksvc.kafka.schedule_writer import KafkaScheduleWriter
from clocksvc.scheduler.followed_ticks import FollowedTicks
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

_TASKS = 1_000
"""For how many tasks of schedules the routes are remembered."""


def ensure_schedule_topics(settings: Settings, spec: SchedulesSpec, time: Time) -> list[str]:
    """Create and check the topics of a clock's schedules: see `kafka.schedule_topics.ensure_schedule_topics`."""
    return kafka_topics.ensure_schedule_topics(spec, settings.kafka_settings(), time, lambda: None)


def open_ticks(settings: Settings, clocks: Collection[str], time: Time) -> FollowedTicks:
    """Return the ticks of some clocks, for their schedules. The caller starts and stops it."""
    return FollowedTicks(
        settings.redis.prefix,
        clocks,
        partial(bootstrap.open_tick_log, settings, time=time),
        KafkaLogFollower(settings.tick_log.topic, settings.kafka_settings()),
        partial(bootstrap.check_owner, settings),
        time,
    )


def open_schedule_partition(
    settings: Settings,
    spec: SchedulesSpec,
    number: int,
    ticks: TickSource,
    time: Time,
    on_state: Callable[[], None],
    sink: DueSink | None,
) -> SchedulePartition:
    """Return one partition of a clock's schedules. The caller runs it, and closes it.

    Args:
        sink: where due schedules go instead of the topic of due records; None for the topic.
    """
    kafka = settings.kafka_settings()
    return SchedulePartition(
        spec,
        number,
        schedules=lambda: KafkaCompactedTopic(spec.topic, kafka, time),
        due_log=KafkaDueLog(spec.due_topic, number, kafka, time),
        writer=KafkaScheduleWriter(spec.topic, number, kafka, time),
        ticks=ticks,
        time=time,
        sink=sink,
        on_state=on_state,
    )


def open_outbox_topic(settings: Settings, clock: str, time: Time) -> OutboxTopic:
    """Return the topic of a clock's schedules, as the relay of an outbox writes it. It does not connect before `fence`.

    Raises:
        UnknownClock: no clock with this name is configured.
        InvalidValue: the clock has no schedules.
    """
    settings.clock_spec(clock)
    spec = settings.schedules_specs().get(clock)
    if spec is None:
        raise InvalidValue(
            f"clocks.{clock}.schedules", None, "wanted such as {partitions: 8}, for a clock with schedules"
        )
    return KafkaOutboxTopic(spec, bootstrap.open_topics(settings), settings.kafka_settings(), time)


def open_taskbroker_sink(settings: Settings, time: Time) -> DueSink:
    """Return Sentry's task platform as a sink of due schedules, for one thread. It connects when one is due.

    Raises:
        SettingsError: the packages for the task platform are not installed.
    """
    from clocksvc.kafka.taskbroker import TaskbrokerDueSink

    task_of = lru_cache(_TASKS)(settings.platform_task_of_schedule)
    return TaskbrokerDueSink(task_of, bootstrap.taskbroker_producer(settings, time), time)
