"""What a tick log's topic must look like, by the words that say so."""

from dataclasses import replace

import pytest

from clocksvc.errors import TickLogRefused
from clocksvc.kafka.tick_log_topic import TickLogTopic, problems, raise_if_unsafe, wanted_config, warnings

pytestmark = pytest.mark.core

THREE = TickLogTopic("t", replication=3, min_insync=2, brokers=3)


@pytest.mark.parametrize(("brokers", "min_insync"), [(1, "1"), (2, "1"), (3, "2"), (12, "2")])
def test_a_log_is_made_as_safe_as_there_are_brokers(brokers: int, min_insync: str) -> None:
    """Two replicas confirm each write where three can be kept; fewer brokers must not stop a clock."""
    assert wanted_config(brokers) == {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "2592000000",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": min_insync,
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"partitions": 3}, "has 3 partitions, wanted 1"),
        ({"cleanup_policy": "delete"}, "has cleanup.policy=delete, which can delete its newest record"),
        ({"cleanup_policy": "compact, delete"}, "has cleanup.policy=compact, delete"),
    ],
)
def test_what_could_lose_ticks_is_refused(changed: dict[str, int | str], said: str) -> None:
    """In words that name the topic and the value."""
    shape = TickLogTopic("t", **changed)  # type: ignore[arg-type]
    with pytest.raises(TickLogRefused) as refused:
        raise_if_unsafe(shape)

    assert said in str(refused.value)
    assert "'t'" in str(refused.value)


def test_every_problem_is_said_at_once() -> None:
    """So that nobody has to come back for the second one."""
    assert len(problems(TickLogTopic("t", partitions=2, cleanup_policy="delete"))) == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"timestamp_type": "CreateTime"}, "message.timestamp.type=CreateTime"),
        ({"min_compaction_lag_ms": 0}, "min.compaction.lag.ms=0"),
        ({"replication": 1}, "1 replicas, wanted 3"),
        ({"min_insync": 1}, "min.insync.replicas=1"),
        ({"brokers": 2, "replication": 2}, "2 brokers can't keep 3 replicas"),
    ],
)
def test_what_is_merely_not_as_it_should_be_is_a_warning(changed: dict[str, int | str], said: str) -> None:
    """It refuses nothing."""
    shape = replace(THREE, **changed)  # type: ignore[arg-type]
    raise_if_unsafe(shape)

    assert [said in warning for warning in warnings(shape)] == [True]


@pytest.mark.parametrize("shape", [TickLogTopic("t"), THREE])
def test_a_log_as_clocksvc_makes_it_needs_no_word(shape: TickLogTopic) -> None:
    """On one broker and on three."""
    assert problems(shape) + warnings(shape) == []
