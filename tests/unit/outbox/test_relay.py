"""The relay of an outbox, over a real SQLite and a topic in memory."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, select

from clocksvc.errors import Fenced, OutcomeUnknown, RecordRejected, SchedulesUnavailable
from clocksvc.outbox import Outbox, metadata
from clocksvc.outbox.database import DatabaseChanges
from clocksvc.outbox.relay import BATCH, COUNT_EVERY_S, POLL_S, STANDBY_AFTER_S, Relay
from clocksvc.outbox.tables import pending, rejected
from clocksvc.schedules.entry import read_entry, read_task
from clocksvc.testing import ManualTime

pytestmark = pytest.mark.core

MINUTE_MS = 60_000
BEGIN_MS = 1_795_348_800_000
HOURLY = {"interval": "1h", "task": "uptime.check"}


class Topic:
    """An OutboxTopic in memory.

    Attributes:
        committed: each transaction's records.
        errors: raised by the next calls of `write`, in order; None for a call without an error.
        commits_before_error: whether the records of a failed `write` are committed all the same.
        fences: how often it was fenced.
    """

    def __init__(self) -> None:
        self.committed: list[dict[str, bytes | None]] = []
        self.errors: list[Exception | None] = []
        self.commits_before_error = False
        self.fences = 0
        self._usable = False

    def fence(self) -> None:
        self.fences += 1
        self._usable = True

    def write(self, records: Mapping[str, bytes | None]) -> None:
        assert self._usable, "fence comes first"
        self._usable = False
        error = self.errors.pop(0) if self.errors else None
        if error is None or self.commits_before_error:
            self.committed.append(dict(records))
        if error is not None:
            raise error
        self._usable = True

    def close(self) -> None:
        pass

    def payloads(self) -> list[dict[str, Any]]:
        """The payload of each record, None of a tombstone."""
        return [
            {key: None if value is None else payload(key, value) for key, value in transaction.items()}
            for transaction in self.committed
        ]


def payload(key: str, value: bytes) -> str:
    """The payload of a record that the scheduler can read."""
    return read_task(read_entry(key.encode(), value)).payload.decode()


class Product:
    """A product with its database, and a relay of its outbox."""

    def __init__(self, folder: Path) -> None:
        (folder / "product.db").touch()
        self.dsn = f"sqlite:///{folder}/product.db"
        self.time = ManualTime()
        self.engine = create_engine(self.dsn)
        metadata.create_all(self.engine)
        self.outbox = Outbox("checkins", time=self.time)
        self.topic = Topic()
        self.relay = self.new_relay(self.topic)

    def new_relay(self, topic: Topic) -> Relay:
        """A relay of the same outbox."""
        return Relay("checkins", MINUTE_MS, DatabaseChanges(self.dsn, "checkins", self.time), topic, self.time)

    def put(self, schedule_id: str, value: int) -> None:
        """Put a schedule whose payload is this value."""
        with self.engine.begin() as connection:
            self.outbox.put(connection, schedule_id, {**HOURLY, "payload": value})

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule."""
        with self.engine.begin() as connection:
            self.outbox.delete(connection, schedule_id)

    def insert(self, schedule_id: str, value: str | None, created_ms: int = BEGIN_MS) -> None:
        """Insert a row as a program without this package can."""
        row = {"clock": "checkins", "id": schedule_id, "value": value, "created_ms": created_ms, "written_ms": 0}
        with self.engine.begin() as connection:
            connection.execute(insert(pending), row)

    def waiting(self) -> int:
        """The number of rows that wait."""
        with self.engine.connect() as connection:
            return len(connection.execute(select(pending.c.number)).all())

    def rejected(self) -> list[tuple[str, str]]:
        """Ids and problems of the rejected changes."""
        with self.engine.connect() as connection:
            return [(row.id, row.problem) for row in connection.execute(select(rejected))]


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A product."""
    made = Product(tmp_path)
    yield made
    made.engine.dispose()


def test_changes_become_records(product: Product) -> None:
    """In one transaction; then their rows are gone."""
    product.put("a", 1)
    product.put("b", 2)
    product.delete("b")

    assert product.relay.step() == POLL_S

    assert product.topic.payloads() == [{"a": "1", "b": None}]
    assert product.waiting() == 0
    assert (product.relay.stats.puts, product.relay.stats.deletes, product.relay.stats.active) == (1, 1, True)


def test_the_record_of_an_update_has_the_time_of_creation(product: Product) -> None:
    """So that the schedule keeps its due times."""
    product.put("a", 1)
    product.time.advance(60)
    product.put("a", 2)
    product.relay.step()

    (value,) = product.topic.committed[0].values()
    assert b'"created_at":"2026-11-22T12:00:00Z"' in (value or b"")


def test_a_step_without_changes_writes_nothing(product: Product) -> None:
    """It only fences, once."""
    for _ in range(3):
        assert product.relay.step() == POLL_S

    assert (product.topic.committed, product.topic.fences) == ([], 1)


def test_a_large_backlog_goes_in_batches(product: Product) -> None:
    """Without a wait between them. Each transaction is bounded."""
    with product.engine.begin() as connection:
        for number in range(BATCH + 1):
            product.outbox.put(connection, f"id-{number}", HOURLY)

    assert product.relay.step() == 0.0
    assert product.relay.step() == POLL_S

    assert [len(transaction) for transaction in product.topic.committed] == [BATCH, 1]
    assert product.waiting() == 0


@pytest.mark.parametrize("error", [SchedulesUnavailable("down"), OutcomeUnknown("no answer")])
def test_changes_wait_until_kafka_has_acknowledged_them(product: Product, error: Exception) -> None:
    """After an error the relay fences again, reads again, and writes what is newest then."""
    product.put("a", 1)
    product.topic.errors = [error]

    assert product.relay.step() > 0
    assert product.waiting() == 1
    product.put("a", 2)
    product.relay.step()

    assert product.topic.payloads() == [{"a": "2"}]
    assert product.topic.fences == 2


def test_an_unknown_outcome_repeats_records_and_never_goes_back(product: Product) -> None:
    """At least once. A schedule that was deleted meanwhile does not come back, not even for a moment."""
    product.put("a", 1)
    product.topic.errors, product.topic.commits_before_error = [OutcomeUnknown("no answer")], True
    product.relay.step()
    with product.engine.begin() as connection:
        for number in range(BATCH):
            product.outbox.put(connection, f"id-{number}", HOURLY)
        product.outbox.delete(connection, "a")
    while product.relay.step() == 0.0:
        pass

    records = [transaction["a"] for transaction in product.topic.payloads() if "a" in transaction]
    assert records == ["1", None]


def test_a_relay_that_died_before_the_removal(product: Product) -> None:
    """Its successor writes the changes again."""
    product.put("a", 1)
    product.put("b", 2)
    died = product.new_relay(product.topic)
    died._changes.remove = lambda changes: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        died.step()

    product.relay.step()

    assert product.topic.payloads() == [{"a": "1", "b": "2"}] * 2
    assert product.waiting() == 0


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{", "wanted JSON"),
        ("[]", "wanted a JSON object"),
        ("[" * 100_000, "wanted JSON"),
        ('{"task": "uptime.check", "interval": "1h", "payload": NaN}', "NaN is not JSON"),
        ('{"task": "uptime.check", "interval": "1h", "payload": 1e999}', "too large"),
        ('{"task": "uptime.check", "interval": "90s"}', "multiple of the clock's interval"),
        ('{"task": "uptime.check"}', "interval or cron"),
    ],
)
def test_a_change_that_is_not_valid_blocks_no_other(
    product: Product, caplog: pytest.LogCaptureFixture, value: str, problem: str
) -> None:
    """It is named in the log and moved aside. The older change of its id is relayed."""
    product.put("a", 1)
    product.insert("a", value)
    product.put("b", 2)
    for _ in range(2):
        product.relay.step()

    assert product.topic.payloads() == [{"b": "2"}, {"a": "1"}]
    ((schedule_id, found),) = product.rejected()
    assert schedule_id == "a"
    assert problem in found
    assert product.waiting() == 0
    assert product.relay.stats.rejected == 1
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert "change 2 of schedule 'a'" in line
    assert problem in line


@pytest.mark.parametrize(("schedule_id", "created_ms"), [("no id", BEGIN_MS), ("a", -1), ("a", 10**18)])
def test_other_columns_are_checked_too(product: Product, schedule_id: str, created_ms: int) -> None:
    """The id and the time of creation."""
    product.insert(schedule_id, '{"task": "uptime.check", "interval": "1h"}', created_ms)
    product.relay.step()

    assert [found for found, _ in product.rejected()] == [schedule_id]
    assert product.topic.committed == []


def test_the_relay_sets_the_time_of_creation(product: Product) -> None:
    """From the row's column, so that a program in SQL need not write it into the JSON."""
    product.insert("a", '{"task": "uptime.check", "interval": "1h"}')
    product.relay.step()

    assert b'"created_at":"2026-11-22T12:00:00Z"' in (product.topic.committed[0]["a"] or b"")


def test_a_record_that_brokers_reject_blocks_no_other(product: Product) -> None:
    """Such as one that is too large for the topic."""
    product.put("a", 1)
    product.put("b", 2)
    product.topic.errors = [RecordRejected([b"a"], "the brokers reject 1 of 2 records")]
    for _ in range(2):
        product.relay.step()

    assert product.topic.payloads() == [{"b": "2"}]
    assert product.rejected() == [("a", "the brokers reject 1 of 2 records")]


def test_a_rejection_without_a_key_is_tried_again(product: Product) -> None:
    """After a back-off; nothing is moved aside."""
    product.put("a", 1)
    product.topic.errors = [RecordRejected([None], "the brokers reject a record")]

    assert product.relay.step() > 0
    product.relay.step()

    assert product.topic.payloads() == [{"a": "1"}]
    assert product.rejected() == []


def fenced(product: Product) -> None:
    """The relay was fenced while it wrote a change, which still waits."""
    product.put("a", 1)
    product.topic.errors = [Fenced("a newer writer has fenced this one")]
    product.relay.step()
    assert not product.relay.stats.active


def run(product: Product, seconds: float) -> None:
    """Let the relay run for this time."""
    until = product.time.monotonic() + seconds
    while product.time.monotonic() < until:
        product.time.advance(max(0.1, product.relay.step()))


def test_a_relay_that_was_fenced_is_a_standby(product: Product) -> None:
    """While the other relay moves changes, it reads and writes none."""
    fenced(product)
    other = product.new_relay(Topic())
    for number in range(25):
        product.put(f"id-{number}", number)
        other.step()
        run(product, 1)

    assert (product.topic.fences, product.topic.committed) == (1, [])
    assert product.waiting() == 0


def test_a_standby_takes_over_if_the_other_relay_does_not_work(product: Product) -> None:
    """It was fenced, and then the oldest change waited for 10 s."""
    fenced(product)

    run(product, STANDBY_AFTER_S - 1)
    assert product.topic.fences == 1
    run(product, 4)

    assert (product.topic.fences, product.topic.payloads()) == (2, [{"a": "1"}])
    assert product.relay.stats.active


def test_a_standby_without_changes_stays_one(product: Product) -> None:
    """There is nothing to do for either relay."""
    fenced(product)
    product.new_relay(Topic()).step()
    run(product, 10 * STANDBY_AFTER_S)

    assert product.topic.fences == 1


def test_the_database_is_away(product: Product, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log, not one for each attempt. It goes on once the database is back, without a new fence."""
    product.relay.step()
    metadata.drop_all(product.engine)
    for _ in range(5):
        assert product.relay.step() > 0
    metadata.create_all(product.engine)
    product.put("a", 1)
    product.relay.step()

    assert product.topic.payloads() == [{"a": "1"}]
    assert product.topic.fences == 1
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == 1


def test_what_waits_is_counted_from_time_to_time(product: Product) -> None:
    """Also when the oldest change was written."""
    product.relay.step()
    assert (product.relay.stats.pending, product.relay.stats.oldest_ms) == (0, None)
    product.put("a", 1)
    product.put("a", 2)
    product.topic.errors = [SchedulesUnavailable("down")] * 100
    run(product, COUNT_EVERY_S + 30)

    assert (product.relay.stats.pending, product.relay.stats.oldest_ms) == (2, BEGIN_MS)
