"""Reading and writing schedules in the owner's thread."""

import json

import pytest

from clocksvc.errors import PreconditionFailed, UnknownSchedule
from clocksvc.scheduler import commands
from clocksvc.scheduler.commands import Change, Precondition, Written
from clocksvc.schedules.schedule import Schedule
from clocksvc.schedules.schedule_json import etag_of
from tests.unit.scheduler.owned_schedules import OwnedInMemory

FIRST_MS, LATER_MS = 1_795_348_800_000, 1_795_348_900_000


def schedule(payload: bytes = b"1", created_ms: int = FIRST_MS) -> Schedule:
    """A schedule."""
    return Schedule("uptime.check", created_ms, every_ms=60_000, payload=payload)


@pytest.fixture
def owned() -> OwnedInMemory:
    """An empty partition."""
    return OwnedInMemory()


def test_the_time_of_creation_stays(owned: OwnedInMemory) -> None:
    """An update keeps it, also if the first record was written by another program; a deletion ends it."""
    owned.written.append((b"a", schedule(b"0").encode()))

    written = commands.put(owned, "a", schedule(b"1", LATER_MS))

    assert written.created_ms == FIRST_MS
    assert written.offset == 1
    assert json.loads(owned.written[1][1] or b"")["created_at"] == "2026-11-22T12:00:00Z"
    assert commands.get(owned, "a").etag == written.etag
    commands.delete(owned, "a")
    assert commands.put(owned, "a", schedule(b"1", LATER_MS)).created_ms == LATER_MS


def test_many_in_one_transaction(owned: OwnedInMemory) -> None:
    """Each keeps its time of creation. Of several records with one id the last counts; the first one creates it."""
    commands.put(owned, "old", schedule())

    written = commands.write_many(
        owned,
        [("new", schedule(b"1", LATER_MS)), ("old", schedule(b"2", LATER_MS)), ("new", schedule(b"3", LATER_MS + 5))],
    )

    assert [one.offset for one in written] == [1, 2, 3]
    assert [one.created_ms for one in written] == [LATER_MS, FIRST_MS, LATER_MS]
    assert commands.get(owned, "new").etag == written[2].etag


def test_many_deletions(owned: OwnedInMemory) -> None:
    """In the same transaction, also of what is not there. A schedule that follows its deletion is a new one."""
    commands.put(owned, "old", schedule())

    written = commands.write_many(owned, [("old", None), ("never", None), ("old", schedule(b"2", LATER_MS))])

    assert written[:2] == [Written("old", 1, None, None), Written("never", 2, None, None)]
    assert owned.written[1:3] == [(b"old", None), (b"never", None)]
    assert written[2].created_ms == LATER_MS


def test_a_write_can_require_the_present_version(owned: OwnedInMemory) -> None:
    """Of two writers that read the same version, the second one fails, and the error has the present ETag."""
    first = commands.put(owned, "a", schedule(b"1"))
    same = Precondition(etags=frozenset({str(first.etag)}))
    second = commands.put(owned, "a", schedule(b"2"), same)

    with pytest.raises(PreconditionFailed, match="nothing has changed") as caught:
        commands.put(owned, "a", schedule(b"3"), same)
    with pytest.raises(PreconditionFailed):
        commands.delete(owned, "a", same)

    assert caught.value.etag == second.etag
    assert len(owned.written) == 2
    assert commands.delete(owned, "a", Precondition(etags=frozenset({"x", str(second.etag)}))) == 2


def test_a_write_can_require_that_there_is_one_or_none(owned: OwnedInMemory) -> None:
    """If-None-Match and If-Match with `*`."""
    exists, absent = Precondition(exists=True), Precondition(absent=True)
    with pytest.raises(PreconditionFailed) as none:
        commands.put(owned, "a", schedule(), exists)
    with pytest.raises(PreconditionFailed):
        commands.delete(owned, "a", exists)
    commands.put(owned, "a", schedule(b"1"), absent)
    with pytest.raises(PreconditionFailed) as one:
        commands.put(owned, "a", schedule(b"2"), absent)
    commands.put(owned, "a", schedule(b"3"), exists)

    assert none.value.etag is None
    assert one.value.etag == etag_of(owned.written[0][1] or b"")
    assert len(owned.written) == 2


def test_what_does_not_exist(owned: OwnedInMemory) -> None:
    """It can't be read or deleted, and no tombstone is written."""
    with pytest.raises(UnknownSchedule, match="'a'"):
        commands.get(owned, "a")
    with pytest.raises(UnknownSchedule):
        commands.delete(owned, "a")
    assert owned.written == []


def test_pages(owned: OwnedInMemory) -> None:
    """In the order of ids, by prefix, limited in number and bytes; `next` is None on the last page alone."""
    commands.write_many(owned, [(schedule_id, schedule()) for schedule_id in ("b:2", "a", "b:1", "b:3", "c")])

    def ids(prefix: str, after: str | None, limit: int, max_bytes: int = 10_000) -> tuple[list[str], str | None]:
        page = commands.list_page(owned, prefix, after, limit, max_bytes)
        return [one.id for one in page.schedules], page.next

    assert ids("", None, 5) == (["a", "b:1", "b:2", "b:3", "c"], None)
    assert ids("b:", None, 2) == (["b:1", "b:2"], "b:2")
    assert ids("b:", "b:2", 2) == (["b:3"], None)
    assert ids("", None, 5, max_bytes=1) == (["a"], "a")
    assert ids("x", None, 5) == ([], None)


def test_changes_in_one_transaction(owned: OwnedInMemory) -> None:
    """Each sees the ones before it, and one that fails stops no other one."""
    etag = commands.put(owned, "old", schedule()).etag or ""
    same = Precondition(etags=frozenset({etag}))

    results = commands.write(
        owned,
        [
            Change("new", schedule(b"1", LATER_MS), Precondition(absent=True)),
            Change("new", schedule(b"2"), Precondition(absent=True)),
            Change("old", None, same),
            Change("old", schedule(), same),
            Change("old", None),
            Change("old", schedule(b"3", LATER_MS)),
        ],
    )

    assert [type(one) for one in results] == (
        [Written, PreconditionFailed, Written, PreconditionFailed, UnknownSchedule, Written]
    )
    assert [one.offset for one in results if isinstance(one, Written)] == [1, 2, 3]
    assert json.loads(owned.written[3][1] or b"")["created_at"] == "2026-11-22T12:01:40Z"
    assert owned.transactions == 2
