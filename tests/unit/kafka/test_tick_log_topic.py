"""The settings that a tick log's topic must have, and the messages about others."""

from dataclasses import replace

import pytest

from clocksvc.errors import TickLogMisconfigured
from clocksvc.kafka.tick_log_topic import TickLogTopic, problems, raise_if_unsafe, wanted_config, warnings

pytestmark = pytest.mark.core

THREE = TickLogTopic("t", replication=3, min_insync=2, brokers=3)


@pytest.mark.parametrize(("brokers", "min_insync"), [(1, "1"), (2, "1"), (3, "2"), (12, "2")])
def test_a_new_topic_is_as_durable_as_the_cluster_allows(brokers: int, min_insync: str) -> None:
    """With three brokers, two replicas confirm each write; fewer brokers must not stop a clock."""
    assert wanted_config(brokers) == {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "2592000000",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": min_insync,
    }


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"partitions": 3}, "has 3 partitions, wanted 16"),
        ({"cleanup_policy": "delete"}, "has cleanup.policy=delete, which can delete a clock's last record"),
        ({"cleanup_policy": "compact, delete"}, "has cleanup.policy=compact, delete"),
        ({"max_message_bytes": 131_071}, "has max.message.bytes=131071, so brokers can reject a clock's records"),
    ],
)
def test_a_topic_that_could_lose_ticks_is_rejected(changed: dict[str, int | str], text: str) -> None:
    """The message names the topic and the value."""
    topic = TickLogTopic("t", **changed)  # type: ignore[arg-type]
    with pytest.raises(TickLogMisconfigured) as raised:
        raise_if_unsafe(topic)

    assert text in str(raised.value)
    assert "'t'" in str(raised.value)


def test_a_new_topic_keeps_ticks_as_long_as_configured() -> None:
    """`tick_log.keep` is the time before compaction. A shorter time in an existing topic is a warning."""
    assert wanted_config(3, keep_ms=86_400_000)["min.compaction.lag.ms"] == "86400000"
    topic = replace(THREE, min_compaction_lag_ms=86_400_000)

    assert warnings(topic, keep_ms=86_400_000) == []
    assert ["--add-config min.compaction.lag.ms=86400001" in one for one in warnings(topic, 86_400_001)] == [True]


def test_all_problems_are_reported_at_once() -> None:
    """So that one change corrects them all."""
    assert len(problems(TickLogTopic("t", partitions=2, cleanup_policy="delete"))) == 2


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"timestamp_type": "CreateTime"}, "message.timestamp.type=CreateTime"),
        ({"min_compaction_lag_ms": 0}, "min.compaction.lag.ms=0"),
        ({"replication": 1}, "1 replicas, wanted 3"),
        ({"min_insync": 1}, "min.insync.replicas=1"),
        ({"brokers": 2, "replication": 2}, "2 brokers can't keep 3 replicas"),
    ],
)
def test_settings_that_lose_no_record_are_warnings(changed: dict[str, int | str], text: str) -> None:
    """The topic is accepted."""
    topic = replace(THREE, **changed)  # type: ignore[arg-type]
    raise_if_unsafe(topic)

    assert [text in warning for warning in warnings(topic)] == [True]


@pytest.mark.parametrize("topic", [TickLogTopic("t"), THREE])
def test_a_topic_as_clocksvc_creates_it_is_right(topic: TickLogTopic) -> None:
    """With one broker and with three."""
    assert problems(topic) + warnings(topic) == []


def test_an_unsafe_checkpoint_topic_is_not_called_a_tick_log() -> None:
    """The message names the kind of the topic."""
    with pytest.raises(TickLogMisconfigured) as raised:
        raise_if_unsafe(TickLogTopic("t-checkpoints", kind="checkpoint topic", partitions=2))

    assert str(raised.value).startswith("checkpoint topic 't-checkpoints' has 2 partitions, wanted 16")
    assert "tick log" not in str(raised.value)
