"""The settings that the topics of schedules and of due records must have, and the messages about others."""

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from clocksvc.check.finding import Level, worst
from clocksvc.check.rules_schedules import evaluate_schedule_topic
from clocksvc.errors import SchedulesMisconfigured
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import TopicFacts
from clocksvc.kafka.schedule_topics import (
    ScheduleTopic,
    ensure_schedule_topics,
    problems,
    topics_of,
    wanted_due_config,
    wanted_schedule_config,
    warnings,
)
from tests.system.docs.blocks import text_of

SPEC = SchedulesSpec("checkins", 8)
SCHEDULES, DUE = topics_of(SPEC)
THREE = replace(DUE, replication=3, min_insync=2, brokers=3)


@pytest.mark.core
@pytest.mark.parametrize("topic", [SCHEDULES, DUE, replace(SCHEDULES, replication=3, min_insync=2, brokers=3), THREE])
def test_topics_as_clocksvc_creates_them_are_right(topic: ScheduleTopic) -> None:
    """With one broker and with three."""
    assert problems(topic) + warnings(topic) == []


@pytest.mark.core
@pytest.mark.parametrize(
    ("topic", "text"),
    [
        (replace(SCHEDULES, partitions=3), "has 3 partitions, but clocks.checkins.schedules.partitions is 8: set"),
        (replace(DUE, partitions=9), "topic of due records 'checkins-due' has 9 partitions, but clocks.checkins"),
        (replace(SCHEDULES, cleanup_policy="compact, delete"), "which deletes schedules: change it with kafka-configs"),
        (replace(DUE, cleanup_policy="compact,delete"), "which keeps only the newest record of each schedule"),
        (replace(DUE, retention_ms=7_199_999), "so the scheduler's position can be removed"),
        (replace(DUE, max_message_bytes=131_071), "so brokers can reject its records"),
        (replace(SCHEDULES, max_message_bytes=131_071), "--add-config max.message.bytes=1048588"),
    ],
)
def test_topics_that_could_lose_records_are_rejected(topic: ScheduleTopic, text: str) -> None:
    """The message names the topic, the value, and what to do."""
    (found,) = problems(topic)

    assert text in found
    assert repr(topic.topic) in found


@pytest.mark.core
def test_the_way_to_another_number_of_partitions_loses_nothing() -> None:
    """Topics are deleted after schedulers were stopped and workers have finished. The named section exists."""
    (text,) = problems(replace(DUE, partitions=3))

    steps = ("export", "stop all schedulers", "let the workers finish", "delete both topics", "import", "operations.md")
    found = [text.find(step) for step in steps]
    assert -1 not in found
    assert found == sorted(found)
    assert "\n### Another number of partitions\n" in text_of("docs/operations.md")


@pytest.mark.core
@pytest.mark.parametrize(
    ("topic", "text"),
    [
        (replace(SCHEDULES, timestamp_type="CreateTime"), "message.timestamp.type=CreateTime"),
        (replace(DUE, retention_ms=7_200_000), "a consumer that is down for longer loses due records"),
        (replace(DUE, retention_bytes=10**9), "many due records at once can remove others"),
        (
            replace(THREE, replication=1),
            "1 replicas, wanted 3: a broker's loss can stop or lose schedules",
        ),
        (replace(THREE, min_insync=1), "min.insync.replicas=1"),
    ],
)
def test_settings_that_lose_nothing_now_are_warnings(topic: ScheduleTopic, text: str) -> None:
    """The topic is accepted."""
    assert problems(topic) == []
    assert [text in one for one in warnings(topic)] == [True]


@pytest.mark.core
def test_unlimited_retention_is_right() -> None:
    """-1 is more than any limit."""
    topic = replace(DUE, retention_ms=-1)

    assert problems(topic) + warnings(topic) == []


GOOD = TopicFacts(8, "id", TimestampType.LOG_APPEND_TIME, None, 604_800_000, "delete", 0, 1_048_588, 3, 2, -1)


@pytest.mark.core
@pytest.mark.parametrize(
    ("facts", "reason", "level", "text"),
    [
        (GOOD, None, Level.OK, "exists: 8 partitions, cleanup.policy=delete"),
        (TopicFacts(8, "id", replication=3), None, Level.OK, "exists"),
        (None, None, Level.OK, "the first scheduler creates it"),
        (None, "not authorized", Level.PROBLEM, "can't be created: not authorized"),
        (replace(GOOD, partitions=4), None, Level.PROBLEM, "has 4 partitions"),
        (replace(GOOD, retention_bytes=5), None, Level.WARNING, "retention.bytes=5"),
        (replace(GOOD, allowed=frozenset({"READ", "DESCRIBE_CONFIGS"})), None, Level.PROBLEM, "lacks Write"),
    ],
)
def test_check_evaluates_the_topics(facts: TopicFacts | None, reason: str | None, level: Level, text: str) -> None:
    """Each finding belongs to the clock, and says what to do unless the topic is right."""
    findings = evaluate_schedule_topic(DUE, facts, 3, reason)

    assert worst(findings) is level
    assert [text in one.text for one in findings] == [True]
    assert all(one.clock == "checkins" and (one.to_do or one.level is Level.OK) for one in findings)


@pytest.fixture
def configured(bootstrap: str) -> Callable[[str], dict[str, str]]:
    """Returns the settings of a topic, as the broker describes them."""
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def describe(topic: str) -> dict[str, str]:
        (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        return {name: entry.value for name, entry in future.result(10).items()}

    return describe


@pytest.mark.servers
def test_missing_topics_are_created(bootstrap: str, configured: Callable[[str], dict[str, str]]) -> None:
    """With the configured partitions and their settings; existing ones are accepted."""
    spec = SchedulesSpec(f"c{uuid.uuid4().hex[:12]}", 3)
    for _ in range(2):
        assert ensure_schedule_topics(spec, {"bootstrap.servers": bootstrap}, SystemTime(), lambda: None) == []

    listed = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    for topic, config in ((spec.topic, wanted_schedule_config(1)), (spec.due_topic, wanted_due_config(1))):
        assert len(listed[topic].partitions) == 3
        assert config.items() <= configured(topic).items()


@pytest.mark.servers
def test_a_topic_with_another_number_of_partitions_is_rejected(bootstrap: str) -> None:
    """By name, with what to do. The other topic is created all the same."""
    spec = SchedulesSpec(f"c{uuid.uuid4().hex[:12]}", 3)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.create_topics([NewTopic(spec.due_topic, 2)]).values()
    future.result(10)

    with pytest.raises(SchedulesMisconfigured, match=f"{spec.due_topic}' has 2 partitions, but .*partitions is 3: set"):
        ensure_schedule_topics(spec, {"bootstrap.servers": bootstrap}, SystemTime(), lambda: None)
