"""The behaviour of all implementations of checkpoints: one writer at a time, atomic commits, nothing is forgotten."""

import uuid
from collections.abc import Callable

import pytest

from clocksvc.errors import CheckpointsUnavailable, Fenced, OutcomeUnknown
from clocksvc.interfaces.checkpoints import OWN_KEY, Checkpoint, Checkpoints
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from tests.faulty.checkpoints import FaultyCheckpoints, FaultyCheckpointTopic
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import KeepAliveCounter

Open = Callable[[str], Checkpoints]
AT = Checkpoint(60_000, 7)
ENTRY = Checkpoint(0, None, "every minute")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def opened(request: pytest.FixtureRequest) -> Open:
    """One more process's way to a dispatcher's positions, by each implementation."""
    if request.param == "memory":
        topic = FaultyCheckpointTopic()
        return lambda dispatcher: FaultyCheckpoints(topic, dispatcher)
    bootstrap, log = request.getfixturevalue("bootstrap"), f"log-{uuid.uuid4().hex[:12]}"

    def open_one(dispatcher: str) -> Checkpoints:
        made = KafkaCheckpoints(log, dispatcher, {"bootstrap.servers": bootstrap}, SystemTime())
        request.addfinalizer(made.close)
        return made

    return open_one


def test_nothing_is_known_at_first(opened: Open) -> None:
    """A dispatcher that never was anywhere holds no position."""
    assert opened("beat").acquire(KeepAliveCounter()) == {}


def test_what_was_moved_is_what_the_next_holder_reads(opened: Open) -> None:
    """The newest of each entry; what was taken away is gone."""
    first = opened("beat")
    first.acquire(KeepAliveCounter())
    first.commit({OWN_KEY: Checkpoint(0), "a": ENTRY, "b": ENTRY}, KeepAliveCounter())
    first.commit({OWN_KEY: AT, "b": None}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT, "a": ENTRY}


def test_senders_share_a_topic_and_nothing_else(opened: Open) -> None:
    """Neither reads nor fences the other, even where a name is the beginning of the other's."""
    beat, other = opened("beat"), opened("beat-two")
    beat.acquire(KeepAliveCounter())
    other.acquire(KeepAliveCounter())
    beat.commit({OWN_KEY: AT}, KeepAliveCounter())
    other.commit({"a": ENTRY}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    assert opened("beat-two").acquire(KeepAliveCounter()) == {"a": ENTRY}


def test_acquire_fences_the_previous_process(opened: Open) -> None:
    """It can write nothing any more, and what the new holder read stays true."""
    old, new = opened("beat"), opened("beat")
    old.acquire(KeepAliveCounter())
    old.commit({OWN_KEY: AT}, KeepAliveCounter())
    new.acquire(KeepAliveCounter())

    with pytest.raises((Fenced, OutcomeUnknown)):
        old.commit({OWN_KEY: Checkpoint(120_000)}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT}


def test_the_fenced_one_may_hold_them_again(opened: Open) -> None:
    """When its turn comes."""
    old, new = opened("beat"), opened("beat")
    old.acquire(KeepAliveCounter())
    new.acquire(KeepAliveCounter())
    new.commit({OWN_KEY: AT}, KeepAliveCounter())

    assert old.acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    old.commit({OWN_KEY: Checkpoint(120_000)}, KeepAliveCounter())


def test_an_entry_may_have_any_name(opened: Open) -> None:
    """Slashes and letters of any script included."""
    one = opened("beat")
    one.acquire(KeepAliveCounter())
    one.commit({"nightly/bills": ENTRY, "früh": ENTRY}, KeepAliveCounter())

    assert set(opened("beat").acquire(KeepAliveCounter())) == {"nightly/bills", "früh"}


def test_a_broker_that_is_away_is_said() -> None:
    """By a name of its own."""
    topic = FaultyCheckpointTopic(unavailable=True)
    with pytest.raises(CheckpointsUnavailable):
        FaultyCheckpoints(topic, "beat").acquire(KeepAliveCounter())


@pytest.mark.servers
def test_positions_are_kept_for_good(bootstrap: str) -> None:
    """The topic is compacted, soon, has one partition, and its name follows the tick log's."""
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

    log = f"log-{uuid.uuid4().hex[:12]}"
    made = KafkaCheckpoints(log, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    made.acquire(KeepAliveCounter())
    made.close()

    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, f"{log}-checkpoints")]).values()
    config = {name: future.result()[name].value for name in ("cleanup.policy", "min.compaction.lag.ms", "segment.ms")}
    assert config == {"cleanup.policy": "compact", "min.compaction.lag.ms": "0", "segment.ms": "3600000"}
    assert len(admin.list_topics(f"{log}-checkpoints", timeout=10).topics[f"{log}-checkpoints"].partitions) == 1


@pytest.mark.servers
def test_a_long_topic_is_read_in_pieces(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece may end in the middle of a transaction, or begin behind its last record."""
    log = f"log-{uuid.uuid4().hex[:12]}"
    made = KafkaCheckpoints(log, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    made.acquire(KeepAliveCounter())
    for number in range(8):
        made.commit(
            {OWN_KEY: Checkpoint(number), f"entry {number}": ENTRY, f"entry {number - 1}": None}, KeepAliveCounter()
        )

    for chunk in (1, 2, 3, 5, 100):
        monkeypatch.setattr("clocksvc.kafka.checkpoints.CHUNK", chunk)
        assert made.acquire(KeepAliveCounter()) == {OWN_KEY: Checkpoint(7), "entry 7": ENTRY}
    made.close()


@pytest.mark.servers
def test_an_outage_does_not_name_the_tick_log(faulty_kafka: FaultyKafka) -> None:
    """Its errors name the checkpoint topic, so that the reader looks at the right one."""
    log = f"log-{uuid.uuid4().hex[:12]}"
    checkpoints = KafkaCheckpoints(log, "beat", {"bootstrap.servers": faulty_kafka.bootstrap}, SystemTime(), 2.0, 2.0)
    checkpoints.acquire(KeepAliveCounter())
    faulty_kafka.proxy.stall()
    with pytest.raises((CheckpointsUnavailable, OutcomeUnknown)) as committed:
        checkpoints.commit({OWN_KEY: AT}, KeepAliveCounter())
    with pytest.raises(CheckpointsUnavailable) as acquired:
        checkpoints.acquire(KeepAliveCounter())
    faulty_kafka.proxy.heal()
    checkpoints.close()

    assert f"checkpoint topic '{log}-checkpoints'" in str(committed.value)
    assert not [error for error in (committed, acquired) if "tick log" in str(error.value)]
