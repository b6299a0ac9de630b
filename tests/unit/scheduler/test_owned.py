"""What functions in the thread of a partition's owner can do."""

import random
from concurrent.futures import Future
from typing import Any

import pytest

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.errors import Fenced, InvalidValue, NotOwner
from clocksvc.memory.schedule_writer import MemoryScheduleWriter
from clocksvc.scheduler import key_index, missed_runs
from clocksvc.scheduler.due_positions import read_due_log
from clocksvc.scheduler.key_index import KeyIndex
from clocksvc.scheduler.missed_runs import MissedPage
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.schedules.wheel import Reason
from tests.faulty.commits import TornTransaction
from tests.faulty.due_log import FaultyDueLog
from tests.unit.scheduler.partition_fixture import PartitionFixture

pytestmark = pytest.mark.core

VALUE = b'{"format": 1, "task": "a.b", "created_at": "2026-01-01T00:00:00Z", "interval": 60}'


@pytest.fixture
def partition() -> PartitionFixture:
    return PartitionFixture()


def run(owner: SchedulePartition, function: Any) -> Any:
    future = owner.call(function)
    owner.step()
    return future.result(0)


# -- calls ------------------------------------------------------------------------------------------------------------


def test_a_call_to_a_standby_has_an_error(partition: PartitionFixture) -> None:
    standby = partition.open()
    with pytest.raises(NotOwner):
        standby.call(lambda _: 1).result(0)
    partition.run(standby)
    with pytest.raises(NotOwner):
        standby.call(lambda _: 1).result(0)


def test_calls_run_in_the_owners_step_in_their_order(partition: PartitionFixture) -> None:
    owner = partition.owner()
    owner.wake.clear()
    seen: list[int] = []
    futures = [owner.call(lambda _, number=number: seen.append(number)) for number in range(3)]  # type: ignore[misc]
    assert owner.wake.is_set()
    assert not futures[0].done()
    owner.step()
    assert seen == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        run(owner, lambda _: 1 / 0)
    assert owner.state is PartitionState.OWNER


def test_ticks_come_before_calls(partition: PartitionFixture) -> None:
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    assert run(owner, lambda _: partition.due()) == [("a", "12:01")]


def test_calls_that_did_not_run_before_the_end_of_the_term(partition: PartitionFixture) -> None:
    owner = partition.owner()
    waiting: Future[int] = owner.call(lambda _: 1)
    owner.release()
    owner.step()
    with pytest.raises(NotOwner):
        waiting.result(0)

    owner = partition.owner()
    waiting = owner.call(lambda _: 1)
    owner.close()
    with pytest.raises(NotOwner):
        waiting.result(0)


def test_an_owner_that_is_fenced_as_a_writer_has_lost_the_partition(partition: PartitionFixture) -> None:
    owner = partition.owner()
    run(owner, lambda owned: owned.read_to_end())
    MemoryScheduleWriter(partition.writers).fence(lambda: None)

    with pytest.raises(Fenced):
        run(owner, lambda owned: owned.write([(b"a", VALUE)]))
    assert (owner.state, owner.lost) == (PartitionState.LOADED, True)


# -- schedules --------------------------------------------------------------------------------------------------------


def test_what_was_written_is_seen_after_the_next_reading(partition: PartitionFixture) -> None:
    partition.put("b")
    owner = partition.owner()

    def write(owned: OwnedPartition) -> list[int]:
        owned.read_to_end()
        assert owned.get(b"a") is None
        return owned.write([(b"a", VALUE), (b"b", None)])

    assert run(owner, write) == [1, 2]

    def read(owned: OwnedPartition) -> tuple[bytes | None, bytes | None]:
        owned.read_to_end()
        return owned.get(b"a"), owned.get(b"b")

    assert run(owner, read) == (VALUE, None)
    assert run(owner, lambda owned: owned.write([])) == []


def test_a_new_owner_can_overwrite_nothing_that_it_has_not_read(partition: PartitionFixture) -> None:
    """`read_to_end` fences the previous owner first. Otherwise, that owner could write after the reading."""
    first, second = partition.owner(), partition.open()
    run(first, lambda owned: owned.read_to_end())
    partition.run(second)
    second.acquire()
    partition.run(second)
    run(second, lambda owned: owned.read_to_end())

    with pytest.raises(Fenced):
        run(first, lambda owned: owned.write([(b"a", VALUE)]))


def test_the_writer_before_is_fenced_before_the_partition_is_read(
    partition: PartitionFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes until then is read."""
    owner, epochs, read = partition.owner(), [], CompactedTable.read_to_end

    def note(table: CompactedTable[Any], *args: Any) -> int:
        epochs.append(partition.writers.epoch)
        return read(table, *args)

    monkeypatch.setattr(CompactedTable, "read_to_end", note)
    run(owner, lambda owned: owned.read_to_end())
    assert epochs == [1]


def test_pages_of_a_list(partition: PartitionFixture) -> None:
    for key in ("b", "a", "c1", "c2", "d"):
        partition.put(key)
    owner = partition.owner()

    def keys(prefix: bytes, after: bytes | None, limit: int = 10) -> str:
        def scan(owned: OwnedPartition) -> str:
            owned.read_to_end()
            return " ".join(key.decode() for key, _ in owned.scan(prefix, after, limit))

        return str(run(owner, scan))

    assert keys(b"", None) == "a b c1 c2 d"
    assert keys(b"", None, 2) == "a b"
    assert keys(b"", b"b", 2) == "c1 c2"
    assert keys(b"c", None) == "c1 c2"
    assert keys(b"c", b"c1") == "c2"
    assert keys(b"c", b"a") == "c1 c2"
    assert keys(b"c", b"d") == ""
    partition.delete("c1")
    partition.put("bb")
    partition.delete("d")
    partition.put("d")
    assert keys(b"", None) == "a b bb c2 d"


def test_the_index_of_keys_is_right_after_any_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_index, "MAX_ADDED", 5)
    monkeypatch.setattr(key_index, "LEAST_TO_REBUILD", 5)
    rng = random.Random(5)
    keys = {b"%02d" % rng.randrange(50) for _ in range(20)}
    index = KeyIndex(keys)
    for _ in range(2_000):
        key = b"%02d" % rng.randrange(50)
        if key in keys:
            keys.remove(key)
            index.change(key, added=False)
        else:
            keys.add(key)
            index.change(key, added=True)
        prefix, after = rng.choice([b"", b"1", b"23"]), rng.choice([None, b"%02d" % rng.randrange(50)])
        wanted = sorted(one for one in keys if one.startswith(prefix) and (after is None or one > after))
        assert list(index.pages(prefix, after, keys.__contains__)) == wanted


# -- missed runs ------------------------------------------------------------------------------------------------------


def all_pages(owner: SchedulePartition, limit: int) -> list[MissedPage]:
    pages = [run(owner, lambda owned: owned.missed(None, limit))]
    while pages[-1].next is not None:
        pages.append(run(owner, lambda owned: owned.missed(pages[-1].next, limit)))
    return pages


def test_missed_runs_newest_first_in_pages(partition: PartitionFixture) -> None:
    """They are found after a restart, although many due records are between them."""
    for number in range(3):
        partition.put(f"m{number}", catch_up="last")
    partition.put("other", interval=60)
    owner = partition.owner()
    for _ in range(4):
        partition.tick(3)
        partition.run(owner)
        partition.tick()
        partition.run(owner)

    owner = partition.owner()
    pages = all_pages(owner, 5)
    assert [len(page.runs) for page in pages] == [5, 5, 2]
    runs = [one for page in pages for one in page.runs]
    assert [one.offset for one in runs] == sorted((one.offset for one in runs), reverse=True)
    assert {one.missed.key for one in runs} == {b"m0", b"m1", b"m2"}
    assert all((one.missed.runs, one.missed.reason) == (2, Reason.SUPERSEDED) for one in runs)
    assert [one.tick_ms for one in runs] == sorted((one.tick_ms for one in runs), reverse=True)

    partition.due_log.truncate_before(runs[-2].offset)
    assert sum(len(page.runs) for page in all_pages(owner, 5)) == 11


def test_missed_runs_of_a_tick_that_was_committed_in_part(partition: PartitionFixture) -> None:
    """The chain has each record once."""
    for number in range(4):
        partition.put(f"m{number}", catch_up="last")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    partition.due_log.torn = [TornTransaction(6, answered=True)]
    partition.tick(3)
    partition.run(owner)

    (page,) = all_pages(owner, 10)
    recorded = sum(headers.get("clocksvc-type") == "missed" for headers in partition.headers())
    assert len(page.runs) == recorded >= 4
    assert {one.missed.key for one in page.runs} == {b"m0", b"m1", b"m2", b"m3"}


def test_a_page_ends_after_a_while(partition: PartitionFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    partition.put("m", catch_up="last")
    owner = partition.owner()
    for _ in range(3):
        partition.tick(2)
        partition.run(owner)
    monkeypatch.setattr(missed_runs, "CHUNK", 1)
    partition.due_log.at = lambda _: partition.time.advance(0.3)
    pages = all_pages(owner, 10)
    assert len(pages) > 1
    assert sum(len(page.runs) for page in pages) == 3


@pytest.mark.parametrize("before", [2, 99])
def test_a_wrong_cursor(partition: PartitionFixture, before: int) -> None:
    partition.put("m", catch_up="last")
    owner = partition.owner()
    partition.tick(2)
    partition.run(owner)
    with pytest.raises(InvalidValue, match="before"):
        run(owner, lambda owned: owned.missed(before, 10))


def test_no_missed_runs(partition: PartitionFixture) -> None:
    assert run(partition.owner(), lambda owned: owned.missed(None, 10)) == MissedPage([], None)


# -- the due log ------------------------------------------------------------------------------------------------------


def test_records_without_a_position_are_read(partition: PartitionFixture) -> None:
    """Kafka has removed the position before them."""
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    log = partition.due_log
    first = next(entry.offset for entry in log.committed() if entry.key == b"a")
    log.truncate_before(first)
    log.entries = [entry for entry in log.entries if entry.message is None or entry.message.key == b"a"]

    due_log = FaultyDueLog(log)
    reader = read_due_log(due_log, due_log.stable_bounds(lambda: None), lambda: None)
    assert (reader.position, len(reader.sent_ids)) == (None, 1)
