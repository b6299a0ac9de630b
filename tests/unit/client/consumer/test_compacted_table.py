"""A CompactedTable over a topic in memory, one step at a time: checks, reloads, errors, state and waiting."""

import gc
import logging
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection

import pytest

from clocksvc.client.consumer.table_follower import CHECK_INTERVAL_S, CHECK_PAUSE_S, TableFollower
from clocksvc.consumer import CompactedTable, TableRecord
from clocksvc.errors import InvalidValue, TableUnavailable
from clocksvc.interfaces.compacted_topic import CleanupSettings, Polled, TopicInspection
from clocksvc.memory.compacted_topic import MemoryCompactedTopic, MemoryTopicReader
from clocksvc.testing import ManualTime
from tests.waiting import eventually

pytestmark = pytest.mark.core


class FaultyReader(MemoryTopicReader):
    """A reader whose next requests fail."""

    def __init__(self, laboratory: "Laboratory") -> None:
        super().__init__(laboratory.topic)
        self._laboratory = laboratory
        self.closed = False

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection | None:
        self._laboratory.inspections += 1
        self._laboratory.during_inspection()
        if self._laboratory.away:
            raise TableUnavailable(self._laboratory.away)
        return None if self._laboratory.deleted else super().inspect(partitions)

    def poll(self, timeout_s: float) -> Polled:
        self._laboratory.time.advance(self._laboratory.poll_takes_s)
        if error := self._laboratory.poll_raises:
            self._laboratory.poll_raises = None
            raise error
        polled = super().poll(timeout_s)
        return polled._replace(failures=self._laboratory.failures) if self._laboratory.failures else polled

    def close(self) -> None:
        self.closed = True
        super().close()


class Laboratory:
    """A topic of two partitions in memory, and tables of it."""

    def __init__(self) -> None:
        self.topic = MemoryCompactedTopic("configs", 2)
        self.time = ManualTime()
        self.away, self.deleted, self.inspections = "", False, 0
        self.failures: dict[int, str] = {}
        self.poll_raises: Exception | None = None
        self.poll_takes_s = 0.0
        self.during_inspection: Callable[[], object] = lambda: None
        self.readers: list[FaultyReader] = []

    def open(self) -> FaultyReader:
        """A new reader."""
        self.readers.append(FaultyReader(self))
        return self.readers[-1]

    def table(
        self,
        *,
        partitions: list[int] | None = None,
        on_change: Callable[[bytes, str | None, str | None], object] | None = None,
        pause_collector: bool = False,
        start: bool = False,
    ) -> CompactedTable[str]:
        """A table of texts."""
        return CompactedTable(
            "configs",
            decode=lambda record: record.value().decode(),
            partitions=partitions,
            on_change=on_change,
            pause_collector=pause_collector,
            source=self.open,
            time=self.time,
            start=start,
        )

    def check(self, table: CompactedTable[str]) -> None:
        """Let the table check its topic, and read all."""
        self.time.advance(CHECK_INTERVAL_S)
        table.step()
        table.step()


@pytest.fixture
def laboratory() -> Laboratory:
    """A topic with one key in each partition."""
    made = Laboratory()
    made.topic.append(0, b"a", b"1")
    made.topic.append(1, b"b", b"2")
    return made


def contents(table: CompactedTable[str]) -> dict[bytes, str]:
    """All keys and values."""
    return dict(table.items())


# Loading and following


def test_it_is_ready_at_the_ends_taken_at_its_start(laboratory: Laboratory) -> None:
    """Markers and aborted records at the end are passed by position; it follows on afterwards."""
    laboratory.topic.skip(0, 5)
    table = laboratory.table()
    assert (table.ready, table.state.status, len(table)) == (False, "loading", 0)

    table.step()
    assert (table.ready, table.state.status) == (True, "ready")
    assert contents(table) == {b"a": "1", b"b": "2"}
    assert table.progress.partitions == ((0, 1, 6, 0, 6, True), (1, 1, 1, 0, 1, True))
    assert (table.progress.records, table.progress.left, table.progress.fraction) == (2, 0, 1.0)

    laboratory.topic.append(0, b"a", None)
    laboratory.topic.append(1, b"c", b"3")
    table.step()
    assert contents(table) == {b"b": "2", b"c": "3"}
    assert (b"a" in table, table.get(b"c"), len(table)) == (False, "3", 2)
    assert table.counts[:4] == (4, 1, 0, 0)


def test_it_waits_for_an_open_transaction(laboratory: Laboratory) -> None:
    """Acknowledged records can be behind it. The reason and the progress show the partition."""
    laboratory.topic.open_transaction(1)
    laboratory.topic.append(1, b"c", b"3")
    table = laboratory.table()
    table.step()

    assert not table.ready
    assert (table.progress.left, round(table.progress.fraction, 3)) == (1, 0.667)
    with pytest.raises(
        TableUnavailable, match=r"at most 1 are left: partition 1 is read to offset 1 of 2.*open transac"
    ):
        table.wait_ready(0)

    laboratory.topic.end_transaction(1)
    table.step()
    table.wait_ready(0)
    assert table.get(b"c") == "3"


def test_only_chosen_partitions_are_read(laboratory: Laboratory) -> None:
    """Others are not read, and can't be asked for."""
    table = laboratory.table(partitions=[1])
    table.step()

    assert (table.ready, contents(table)) == (True, {b"b": "2"})
    with pytest.raises(InvalidValue, match=r"partition: 0 .*\[1\]"):
        table.read_to_end(0)


def test_a_key_in_two_partitions_has_the_value_of_the_higher_one(laboratory: Laboratory) -> None:
    """Each partition has its own value. Without a number, that of the highest partition counts."""
    laboratory.topic.append(1, b"a", b"moved")
    table = laboratory.table()
    table.step()

    assert (table.get(b"a"), table.get(b"a", partition=0), table.get(b"a", partition=7)) == ("moved", "1", None)
    assert list(table.items(partition=0)) == [(b"a", "1")]


def test_on_change_gets_every_change_from_the_beginning(laboratory: Laboratory) -> None:
    """Also while the table is loaded."""
    calls: list[tuple[bytes, str | None, str | None]] = []
    laboratory.topic.append(0, b"a", b"new")
    laboratory.topic.append(0, b"x", None)
    table = laboratory.table(partitions=[0], on_change=lambda *call: calls.append(call))
    table.step()
    laboratory.topic.append(0, b"a", None)
    table.step()

    assert calls == [(b"a", None, "1"), (b"a", "1", "new"), (b"a", "new", None)]


def test_unreadable_records_do_not_stop_it(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted, and named with partition, offset and reason, also in the log."""
    laboratory.topic.append(0, b"bad", b"\xff")
    table = laboratory.table()
    table.step()

    assert (table.ready, table.counts.unreadable, len(table)) == (True, 1, 2)
    ((partition, offset, key, reason),) = table.unreadable
    assert (partition, offset, key) == (0, 1, b"bad")
    assert reason.startswith("UnicodeDecodeError")
    assert re.search(r"offset 1 of partition 0 of topic configs is not in the table: UnicodeDecodeError", caplog.text)


def test_a_failing_on_change_is_logged(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """With its key and its traceback; the table goes on."""

    def fail(key: bytes, old: str | None, new: str | None) -> None:
        raise RuntimeError("no wheel")

    table = laboratory.table(on_change=fail)
    table.step()

    assert (len(table), table.counts.change_errors) == (2, 2)
    assert "on_change failed for key b'a'" in caplog.text
    assert "RuntimeError: no wheel" in caplog.text


# Added, missing and recreated partitions


def test_added_partitions_are_read(laboratory: Laboratory) -> None:
    """From their beginning, at the next check. The table stays ready."""
    table = laboratory.table()
    table.step()
    laboratory.topic.add_partitions(3)
    laboratory.topic.append(2, b"c", b"3")
    table.step()
    assert table.get(b"c") is None

    laboratory.check(table)
    assert (table.ready, table.get(b"c")) == (True, "3")


def test_a_missing_partition_is_a_problem_with_a_name(laboratory: Laboratory) -> None:
    """The others are read, but the table is not ready until the partition exists."""
    table = laboratory.table(partitions=[1, 2])
    table.step()

    assert contents(table) == {b"b": "2"}
    with pytest.raises(TableUnavailable, match="topic 'configs' has 2 partitions, and no partition 2"):
        table.wait_ready(0)
    laboratory.topic.add_partitions(3)
    laboratory.check(table)
    table.wait_ready(0)
    assert table.state.problem is None


def test_a_topic_that_does_not_exist_yet_is_read_when_it_exists(laboratory: Laboratory) -> None:
    """It is read as soon as it exists."""
    laboratory.deleted = True
    table = laboratory.table()
    table.step()
    assert table.state[::2] == ("unavailable", "topic 'configs' does not exist")

    laboratory.deleted = False
    laboratory.check(table)
    assert table.ready


def test_a_recreated_topic_replaces_the_contents(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """Even if its end is higher. The old contents stay until the new ones are complete; the log has an ERROR."""
    replayed: dict[bytes, str | None] = {}
    table = laboratory.table(on_change=lambda key, old, new: replayed.update({key: new}))
    table.step()
    laboratory.topic.recreate(1)
    for number in range(9):
        laboratory.topic.append(0, b"new", b"%d" % number)
    laboratory.topic.open_transaction(0)
    laboratory.topic.append(0, b"hidden", b"1")
    laboratory.check(table)
    assert table.get(b"a") == "1"

    laboratory.topic.end_transaction(0)
    table.step()
    assert contents(table) == {b"new": "8", b"hidden": "1"}
    assert replayed == {b"a": None, b"b": None, b"new": "8", b"hidden": "1"}
    assert table.counts.reloads == 1
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "partition 0 of topic configs is loaded again" in line.getMessage()
    assert "the topic was recreated" in line.getMessage()


def test_a_truncated_log_is_loaded_again(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """An end below the position counts at the second check, because it can be the answer of a deposed leader."""
    laboratory.topic.append(0, b"c", b"3")
    table = laboratory.table(partitions=[0])
    table.step()
    laboratory.topic.truncate(0, end=1)
    reader = laboratory.readers[0]
    reader.start({0: 1})  # a fetch at the position would be rejected at once
    laboratory.check(table)
    assert contents(table) == {b"a": "1", b"c": "3"}

    laboratory.check(table)
    assert contents(table) == {b"a": "1"}
    assert "the log ends at offset 1, before position 2" in caplog.text


def test_a_log_that_begins_behind_the_position_is_loaded_again(
    laboratory: Laboratory, caplog: pytest.LogCaptureFixture
) -> None:
    """The fetch is rejected. The partition is loaded again, 0.5 s after the last check at the earliest."""
    table = laboratory.table(partitions=[0])
    table.step()
    for number in range(5):
        laboratory.topic.append(0, b"c", b"%d" % number)
    laboratory.topic.truncate(0, begin=4)
    table.step()
    assert contents(table) == {b"a": "1"}

    laboratory.time.advance(1)
    table.step()
    assert contents(table) == {b"c": "4"}
    assert "offset 1 is out of range" in caplog.text


@pytest.mark.parametrize("more", [True, False], ids=["with records behind it", "with nothing behind it"])
def test_a_table_that_was_away_for_longer_than_tombstones_stay_is_loaded_again(
    laboratory: Laboratory, more: bool
) -> None:
    """Kafka can have removed the tombstone of a key, so the partition is loaded again."""
    laboratory.topic.cleanup = CleanupSettings("compact", 3_600_000)
    table = laboratory.table(partitions=[0])
    table.step()
    laboratory.away = "no broker answers"
    laboratory.check(table)
    laboratory.time.advance(3_600)
    laboratory.topic.append(0, b"a", None)
    laboratory.topic.append(0, b"c", b"3" if more else None)
    laboratory.topic.compact(0, tombstones=True)
    laboratory.away = ""
    table.step()
    assert contents(table) == {b"a": "1"}

    laboratory.time.advance(1)
    table.step()
    assert (contents(table), table.counts.reloads) == ({b"c": "3"} if more else {}, 1)


def test_a_table_that_was_away_for_a_shorter_time_goes_on(laboratory: Laboratory) -> None:
    """Checks count as present, so a quiet partition is not loaded again."""
    laboratory.topic.cleanup = CleanupSettings("compact", 3_600_000)
    table = laboratory.table(partitions=[0])
    for _ in range(800):
        laboratory.check(table)
    laboratory.topic.append(0, b"a", None)
    table.step()

    assert (contents(table), table.counts.reloads) == ({}, 0)


def test_a_topic_without_compaction_gets_a_warning(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """Once, with the setting."""
    laboratory.topic.cleanup = CleanupSettings("delete", None)
    table = laboratory.table()
    table.step()
    laboratory.check(table)

    assert caplog.text.count("topic configs is not compacted (cleanup.policy=delete)") == 1


# Kafka away, and unexpected errors


def test_it_keeps_its_contents_while_kafka_is_away(laboratory: Laboratory, caplog: pytest.LogCaptureFixture) -> None:
    """`state` has the reason and since when; the log has one line for each change."""
    table = laboratory.table()
    table.step()
    ready_since_ms = table.state.since_ms
    laboratory.away = "Kafka does not answer at localhost:9092"
    for _ in range(3):
        laboratory.check(table)
    began_ms = laboratory.time.now_ms() - round(2 * CHECK_INTERVAL_S * 1000)

    assert table.state == ("unavailable", began_ms, "Kafka does not answer at localhost:9092")
    assert began_ms > ready_since_ms
    assert contents(table) == {b"a": "1", b"b": "2"}
    assert caplog.text.count("Kafka does not answer") == 1
    with pytest.raises(TableUnavailable, match=r"end of partition 0 .*Kafka does not answer"):
        table.read_to_end(0, timeout_s=0)

    laboratory.away = ""
    laboratory.check(table)
    assert tuple(table.state) == ("ready", laboratory.time.now_ms(), None)


def test_a_failed_check_is_repeated_after_a_back_off(laboratory: Laboratory) -> None:
    """No request follows at once."""
    laboratory.away = "no answer"
    table = laboratory.table()
    waits = []
    for _ in range(10):
        waits.append(table.step())
        laboratory.time.advance(waits[-1] + 0.001)

    assert laboratory.inspections == 10
    assert 0.05 <= waits[0] <= 0.1
    assert 2.5 <= waits[-1] <= 5.0


def test_a_partition_that_can_be_read_again_is_no_problem(laboratory: Laboratory) -> None:
    """Without a new record, too: after the next check, the client reports the partition's end."""
    table = laboratory.table()
    table.step()
    laboratory.failures = {1: "the Kafka user lacks Read on topic configs"}
    table.step()
    laboratory.failures = {}
    table.step()
    assert table.state.status == "unavailable"

    laboratory.check(table)
    assert (table.state.status, table.counts.records, table.counts.reloads) == ("ready", 2, 0)


def test_a_partition_that_cant_be_read_is_a_problem(laboratory: Laboratory) -> None:
    """It ends with the partition's next record."""
    table = laboratory.table()
    table.step()
    laboratory.failures = {1: "the Kafka user lacks Read on topic configs"}
    table.step()
    assert table.state[::2] == ("unavailable", "partition 1: the Kafka user lacks Read on topic configs")

    laboratory.failures = {}
    laboratory.topic.append(1, b"c", b"3")
    table.step()
    assert table.state.status == "ready"


def test_an_unexpected_error_loses_no_record(laboratory: Laboratory) -> None:
    """The thread continues with a new client, and loads all partitions again."""
    laboratory.poll_raises = RuntimeError("a defect")
    with laboratory.table(start=True) as table:
        table.wait_ready(10)
        assert (contents(table), table.counts.crashes, len(laboratory.readers)) == ({b"a": "1", b"b": "2"}, 1, 2)
        assert laboratory.readers[0].closed


# Waiting


def test_read_to_end_returns_once_all_acknowledged_records_are_there(laboratory: Laboratory) -> None:
    """The end is requested at each call."""
    table = laboratory.table()
    assert table.read_to_end(0) == 1
    assert table.get(b"a") == "1"
    laboratory.topic.append(0, b"c", b"3")
    laboratory.topic.skip(0, 1)

    assert table.read_to_end(0) == 3
    assert table.get(b"c") == "3"


def test_read_to_end_sees_a_recreated_topic(laboratory: Laboratory) -> None:
    """Its lower end is not taken for an end that was passed."""
    table = laboratory.table()
    table.step()
    laboratory.topic.recreate(2)
    laboratory.topic.append(0, b"new", b"1")
    laboratory.time.advance(1)

    assert table.read_to_end(0) == 1
    assert contents(table) == {b"new": "1"}


def test_read_to_end_finds_an_added_partition(laboratory: Laboratory) -> None:
    """It does not wait for the next check."""
    table = laboratory.table()
    table.step()
    laboratory.topic.add_partitions(3)
    laboratory.topic.append(2, b"c", b"3")
    laboratory.poll_takes_s = 0.1

    assert table.read_to_end(2, timeout_s=CHECK_INTERVAL_S / 5) == 1
    assert table.get(b"c") == "3"


def test_a_check_that_is_requested_during_a_check_is_done(laboratory: Laboratory) -> None:
    """The present one may have begun before the change."""
    follower = TableFollower("configs", laboratory.open, None, _value, None, laboratory.time)
    laboratory.during_inspection = follower.check_soon
    follower.step()
    laboratory.during_inspection = lambda: None
    for _ in range(3):
        laboratory.time.advance(CHECK_PAUSE_S)
        follower.step()

    assert laboratory.inspections == 2


def test_the_end_is_reached_after_on_change_got_all_changes(laboratory: Laboratory) -> None:
    """Also in a reload: after `read_to_end`, all that `on_change` builds is complete."""
    reached: list[bool] = []

    def changed(key: bytes, old: bytes | None, new: bytes | None) -> None:
        reached.append(follower.has_read(0, laboratory.topic.inspect([0]).id, 0))

    follower = TableFollower("configs", laboratory.open, [0], _value, changed, laboratory.time)
    follower.step()
    laboratory.topic.recreate(1)
    laboratory.time.advance(CHECK_INTERVAL_S)
    follower.step()

    assert reached == [False, False]
    assert follower.has_read(0, laboratory.topic.inspect([0]).id, 0)


def test_read_to_end_names_an_open_transaction(laboratory: Laboratory) -> None:
    """After its timeout."""
    laboratory.topic.open_transaction(0)
    laboratory.topic.append(0, b"c", b"3")
    laboratory.time = ManualTime()
    with (
        laboratory.table(start=True) as table,
        pytest.raises(
            TableUnavailable,
            match=r"partition 0 .* not read to its end: partition 0 is read to offset 1 of 2.*open transact",
        ),
    ):
        table.read_to_end(0, timeout_s=0.05)


def test_waiting_ends_when_the_table_is_closed(laboratory: Laboratory) -> None:
    """With an error, at once."""
    laboratory.topic.open_transaction(0)
    laboratory.topic.append(0, b"c", b"3")
    table = laboratory.table(start=True)
    errors: list[str] = []

    def wait() -> None:
        try:
            table.wait_ready()
        except TableUnavailable as error:
            errors.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: b"a" in table)
    assert table.close()
    waiting.join(10)

    assert len(errors) == 1
    assert "the table is closed" in errors[0]
    assert (table.state.status, table.get(b"a"), laboratory.readers[0].closed) == ("closed", "1", True)
    assert table.close()


@pytest.mark.parametrize("start", [True, False])
def test_a_forked_process_has_a_copy(laboratory: Laboratory, start: bool) -> None:
    """It does not follow the topic, and neither uses nor frees the parent's client."""
    table = laboratory.table(start=start)
    table.wait_ready(10)
    gc.collect()  # Kafka clients of other tests, which the child must not free
    child = os.fork()
    if child == 0:
        problem = table.state.problem or ""
        copied = (table.state.status, table.get(b"a"), "create a table in each process" in problem)
        right = copied == ("closed", "1", True) and table.close() and not laboratory.readers[0].closed
        client = weakref.ref(laboratory.readers.pop())
        del table
        gc.collect()
        os._exit(0 if right and client() is not None else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert table.read_to_end(0) == 1
    table.close()


def test_the_collector_is_off_while_the_table_is_loaded(laboratory: Laboratory) -> None:
    """Then it runs again, and leaves the present objects alone. A table that is closed earlier ends the pause, too."""
    laboratory.topic.open_transaction(0)
    laboratory.topic.append(0, b"c", b"3")
    frozen = gc.get_freeze_count()
    first, second = laboratory.table(pause_collector=True), laboratory.table(pause_collector=True)
    first.step()
    second.step()
    assert not gc.isenabled()

    second.close()
    assert not gc.isenabled()
    laboratory.topic.end_transaction(0)
    first.step()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen
    gc.unfreeze()


def test_the_collector_runs_while_kafka_is_away(laboratory: Laboratory) -> None:
    """An outage at the start of a process can last."""
    laboratory.away = "no answer"
    table = laboratory.table(pause_collector=True)
    table.step()
    laboratory.check(table)

    assert gc.isenabled()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"topic": ""}, "topic"),
        ({"partitions": []}, "partitions"),
        ({"partitions": [-1]}, "partitions"),
        ({"partitions": ["1"]}, "partitions"),
        ({"bootstrap_servers": ""}, "bootstrap_servers"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, object], field: str) -> None:
    """Each is named."""
    with pytest.raises(InvalidValue, match=f"^{field}: "):
        CompactedTable(**{"topic": "t", "decode": _value, **arguments})  # type: ignore[arg-type]


def _value(record: TableRecord) -> bytes:
    value: bytes = record.value()
    return value
