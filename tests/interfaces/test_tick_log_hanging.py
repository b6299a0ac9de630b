"""A transaction of a log's own writer whose end a broker forgot: the next fence ends it, and the log continues.

The broker is killed for real. What it forgets is removed from its files by hand: by chance this takes hundreds of
kills. The broker also compacts, to read logs with gaps.
"""

from collections.abc import Iterator, Sequence
from unittest.mock import Mock

import pytest

from clocksvc.clock.log_record import Message
from clocksvc.clock.log_state import read_log_state, snapshot_messages
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.errors import OffsetGap, OpenTransaction, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import LogBounds
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.kafka_log_files import cut_marker
from tests.interfaces.tick_log_examples import CLOCK, LOG, OWNER, KeepAliveCounter, foreign, messages, minutes
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    end_of,
    entries,
    writer,
)
from tests.waiting import eventually

keep_alive = KeepAliveCounter()
HISTORY: dict[str, Sequence[Sequence[Message]]] = {
    "a tick": [messages(1), messages(2)],
    "ticks": [messages(1, 2), messages(3, 20)],
    "all": [messages(1, 3)],
    "of a running writer": [messages(1), messages(2)],
    "twice": [messages(1), messages(2)],
}
"""The transactions of each log. The last one hangs."""


class Logs:
    """One log for each history, and one with a foreign transaction."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.kafka = kafka
        self.implementations = {name: KafkaTickLogImplementation(kafka.bootstrap) for name in (*HISTORY, "foreign")}
        self.writers = {name: writer(implementation) for name, implementation in self.implementations.items()}
        self.ends: dict[str, int] = {}

    def write(self) -> None:
        """What is written before the broker is killed."""
        for name, transactions in HISTORY.items():
            self.ends[name] = 0
            for records in transactions:
                self.ends[name] = self.writers[name].append(records, self.ends[name], keep_alive)
        self.writers["foreign"].append(messages(1), 0, keep_alive)
        self.implementations["foreign"].begin_foreign(messages(2))
        self.implementations["foreign"].end_foreign(committed=True)
        eventually(lambda: self.implementations["foreign"].end() == 4, what="the foreign marker")

    def forget(self, *implementations: KafkaTickLogImplementation) -> None:
        """The broker is killed, loses the last marker of each log, and starts."""
        self.kafka.kill()
        for implementation in implementations:
            cut_marker(self.kafka.directory / "data" / f"{implementation.topic}-{LOG}")
        self.kafka.start()
        self.kafka.wait_ready()

    def reopen(self, name: str) -> KafkaTickLog:
        """A process that fenced after that."""
        log = self.implementations[name].process()
        log.fence(keep_alive)
        return log


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    """A Kafka that is killed, and that compacts at once."""
    with KafkaServer(properties={"log.cleaner.backoff.ms": "200"}) as server:
        yield server


@pytest.fixture(scope="module")
def logs(kafka: KafkaServer) -> Iterator[Logs]:
    """The last transaction of each log hangs."""
    made = Logs(kafka)
    made.write()
    made.forget(*made.implementations.values())
    yield made
    for implementation in made.implementations.values():
        implementation.free()


@pytest.mark.servers
@pytest.mark.parametrize("hangs", ["a tick", "ticks", "all"])
def test_a_new_leader_ends_a_hanging_transaction(logs: Logs, hangs: str) -> None:
    """Its records are not committed. The log continues."""
    before = [message for transaction in HISTORY[hangs][:-1] for message in transaction]
    log = logs.reopen(hangs)
    # A reader that did not fence can't end it.
    reader = logs.implementations[hangs].process()
    stable = reader.stable_bounds(keep_alive)
    with pytest.raises(OpenTransaction):
        reader.bounds(keep_alive)
    end = end_of(log)

    assert stable == LogBounds(0, len(before) + 1 if before else 0)
    assert end > logs.ends[hangs]
    assert [entry.message for entry in entries(log)] == before
    log.append(messages(70), end, keep_alive)
    assert logs.implementations[hangs].seen() == [*before, *messages(70)]


@pytest.mark.servers
def test_a_running_writer_detects_a_lost_marker(logs: Logs) -> None:
    """Its next transaction does not begin at the end that it knows. It never commits the old one together with it."""
    log = logs.writers["of a running writer"]
    with pytest.raises(OffsetGap):
        log.append(messages(3), logs.ends["of a running writer"], keep_alive)
    log.fence(keep_alive)

    assert minutes(entries(log)) == [1]


@pytest.mark.servers
def test_a_foreign_open_transaction_is_not_ended(logs: Logs) -> None:
    """It is an error. The log does not grow with each attempt."""
    implementation, log = logs.implementations["foreign"], logs.reopen("foreign")
    with pytest.raises(OpenTransaction):
        log.bounds(keep_alive)
    end = implementation.end()
    log.fence(keep_alive)
    with pytest.raises(OpenTransaction):
        log.bounds(keep_alive)

    assert implementation.end() == end
    assert minutes(implementation.seen()) == [1]


@pytest.mark.servers
def test_a_transaction_that_hangs_again_is_ended_again(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker forgets the end of the transaction that should end it. It is not mistaken for a foreign one."""
    log, before = logs.reopen("twice"), logs.implementations["twice"].end()
    with monkeypatch.context() as patched:
        patched.setattr("clocksvc.kafka.transactions.marked", Mock(side_effect=TickLogUnavailable("no broker answers")))
        with pytest.raises(TickLogUnavailable):
            log.bounds(keep_alive)
    eventually(lambda: logs.implementations["twice"].end() == before + 2, what="the marker")
    logs.forget(logs.implementations["twice"])
    log.fence(keep_alive)

    assert end_of(log) >= before + 2
    assert minutes(entries(log)) == [1]


@pytest.mark.servers
@pytest.mark.parametrize("answers", ["no answer", "no marker"])
def test_a_commit_without_its_marker_is_not_confirmed(
    on_kafka: KafkaTickLogImplementation, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """The brokers acknowledged the commit, but the marker does not come, or they don't answer the question for it."""
    log, unavailable = writer(on_kafka), Mock(side_effect=TickLogUnavailable("no broker answers"))
    with monkeypatch.context() as patched:
        patched.setattr(Reader, "stable_bounds", unavailable if answers == "no answer" else lambda _, __: (0, 0))
        with pytest.raises(OutcomeUnknown):
            log.append(messages(5), 0, keep_alive)
    log.fence(keep_alive)

    assert minutes(entries(log)) == [5]


@pytest.mark.core
def test_the_in_memory_log_ends_a_hanging_transaction() -> None:
    """As the real one."""
    implementation = MemoryTickLogImplementation()
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    log.append(messages(2, 2), end, keep_alive)
    implementation.log.forget_end()
    with pytest.raises(OpenTransaction):
        implementation.process().bounds(keep_alive)
    log.fence(keep_alive)

    assert log.bounds(keep_alive) == LogBounds(0, 5)
    assert minutes(entries(log)) == [1]


@pytest.mark.servers
def test_a_compacted_log_is_read(kafka: KafkaServer) -> None:
    """Old ticks and the copies of old snapshots are gone. The state is the same, and the log continues."""
    implementation = KafkaTickLogImplementation(kafka.bootstrap)
    log = writer(implementation)
    for name, value in {
        "min.compaction.lag.ms": "0",
        "min.cleanable.dirty.ratio": "0.001",
        "segment.ms": "100",
        "delete.retention.ms": "0",
    }.items():
        implementation.configure(name, value)
    end = 0
    for first in range(1, 100, 10):
        newest = {CLOCK: messages(first - 1)[0], "bills": foreign({}, "tick", key=b"bills")}
        end = log.append(snapshot_messages(OWNER, newest, end, complete=True), end, keep_alive)
        end = log.append(messages(first, 10), end, keep_alive)

    def compacted() -> bool:
        nonlocal end
        end = log.append([foreign({}, "control", key=b"other")], end, keep_alive)
        return minutes(entries(log)) == [100]

    eventually(compacted, within=60.0, what="the broker to compact")
    found = entries(log)
    state = read_log_state(0, end, lambda start, upto: log.read(start, upto, keep_alive))
    implementation.free()

    assert len(found) < end / 4
    assert state.owner == OWNER
    assert state.newest[CLOCK] == messages(100)[0]
    assert set(state.newest) == {CLOCK, "bills", "other"}
    assert state.complete
