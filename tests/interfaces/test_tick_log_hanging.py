"""A transaction of our own whose end a broker forgot: the log goes on by itself, and what it held can still be found.

The broker is killed for real. That it forgot is done by hand, to its files: by chance it takes some hundred kills.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn
from unittest.mock import Mock

import pytest

from clocksvc.clock.log_record import Record, encode_message
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.errors import CheckpointsUnavailable, OpenTransaction, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.checkpoints import OWN_KEY, Checkpoint
from clocksvc.interfaces.tick_log import Tail
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.kafka_log_files import cut_marker
from tests.interfaces.tick_log_examples import KeepAliveCounter, control, minutes, tick, ticks
from tests.interfaces.tick_log_implementations import KafkaTickLogImplementation, writer
from tests.waiting import eventually

pytestmark = pytest.mark.servers

keep_alive = KeepAliveCounter()
HISTORY: dict[str, Sequence[Sequence[Record]]] = {
    "a tick": [[tick(1)], [tick(2)]],
    "ticks": [ticks(1, 2), ticks(3, 20)],
    "a control record": [[tick(1)], [control(5)]],
    "all": [ticks(1, 3)],
    "of a running writer": [[tick(1)], [tick(2)]],
    "unconfirmed": [[tick(1)], [tick(2)]],
    "twice": [[tick(1)], [tick(2)]],
}
"""By what hangs: each transaction of a log, of which the last one hangs."""


def _no_answer(_: Reader, __: SlicedDeadline) -> NoReturn:
    raise TickLogUnavailable("no broker answers")


def _no_checkpoints(_: Reader, __: SlicedDeadline) -> NoReturn:
    raise CheckpointsUnavailable("no broker answers")


NO_MARKER: dict[str, Callable[[Reader, SlicedDeadline], int]] = {"no answer": _no_answer, "no marker": lambda _, __: 1}
OPEN: dict[str, Callable[[Reader, SlicedDeadline], tuple[int, int, int]]] = {
    "no answer": _no_checkpoints,
    "another dispatcher's behind it": lambda _, __: (0, 0, 9),
}
"""The topic's offsets after the commit of one record to an empty topic."""


class Logs:
    """One log for each history, and one with a foreign transaction."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.kafka = kafka
        self.implementations = {name: KafkaTickLogImplementation(kafka.bootstrap) for name in (*HISTORY, "foreign")}
        self.writers = {name: writer(implementation) for name, implementation in self.implementations.items()}
        self.positions = KafkaCheckpoints("beat", "beat", {"bootstrap.servers": kafka.bootstrap}, SystemTime())
        self.checkpoint_topic = KafkaTickLogImplementation(kafka.bootstrap)
        self.checkpoint_topic.topic = "beat-checkpoints"

    def write(self) -> None:
        """What is written before the broker is killed."""
        for name, transactions in HISTORY.items():
            for records in transactions:
                self.writers[name].append(records, keep_alive)
        self.writers["foreign"].append([tick(1)], keep_alive)
        self.implementations["foreign"].begin_foreign([encode_message(tick(2))])
        self.implementations["foreign"].end_foreign(committed=True)
        self.positions.acquire(keep_alive)
        self.positions.commit({OWN_KEY: Checkpoint(60_000)}, keep_alive)
        self.positions.commit({OWN_KEY: Checkpoint(120_000)}, keep_alive)
        for name, transactions in HISTORY.items():
            _until_marked(self.implementations[name], sum(map(len, transactions)) + len(transactions))
        _until_marked(self.implementations["foreign"], 4)
        _until_marked(self.checkpoint_topic, 4)

    def forget(self, *implementations: KafkaTickLogImplementation) -> None:
        """The broker is killed, loses the last marker of each log, and starts."""
        self.kafka.kill()
        for implementation in implementations:
            cut_marker(self.kafka.directory / "data" / f"{implementation.topic}-0")
        self.kafka.start()
        self.kafka.wait_ready()

    def reopen(self, name: str) -> KafkaTickLog:
        """A process that fenced after that."""
        log = self.implementations[name].process()
        log.fence(keep_alive)
        return log


def _until_marked(implementation: KafkaTickLogImplementation, end: int) -> None:
    eventually(lambda: implementation.end() == end, what=f"{implementation.topic} to end at {end}")


@pytest.fixture(scope="module")
def logs() -> Iterator[Logs]:
    """Each log's last transaction hangs."""
    with KafkaServer() as kafka:
        made = Logs(kafka)
        made.write()
        made.forget(*made.implementations.values(), made.checkpoint_topic)
        yield made
        made.positions.close()
        for implementation in made.implementations.values():
            implementation.free()


@pytest.mark.parametrize("hangs", ["a tick", "ticks", "a control record", "all"])
def test_a_new_leader_ends_what_hangs(logs: Logs, hangs: str) -> None:
    """The log ends before it, and goes on from there; what hung is known among what was written last."""
    written = [record for transaction in HISTORY[hangs] for record in transaction]
    before = [record for transaction in HISTORY[hangs][:-1] for record in transaction]
    log = logs.reopen(hangs)

    assert log.tail(keep_alive) == Tail(before[-1] if before else None, 0)
    assert log.last_written(keep_alive) == written
    log.append([tick(7)], keep_alive)
    assert log.tail(keep_alive) == Tail(tick(7), 0)
    assert logs.implementations[hangs].seen() == [encode_message(record) for record in (*before, tick(7))]


def test_a_writer_that_goes_on_ends_it(logs: Logs) -> None:
    """One that was not cut off commits what hangs along with what comes next, in order."""
    log = logs.writers["of a running writer"]
    log.append([tick(3)], keep_alive)

    assert log.tail(keep_alive) == Tail(tick(3), 0)
    assert minutes(logs.implementations["of a running writer"].seen()) == [1, 2, 3]


def test_waiting_for_an_unconfirmed_commit_raises_outcome_unknown(logs: Logs) -> None:
    """A commit that was answered and is not in the log is in doubt: the next fence finds what became of it."""
    log = logs.writers["unconfirmed"]
    with pytest.raises(OutcomeUnknown, match="records are not in the tick log"):
        log.await_commit_marker(keep_alive)

    assert not log.writable
    log.fence(keep_alive)
    assert log.tail(keep_alive) == Tail(tick(1), 0)


def test_records_in_the_log_are_confirmed_once(
    on_kafka: KafkaTickLogImplementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then no broker is asked any more, however often a leader is idle."""
    log = writer(on_kafka)
    log.append([tick(1)], keep_alive)
    log.await_commit_marker(keep_alive)
    monkeypatch.setattr(Reader, "end", _no_answer)
    log.await_commit_marker(keep_alive)

    assert log.writable


@pytest.mark.parametrize("told", NO_MARKER)
def test_a_control_record_without_its_marker_is_in_doubt(
    on_kafka: KafkaTickLogImplementation, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """Its commit is not acknowledged. A tick does not wait for its marker: `await_commit_marker` comes later."""
    log = writer(on_kafka)
    monkeypatch.setattr(Reader, "end", NO_MARKER[told])
    with pytest.raises(OutcomeUnknown):
        log.append([control(5)], keep_alive)

    assert not log.writable
    log.fence(keep_alive)
    log.append([tick(6)], keep_alive)
    assert minutes(on_kafka.seen()) == [6]


@pytest.mark.parametrize("told", OPEN)
def test_a_move_whose_transaction_stays_open_is_in_doubt(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """The dispatcher reads its checkpoints again: those that a broker forgot would be lost with all later ones."""
    tick_log = f"log-{uuid.uuid4().hex[:12]}"
    positions = KafkaCheckpoints(tick_log, "beat", {"bootstrap.servers": bootstrap}, SystemTime(), 2, 2)
    positions.acquire(keep_alive)
    with monkeypatch.context() as patched:
        patched.setattr(Reader, "watermarks", OPEN[told])
        with pytest.raises(OutcomeUnknown):
            positions.commit({OWN_KEY: Checkpoint(60_000)}, keep_alive)

    with pytest.raises(CheckpointsUnavailable, match="is not the writer"):
        positions.commit({OWN_KEY: Checkpoint(120_000)}, keep_alive)
    assert positions.acquire(keep_alive) == {OWN_KEY: Checkpoint(60_000)}
    positions.close()


def test_what_was_written_behind_a_commit_puts_it_in_doubt(on_kafka: KafkaTickLogImplementation) -> None:
    """It may be the abort with which `init` ended the hanging transaction. This writer needs no marker in between."""
    log = writer(on_kafka)
    log.append([tick(1)], keep_alive)
    on_kafka.write_foreign(encode_message(tick(2)))
    with pytest.raises(OutcomeUnknown):
        log.await_commit_marker(keep_alive)

    assert not log.writable


def test_a_foreign_open_transaction_is_left_alone(logs: Logs) -> None:
    """It is said; the log does not grow with each attempt."""
    implementation, log = logs.implementations["foreign"], logs.reopen("foreign")
    with pytest.raises(OpenTransaction):
        log.tail(keep_alive)
    end = implementation.end()
    log.fence(keep_alive)
    with pytest.raises(OpenTransaction):
        log.tail(keep_alive)

    assert implementation.end() == end
    assert minutes(implementation.seen()) == [1]


def test_positions_that_hang_are_moved_back(logs: Logs) -> None:
    """A move that was not answered is as if it had not been; nothing is skipped, and the next holder may move."""
    logs.positions.close()
    restarted = KafkaCheckpoints("beat", "beat", {"bootstrap.servers": logs.kafka.bootstrap}, SystemTime())
    held = restarted.acquire(keep_alive)
    restarted.commit({OWN_KEY: Checkpoint(180_000)}, keep_alive)

    assert held == {OWN_KEY: Checkpoint(60_000)}
    assert restarted.acquire(keep_alive) == {OWN_KEY: Checkpoint(180_000)}
    restarted.close()


def test_one_that_hangs_again_is_ended_again(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker forgets the end of the transaction that should end it: it is not mistaken for a foreign one."""
    log = logs.reopen("twice")
    with monkeypatch.context() as patched:
        patched.setattr("clocksvc.kafka.transactions.marked", Mock(side_effect=TickLogUnavailable("no broker answers")))
        with pytest.raises(TickLogUnavailable):
            log.tail(keep_alive)
    _until_marked(logs.implementations["twice"], 5)
    logs.forget(logs.implementations["twice"])
    log.fence(keep_alive)

    assert log.tail(keep_alive) == Tail(tick(1), 0)
    assert log.last_written(keep_alive) == [tick(1), tick(2)]
