"""The behaviour of all implementations of checkpoints: one writer at a time, and no confirmed checkpoint is lost."""

import itertools
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from confluent_kafka import Producer

from clocksvc.clock.logs import LOGS, log_of
from clocksvc.errors import CheckpointsUnavailable, Fenced, OutcomeUnknown
from clocksvc.interfaces.checkpoints import OWN_KEY, Checkpoint, Checkpoints
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.writer import Writer
from tests.faulty.checkpoints import FaultyCheckpoints, FaultyCheckpointTopic
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import CLOCK, KeepAliveCounter
from tests.tcp_proxy import KafkaProxy


class Open(Protocol):
    """Opens the checkpoints of a dispatcher in one more process."""

    def __call__(self, dispatcher: str, clock: str = CLOCK) -> Checkpoints: ...


OTHER = next(name for n in itertools.count() if log_of(name := f"clock-{n}") == log_of(CLOCK))
"""Another clock in the same log."""
AT, LATER = Checkpoint(60_000, 7, app="shop"), Checkpoint(120_000, 9, app="shop")
ENTRY = Checkpoint(0, None, "every minute", "shop", "shop.bills")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def opened(request: pytest.FixtureRequest) -> Open:
    """Each implementation."""
    if request.param == "memory":
        topic = FaultyCheckpointTopic()
        return lambda dispatcher, clock=CLOCK: FaultyCheckpoints(topic, clock, dispatcher)
    bootstrap, log = request.getfixturevalue("bootstrap"), f"log-{uuid.uuid4().hex[:12]}"

    def open_one(dispatcher: str, clock: str = CLOCK) -> Checkpoints:
        made = KafkaCheckpoints(log, clock, dispatcher, {"bootstrap.servers": bootstrap}, SystemTime())
        request.addfinalizer(made.close)
        return made

    return open_one


def test_at_first_there_are_no_checkpoints(opened: Open) -> None:
    """A dispatcher that has never committed has none."""
    assert opened("beat").acquire(KeepAliveCounter()) == {}


def test_the_next_writer_reads_what_was_committed(opened: Open) -> None:
    """The newest checkpoint of each name; deleted ones are absent."""
    first = opened("beat")
    first.acquire(KeepAliveCounter())
    first.commit({OWN_KEY: Checkpoint(0), "a": ENTRY, "b": ENTRY}, KeepAliveCounter())
    first.commit({OWN_KEY: AT, "b": None}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT, "a": ENTRY}


def test_reading_fences_no_writer(opened: Open) -> None:
    """Another process can look at the checkpoints while the writer continues."""
    writer, reader = opened("beat"), opened("beat")
    assert reader.read(KeepAliveCounter()) == {}
    writer.acquire(KeepAliveCounter())
    writer.commit({OWN_KEY: AT, "a": ENTRY}, KeepAliveCounter())

    assert reader.read(KeepAliveCounter()) == {OWN_KEY: AT, "a": ENTRY}
    writer.commit({OWN_KEY: LATER}, KeepAliveCounter())


@pytest.mark.parametrize(("dispatcher", "clock"), [("beat-two", CLOCK), ("beat", OTHER), ("beat", f"{CLOCK}-2")])
def test_dispatchers_share_the_topic_only(opened: Open, dispatcher: str, clock: str) -> None:
    """They neither read nor fence each other, also with the same name, or with a name that begins with the other's."""
    beat, other = opened("beat"), opened(dispatcher, clock)
    beat.acquire(KeepAliveCounter())
    other.acquire(KeepAliveCounter())
    beat.commit({OWN_KEY: AT}, KeepAliveCounter())
    other.commit({"a": ENTRY}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    assert opened(dispatcher, clock).acquire(KeepAliveCounter()) == {"a": ENTRY}


def test_acquire_fences_the_previous_process(opened: Open) -> None:
    """It can't write any more, and what the new writer has read stays true."""
    old, new = opened("beat"), opened("beat")
    old.acquire(KeepAliveCounter())
    old.commit({OWN_KEY: AT}, KeepAliveCounter())
    new.acquire(KeepAliveCounter())

    with pytest.raises((Fenced, OutcomeUnknown)):
        old.commit({OWN_KEY: Checkpoint(120_000)}, KeepAliveCounter())

    assert opened("beat").acquire(KeepAliveCounter()) == {OWN_KEY: AT}


def test_a_fenced_process_can_acquire_again(opened: Open) -> None:
    """When it has the assignment again."""
    old, new = opened("beat"), opened("beat")
    old.acquire(KeepAliveCounter())
    new.acquire(KeepAliveCounter())
    new.commit({OWN_KEY: AT}, KeepAliveCounter())

    assert old.acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    old.commit({OWN_KEY: Checkpoint(120_000)}, KeepAliveCounter())


def test_a_schedule_can_have_any_name(opened: Open) -> None:
    """Including slashes and letters of any script."""
    one = opened("beat")
    one.acquire(KeepAliveCounter())
    one.commit({"nightly/bills": ENTRY, "früh": ENTRY}, KeepAliveCounter())

    assert set(opened("beat").acquire(KeepAliveCounter())) == {"nightly/bills", "früh"}


def test_an_unavailable_broker_is_an_error() -> None:
    """It has its own class."""
    topic = FaultyCheckpointTopic(unavailable=True)
    with pytest.raises(CheckpointsUnavailable):
        FaultyCheckpoints(topic, CLOCK, "beat").acquire(KeepAliveCounter())


@pytest.mark.servers
def test_the_topic_is_compacted_soon(bootstrap: str) -> None:
    """It has one partition for each log, and its name is derived from the tick log's."""
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

    log = f"log-{uuid.uuid4().hex[:12]}"
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    made.acquire(KeepAliveCounter())
    made.close()

    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, f"{log}-checkpoints")]).values()
    wanted = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "0",
        "segment.ms": "600000",
        "min.cleanable.dirty.ratio": "0.1",
    }
    assert {name: future.result()[name].value for name in wanted} == wanted
    assert len(admin.list_topics(f"{log}-checkpoints", timeout=10).topics[f"{log}-checkpoints"].partitions) == LOGS


@pytest.mark.servers
def test_a_long_partition_is_read_in_pieces(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece can end in the middle of a transaction, or begin after its last record."""
    log = f"log-{uuid.uuid4().hex[:12]}"
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
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
    """Its errors name the checkpoint topic."""
    log = f"log-{uuid.uuid4().hex[:12]}"
    checkpoints = KafkaCheckpoints(
        log, CLOCK, "beat", {"bootstrap.servers": faulty_kafka.bootstrap}, SystemTime(), 2.0, 2.0
    )
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


# Transactions of other dispatchers in the same partition


class Other:
    """Another program's transactional producer."""

    def __init__(self, bootstrap: str, log: str) -> None:
        self._topic = f"{log}-checkpoints"
        self._producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": uuid.uuid4().hex})
        self._producer.init_transactions(30)

    def begin(self, key: bytes = b"other/beat/") -> None:
        """Write a record in a transaction that stays open."""
        self._producer.begin_transaction()
        self._producer.produce(self._topic, b"?", key, partition=log_of(CLOCK))
        assert self._producer.flush(30) == 0

    def abort(self) -> None:
        """End the transaction."""
        self._producer.abort_transaction(30)


@pytest.fixture
def log(bootstrap: str) -> str:
    """A tick log whose checkpoint topic exists, with the checkpoint AT of the dispatcher `beat`."""
    name = f"log-{uuid.uuid4().hex[:12]}"
    first = KafkaCheckpoints(name, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    first.acquire(KeepAliveCounter())
    first.commit({OWN_KEY: AT}, KeepAliveCounter())
    first.close()
    return name


@pytest.mark.servers
def test_another_dispatchers_open_transaction_delays(bootstrap: str, log: str) -> None:
    """Until it ends. What is read then is complete."""
    other = Other(bootstrap, log)
    other.begin()
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    with ThreadPoolExecutor(1) as pool:
        acquired = pool.submit(made.acquire, KeepAliveCounter())
        time.sleep(1.0)
        assert not acquired.done()
        other.abort()
        assert acquired.result(10) == {OWN_KEY: AT}
        other.begin()
        committed = pool.submit(made.commit, {OWN_KEY: LATER}, KeepAliveCounter())
        time.sleep(1.0)
        assert not committed.done()
        other.abort()
        committed.result(10)

    assert made.acquire(KeepAliveCounter()) == {OWN_KEY: LATER}
    made.close()


@pytest.mark.servers
def test_another_dispatchers_hanging_transaction_is_an_error(bootstrap: str, log: str) -> None:
    """A commit then has an unknown outcome, and acquire does not return less than what was committed."""
    other = Other(bootstrap, log)
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime(), settle_s=1.0)
    made.acquire(KeepAliveCounter())
    other.begin()
    with pytest.raises(OutcomeUnknown, match="a transaction is still open on the checkpoint topic"):
        made.commit({OWN_KEY: LATER}, KeepAliveCounter())
    with pytest.raises(CheckpointsUnavailable, match="a transaction of another dispatcher stays open"):
        made.acquire(KeepAliveCounter())
    other.abort()

    assert made.acquire(KeepAliveCounter()) == {OWN_KEY: LATER}
    made.close()


@pytest.mark.servers
def test_records_of_others_within_a_commit_are_no_error(
    bootstrap: str, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They look like a marker of a delayed request, so the outcome is unknown; acquire shows it."""
    other = Other(bootstrap, log)
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    made.acquire(KeepAliveCounter())

    def write(number: int) -> None:
        if number == 1:
            other.begin()
            other.abort()

    before_each_record(monkeypatch, write)
    with pytest.raises(OutcomeUnknown, match="a part of the checkpoints may be written"):
        made.commit({OWN_KEY: LATER, "a": ENTRY}, KeepAliveCounter())

    assert made.acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    made.close()


@pytest.mark.servers
def test_a_deposed_partition_leader_does_not_hide_checkpoints(
    bootstrap: str, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last stable offset is older than the newest checkpoint. acquire waits for a broker that has all of them."""
    made = KafkaCheckpoints(log, CLOCK, "beat", {"bootstrap.servers": bootstrap}, SystemTime())
    ends = []
    present = Reader.stable_bounds

    def stale(reader: Reader, deadline: SlicedDeadline) -> tuple[int, int]:
        low, end = present(reader, deadline)
        ends.append(end)
        return low, end if len(ends) > 3 else 0

    monkeypatch.setattr(Reader, "stable_bounds", stale)

    assert made.acquire(KeepAliveCounter()) == {OWN_KEY: AT}
    made.close()


# A delayed request that ends a transaction: the client sends it again on a new connection, and does not notice


def before_each_record(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call `act` with the number of each record of the next transactions, before it is sent."""
    send = Writer._produce

    def produce(writer: Writer, one: Any, partition: int, deliveries: Any, *args: Any) -> None:
        writer._producer.flush(10)
        act(deliveries.reports)
        send(writer, one, partition, deliveries, *args)

    monkeypatch.setattr(Writer, "_produce", produce)


@dataclass
class Delayed:
    """A dispatcher whose clients connect through a proxy, and a process that opens its checkpoints directly."""

    proxy: KafkaProxy
    settings: dict[str, str]
    log: str

    def open(self) -> KafkaCheckpoints:
        return KafkaCheckpoints(self.log, CLOCK, "beat", self.settings, SystemTime())


@pytest.fixture
def delayed(faulty_kafka: FaultyKafka) -> Delayed:
    settings = {"bootstrap.servers": faulty_kafka.bootstrap}
    return Delayed(faulty_kafka.proxy, settings, f"log-{uuid.uuid4().hex[:12]}")


@pytest.mark.servers
@pytest.mark.parametrize("release_before", ["first record", "second record", "commit"])
def test_a_delayed_commit_does_not_tear_the_next_one_unnoticed(
    delayed: Delayed, monkeypatch: pytest.MonkeyPatch, release_before: str
) -> None:
    """If the next commit is confirmed, it is complete. If not, acquire returns it, nothing or the first part of it."""
    made = delayed.open()
    made.acquire(KeepAliveCounter())
    delayed.proxy.hold_end_txn()
    made.commit({OWN_KEY: AT}, KeepAliveCounter())
    assert delayed.proxy.held == 1
    release_at(delayed.proxy, monkeypatch, release_before)

    confirmed = outcome_of(made, {OWN_KEY: LATER, "a": ENTRY})

    assert delayed.proxy.held == 0
    found = delayed.open().acquire(KeepAliveCounter())
    complete = {OWN_KEY: LATER, "a": ENTRY}
    assert found == complete if confirmed else found in ({OWN_KEY: AT}, {OWN_KEY: LATER}, complete)
    assert confirmed is (release_before != "second record")


@pytest.mark.servers
@pytest.mark.parametrize("release_before", ["first record", "second record", "commit"])
def test_a_delayed_abort_does_not_lose_the_next_commit_unnoticed(
    delayed: Delayed, monkeypatch: pytest.MonkeyPatch, release_before: str
) -> None:
    """`acquire` aborts a transaction. The request can end a part of the first commit."""
    delayed.open().acquire(KeepAliveCounter())
    made = delayed.open()
    delayed.proxy.hold_end_txn()
    made.acquire(KeepAliveCounter())
    assert delayed.proxy.held == 1
    release_at(delayed.proxy, monkeypatch, release_before)

    confirmed = outcome_of(made, {OWN_KEY: LATER, "a": ENTRY})

    assert delayed.proxy.held == 0
    assert delayed.open().acquire(KeepAliveCounter()) == ({OWN_KEY: LATER, "a": ENTRY} if confirmed else {})
    assert confirmed is (release_before == "first record")


def release_at(proxy: KafkaProxy, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Release the request that is held back, at a step of the next transaction."""

    def release() -> None:
        if proxy.held:
            proxy.release_end_txn()
            time.sleep(0.5)  # the coordinator answers before it has written the marker

    before_each_record(
        monkeypatch, lambda index: release() if step == ("first record", "second record")[index] else None
    )
    commit = Writer._commit

    def before_commit(writer: Writer, *args: Any) -> None:
        if step == "commit":
            release()
        commit(writer, *args)

    monkeypatch.setattr(Writer, "_commit", before_commit)


def outcome_of(made: Checkpoints, checkpoints: dict[str, Checkpoint | None]) -> bool:
    """Commit, and return True if the commit was confirmed."""
    try:
        made.commit(checkpoints, KeepAliveCounter())
    except (OutcomeUnknown, CheckpointsUnavailable):
        return False
    return True
