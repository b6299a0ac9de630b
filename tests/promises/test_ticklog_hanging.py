"""A transaction of our own whose end a broker forgot: the log goes on by itself, and what it held can still be found.

The broker is killed for real. That it forgot is done by hand, to its files: by chance it takes some hundred kills.
"""

from collections.abc import Iterator, Sequence

import pytest

from clocksvc.clock.record import Record
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.errors import OpenTransaction
from clocksvc.position import SENDER, Position
from clocksvc.positions.kafka import KafkaPositions
from clocksvc.ticklog import Tail
from clocksvc.ticklogs.kafka import KafkaTickLog
from clocksvc.ticklogs.message import message
from clocksvc.timesource import SystemTime
from tests.promises.log_files import cut_marker
from tests.promises.ticklog_keepers import KafkaLogKeeper, writer
from tests.promises.ticklog_values import Word, control, minutes, tick, ticks
from tests.waiting import eventually

pytestmark = pytest.mark.servers

word = Word()
HISTORY: dict[str, Sequence[Sequence[Record]]] = {
    "a tick": [[tick(1)], [tick(2)]],
    "ticks": [ticks(1, 2), ticks(3, 20)],
    "a control record": [[tick(1)], [control(5)]],
    "all": [ticks(1, 3)],
    "of a running writer": [[tick(1)], [tick(2)]],
}
"""By what hangs: each transaction of a log, of which the last one hangs."""


class Logs:
    """One log for each history, and somebody else's."""

    def __init__(self, kafka: KafkaServer) -> None:
        self.kafka = kafka
        self.keepers = {name: KafkaLogKeeper(kafka.bootstrap) for name in (*HISTORY, "foreign")}
        self.writers = {name: writer(keeper) for name, keeper in self.keepers.items()}
        self.positions = KafkaPositions("beat", "beat", {"bootstrap.servers": kafka.bootstrap}, SystemTime())
        self.positions_topic = KafkaLogKeeper(kafka.bootstrap)
        self.positions_topic.topic = "beat-positions"

    def write(self) -> None:
        """What is written before the broker is killed."""
        for name, transactions in HISTORY.items():
            for records in transactions:
                self.writers[name].append(records, word)
        self.writers["foreign"].append([tick(1)], word)
        self.keepers["foreign"].begin_foreign([message(tick(2))])
        self.keepers["foreign"].end_foreign(committed=True)
        self.positions.hold(word)
        self.positions.move({SENDER: Position(60_000)}, word)
        self.positions.move({SENDER: Position(120_000)}, word)
        for name, transactions in HISTORY.items():
            _until_marked(self.keepers[name], sum(map(len, transactions)) + len(transactions))
        _until_marked(self.keepers["foreign"], 4)
        _until_marked(self.positions_topic, 4)

    def forget(self) -> None:
        """The broker is killed, loses the last marker of each log, and starts."""
        self.kafka.kill()
        for keeper in (*self.keepers.values(), self.positions_topic):
            cut_marker(self.kafka.directory / "data" / f"{keeper.topic}-0")
        self.kafka.start()
        self.kafka.wait_ready()

    def anew(self, name: str) -> KafkaTickLog:
        """A process that fenced after that."""
        log = self.keepers[name].process()
        log.fence(word)
        return log


def _until_marked(keeper: KafkaLogKeeper, end: int) -> None:
    eventually(lambda: keeper.end() == end, what=f"{keeper.topic} to end at {end}")


@pytest.fixture(scope="module")
def logs() -> Iterator[Logs]:
    """Each log's last transaction hangs."""
    with KafkaServer() as kafka:
        made = Logs(kafka)
        made.write()
        made.forget()
        yield made
        made.positions.close()
        for keeper in made.keepers.values():
            keeper.free()


@pytest.mark.parametrize("hangs", ["a tick", "ticks", "a control record", "all"])
def test_a_new_leader_ends_what_hangs(logs: Logs, hangs: str) -> None:
    """The log ends before it, and goes on from there; what hung is known among what was written last."""
    written = [record for transaction in HISTORY[hangs] for record in transaction]
    before = [record for transaction in HISTORY[hangs][:-1] for record in transaction]
    log = logs.anew(hangs)

    assert log.tail(word) == Tail(before[-1] if before else None, 0)
    assert log.last_written(word) == written
    log.append([tick(7)], word)
    assert log.tail(word) == Tail(tick(7), 0)
    assert logs.keepers[hangs].seen() == [message(record) for record in (*before, tick(7))]


def test_a_writer_that_goes_on_ends_it(logs: Logs) -> None:
    """One that was not cut off commits what hangs along with what comes next, in order."""
    log = logs.writers["of a running writer"]
    log.append([tick(3)], word)

    assert log.tail(word) == Tail(tick(3), 0)
    assert minutes(logs.keepers["of a running writer"].seen()) == [1, 2, 3]


def test_somebody_elses_is_left_alone(logs: Logs) -> None:
    """It is said; the log does not grow with each attempt."""
    keeper, log = logs.keepers["foreign"], logs.anew("foreign")
    with pytest.raises(OpenTransaction):
        log.tail(word)
    end = keeper.end()
    log.fence(word)
    with pytest.raises(OpenTransaction):
        log.tail(word)

    assert keeper.end() == end
    assert minutes(keeper.seen()) == [1]


def test_positions_that_hang_are_moved_back(logs: Logs) -> None:
    """What was sent since is sent again, with the same ids; nothing is skipped, and the next holder may move."""
    logs.positions.close()
    anew = KafkaPositions("beat", "beat", {"bootstrap.servers": logs.kafka.bootstrap}, SystemTime())
    held = anew.hold(word)
    anew.move({SENDER: Position(180_000)}, word)

    assert held == {SENDER: Position(60_000)}
    assert anew.hold(word) == {SENDER: Position(180_000)}
    anew.close()
