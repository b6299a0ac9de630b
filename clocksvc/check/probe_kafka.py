"""Reads facts about the configured Kafka, and about each clock's topics, tick log and group. Writes nothing."""

from collections.abc import Iterator

from clocksvc.check import rules_kafka, rules_topic
from clocksvc.check.finding import Finding, problem
from clocksvc.clock.log_record import Message, decode_message
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import MetadataUnavailable, UnreadableRecord
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import NewestRecord, TopicFacts
from clocksvc.kafka.inspector import KafkaInspector
from clocksvc.settings import Settings

SAMPLES_TIMEOUT_S = 5.0
NEWEST_TIMEOUT_S = 2.0
RECORDS_PER_PARTITION = 1_000
MAX_RECORDS = 50_000
"""How many records are read for the samples of all clocks. A broker needs one or two seconds for this number."""


def probe_kafka(settings: Settings, time: Time) -> Iterator[Finding]:
    """Yield the findings on Kafka.

    Raises:
        MetadataUnavailable: Kafka does not answer, or a request is not authorized.
    """
    with KafkaInspector(settings.kafka_settings(), time) as inspector:
        yield from _probe(inspector, settings, time)


def _probe(inspector: KafkaInspector, settings: Settings, time: Time) -> Iterator[Finding]:
    cluster = inspector.cluster()
    yield from rules_kafka.evaluate_cluster(cluster)
    create_time_topics: list[tuple[ClockSpec, str, int]] = []
    for spec in settings.clock_specs().values():
        partitions: list[Partition] = []
        for topic in spec.topics:
            try:
                facts = inspector.topic(topic)
            except MetadataUnavailable as error:
                yield problem(f"topic {topic}", str(error), "allow this user Describe on the topic", spec.name)
                continue
            yield from rules_topic.evaluate_topic(spec, topic, facts)
            if facts is not None:
                partitions += _partitions(topic, facts.partitions)
                if facts.timestamp_type is not TimestampType.LOG_APPEND_TIME and not facts.lacks("READ"):
                    create_time_topics.append((spec, topic, facts.partitions))
        yield from _tick_log(inspector, spec, cluster.brokers, time)
        yield from _group(inspector, spec, partitions)
    yield from _samples(inspector, create_time_topics, time)


def _tick_log(inspector: KafkaInspector, spec: ClockSpec, brokers: int, time: Time) -> Iterator[Finding]:
    try:
        facts = inspector.topic(spec.tick_log)
    except MetadataUnavailable as error:
        to_do = "allow this user Read, Write, DescribeConfigs and Create on the topic"
        yield problem(f"tick log {spec.tick_log}", str(error), to_do, spec.name)
        return
    if facts is None and (reason := inspector.why_not_creatable(spec.tick_log)):
        yield rules_kafka.tick_log_not_creatable(spec, reason)
        return
    yield from rules_kafka.evaluate_tick_log(spec, facts, brokers)
    yield _broker_time(inspector, spec, facts, time)


def _broker_time(inspector: KafkaInspector, spec: ClockSpec, facts: TopicFacts | None, time: Time) -> Finding:
    newest: NewestRecord | None = None
    if facts is not None and facts.partitions == 1 and not facts.lacks("READ"):
        try:
            newest = inspector.newest(spec.tick_log, NEWEST_TIMEOUT_S)
        except MetadataUnavailable as error:
            text = f"its last record can't be read: {error}"
            return problem(f"tick log {spec.tick_log}", text, "allow this user Read on the topic", spec.name)
    appended_ms = None if newest is None else newest.appended_ms
    return rules_kafka.evaluate_broker_time(spec.name, appended_ms, _emitted_ms(spec, newest), time.now_ms())


def _emitted_ms(spec: ClockSpec, newest: NewestRecord | None) -> int | None:
    if newest is None:
        return None
    try:
        record = decode_message(spec.name, Message(newest.key, newest.value, newest.type))
    except UnreadableRecord:
        return None
    return None if record.tick is None else record.tick.emitted_at_ms


def _group(inspector: KafkaInspector, spec: ClockSpec, partitions: list[Partition]) -> Iterator[Finding]:
    try:
        facts = inspector.group(spec.group)
    except MetadataUnavailable as error:
        yield problem(f"group {spec.group}", str(error), "allow this user Describe on the group", spec.name)
        return
    yield from rules_kafka.evaluate_group(spec, facts, partitions)


def _samples(inspector: KafkaInspector, topics: list[tuple[ClockSpec, str, int]], time: Time) -> Iterator[Finding]:
    deadline = time.monotonic() + SAMPLES_TIMEOUT_S
    total = sum(count for _, _, count in topics)
    newest = max(10, min(RECORDS_PER_PARTITION, MAX_RECORDS // max(1, total)))
    for spec, topic, count in topics:
        partitions = _partitions(topic, count)
        try:
            sample = inspector.sample(partitions, newest, max(0.5, deadline - time.monotonic()))
        except MetadataUnavailable as error:
            yield problem(f"topic {topic}", f"can't be read: {error}", "allow this user Read on the topic", spec.name)
            continue
        yield from rules_topic.evaluate_sample(spec, topic, sample, time.now_ms())


def _partitions(topic: str, count: int) -> list[Partition]:
    return [Partition(topic, number) for number in range(count)]
