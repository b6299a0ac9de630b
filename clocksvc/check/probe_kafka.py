"""Reads facts about the configured Kafka, the tick log, and each clock's topics and group. Writes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from clocksvc.check import rules_kafka, rules_schedules, rules_topic
from clocksvc.check.finding import Finding, problem, warning
from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.log_record import TICK, decode_message
from clocksvc.clock.logs import LOGS, group_by_log
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import ClocksvcError, MetadataUnavailable, UnreadableRecord
from clocksvc.interfaces.checkpoints import checkpoint_topic
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import Described, GroupFacts, LogRecord, TopicFacts
from clocksvc.kafka.inspector import KafkaInspector
from clocksvc.kafka.schedule_topics import topics_of
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

SAMPLES_TIMEOUT_S = 5.0
NEWEST_TIMEOUT_S = 3.0
NEWEST_OFFSETS = 5_000
"""How many offsets of each log are read. A leader writes the name of its installation at least every 2,000 records, and
each transaction has one more offset."""
RECORDS_PER_PARTITION = 1_000
MAX_RECORDS = 50_000
"""How many records are read for the samples of all clocks. A broker needs one or two seconds for this number."""


class NewestTick(NamedTuple):
    """The broker's time when it appended the newest tick, and the leader's when it emitted it."""

    appended_ms: int | None
    emitted_ms: int | None

    @property
    def broker_behind_ms(self) -> int | None:
        """How far the broker's clock was behind the leader's, at least; None if it is not known."""
        if self.appended_ms is None or self.emitted_ms is None:
            return None
        return self.emitted_ms - self.appended_ms


def probe_kafka(
    settings: Settings, time: Time, groups: dict[str, GroupFacts], newest: list[NewestTick]
) -> Iterator[Finding]:
    """Yield the findings on Kafka.

    Args:
        groups: gets the consumer group of each clock that can be described, by the clock's name.
        newest: gets the times of the newest tick.

    Raises:
        MetadataUnavailable: Kafka does not answer, or a request is not authorized.
    """
    with KafkaInspector(settings.kafka_settings(), time) as inspector:
        yield from _probe(inspector, settings, time, groups, newest)


def _probe(
    inspector: KafkaInspector,
    settings: Settings,
    time: Time,
    groups: dict[str, GroupFacts],
    newest: list[NewestTick],
) -> Iterator[Finding]:
    specs = list(settings.clock_specs().values())
    yield from rules_kafka.evaluate_heartbeats(specs)
    yield from rules_kafka.evaluate_shared_heartbeats(specs)
    cluster = inspector.cluster()
    yield from rules_kafka.evaluate_cluster(cluster)
    yield from _tick_log(inspector, settings, cluster.brokers, time, newest)
    topics = inspector.topics([topic for spec in specs for topic in spec.topics])
    for spec in specs:
        yield from _topics(spec, topics)
    described = inspector.groups([spec.group for spec in specs])
    for spec in specs:
        if spec.group in described.found:
            groups[spec.name] = described.found[spec.group]
        yield from _group(spec, described, topics)
    yield from _schedule_topics(inspector, settings, cluster.brokers)
    yield from _task_topics(inspector, settings)
    yield from _samples(inspector, specs, topics, time)


def _topics(spec: ClockSpec, topics: Described[TopicFacts]) -> Iterator[Finding]:
    for topic in spec.topics:
        if topic in topics.failures:
            to_do = "allow this user Describe on the topic"
            yield problem(f"topic {topic}", topics.failures[topic], to_do, spec.name)
        else:
            yield from rules_topic.evaluate_topic(spec, topic, topics.found.get(topic))


def _tick_log(
    inspector: KafkaInspector, settings: Settings, brokers: int, time: Time, newest: list[NewestTick]
) -> Iterator[Finding]:
    tick_log = settings.tick_log
    part = f"tick log {tick_log.topic}"
    try:
        facts = inspector.topic(tick_log.topic)
        if facts is None and (reason := inspector.why_not_creatable(tick_log.topic)):
            yield rules_kafka.tick_log_not_creatable(part, reason)
            return
        yield from rules_kafka.evaluate_tick_log(part, tick_log.topic, facts, brokers, tick_log.keep)
        records = _records(inspector, settings, facts)
        yield from rules_kafka.evaluate_owner(part, bootstrap.installation_of(settings), _marks(settings), records)
        newest.append(_newest_tick(records))
        yield rules_kafka.evaluate_broker_time(*newest[-1], time.now_ms())
    except MetadataUnavailable as error:
        yield problem(part, str(error), "allow this user Read, Write, DescribeConfigs and Create on the topic")
    with suppress(MetadataUnavailable):  # only dispatchers need permissions on this topic
        topic = checkpoint_topic(tick_log.topic)
        yield from rules_kafka.evaluate_checkpoint_topic(topic, inspector.topic(topic), brokers)


def _records(inspector: KafkaInspector, settings: Settings, facts: TopicFacts | None) -> list[LogRecord]:
    """Return the newest records of all logs, also of those without a configured clock."""
    records: list[LogRecord] = []
    if facts is not None and facts.partitions == LOGS and not facts.lacks("READ"):
        own = group_by_log(settings.clocks).keys()
        for logs in (own, set(range(LOGS)) - own):
            records += inspector.tick_log(settings.tick_log.topic, logs, NEWEST_OFFSETS, NEWEST_TIMEOUT_S)
    return records


def _marks(settings: Settings) -> dict[int, StoreMark | None] | None:
    """Return the marks of all logs in Redis; None if Redis does not answer."""
    server = bootstrap.open_store_server(settings)
    try:
        return {log: server.leases(log).read_mark() for log in range(LOGS)}
    except ClocksvcError:
        return None  # the probe of Redis reports it


def _newest_tick(records: list[LogRecord]) -> NewestTick:
    """Return the times of the newest tick with a broker's timestamp. Both are None if there is no such tick."""
    for record in sorted(records, key=lambda one: one.appended_ms or 0, reverse=True):
        if record.appended_ms is not None and record.message.type == TICK:
            with suppress(UnreadableRecord):
                tick = decode_message(record.message).tick
                return NewestTick(record.appended_ms, None if tick is None else tick.emitted_at_ms)
    return NewestTick(None, None)


def _schedule_topics(inspector: KafkaInspector, settings: Settings, brokers: int) -> Iterator[Finding]:
    for spec in settings.schedules_specs().values():
        for wanted in topics_of(spec):
            try:
                facts = inspector.topic(wanted.topic)
                reason = inspector.why_not_creatable(wanted.topic) if facts is None else None
            except MetadataUnavailable as error:
                to_do = "allow this user Read, Write, DescribeConfigs and Create on the topic"
                yield problem(f"{wanted.kind} {wanted.topic}", str(error), to_do, spec.clock)
                continue
            yield from rules_schedules.evaluate_schedule_topic(wanted, facts, brokers, reason)


def _task_topics(inspector: KafkaInspector, settings: Settings) -> Iterator[Finding]:
    for topic in settings.routes().topics():
        try:
            facts = inspector.topic(topic)
        except MetadataUnavailable as error:
            yield warning(f"task topic {topic}", str(error), "allow this user Describe on the topic")
            continue
        yield from rules_kafka.evaluate_task_topic(topic, facts, settings.taskbroker.replicas.get(topic, 1))


def _group(spec: ClockSpec, groups: Described[GroupFacts], topics: Described[TopicFacts]) -> Iterator[Finding]:
    if spec.group in groups.failures:
        to_do = "allow this user Describe on the group"
        yield problem(f"group {spec.group}", groups.failures[spec.group], to_do, spec.name)
        return
    partitions = [one for topic in spec.topics for one in _partitions(topic, topics.found.get(topic))]
    yield from rules_kafka.evaluate_group(spec, groups.found.get(spec.group), partitions)


def _samples(
    inspector: KafkaInspector, specs: Sequence[ClockSpec], topics: Described[TopicFacts], time: Time
) -> Iterator[Finding]:
    """Evaluate the newest records of all CreateTime topics. They are read together, within `SAMPLES_TIMEOUT_S`."""
    partitions = [
        one
        for topic, facts in topics.found.items()
        if facts.timestamp_type is not TimestampType.LOG_APPEND_TIME and not facts.lacks("READ")
        for one in _partitions(topic, facts)
    ]
    newest = max(10, min(RECORDS_PER_PARTITION, MAX_RECORDS // max(1, len(partitions))))
    sample = inspector.sample(partitions, newest, SAMPLES_TIMEOUT_S)
    by_topic: dict[str, dict[Partition, Sequence[int]]] = {}
    for partition, timestamps in sample.timestamps_ms.items():
        by_topic.setdefault(partition.topic, {})[partition] = timestamps
    for spec in specs:
        for topic in spec.topics:
            if topic in sample.failures:
                text, to_do = f"can't be read: {sample.failures[topic]}", "allow this user Read on the topic"
                yield problem(f"topic {topic}", text, to_do, spec.name)
            elif topic in by_topic:
                yield from rules_topic.evaluate_sample(spec, topic, by_topic[topic], time.now_ms())


def _partitions(topic: str, facts: TopicFacts | None) -> list[Partition]:
    return [] if facts is None else [Partition(topic, number) for number in range(facts.partitions)]
