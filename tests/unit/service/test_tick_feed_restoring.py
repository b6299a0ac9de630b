"""The feed after the store was emptied: live ticks are shown at once, older ones when they are restored, and none is
skipped."""

import pytest

from clocksvc.errors import CursorTooOld, Rebuilding
from clocksvc.interfaces.clock_reads import StreamTail
from clocksvc.service.tick_feed import TickFeed
from tests.unit.api.clock_fixture import TOKEN, ClockFixture, ticks


def flushed(bed: ClockFixture, base_ms: int | None, *, restoring: bool = True) -> None:
    """The store is emptied, and a leader begins the stream after `base_ms`."""
    bed.server.wipe()
    bed.lead(base_ms, restoring=restoring)


def test_a_replica_that_showed_every_tick_continues_at_once() -> None:
    """A stream that begins after the last shown tick continues it, also while older ticks are restored."""
    bed = ClockFixture()
    chain = ticks(5)
    bed.publish(*chain[:4])
    bed.read()
    flushed(bed, chain[3].at_ms)
    bed.read()
    assert not bed.feed.rebuilding

    bed.publish(chain[4])
    bed.read()

    assert bed.feed.last == chain[4]
    assert bed.feed.newest(10) == chain
    assert not bed.feed.rebuilding


def test_a_replica_that_missed_ticks_waits_until_they_are_restored() -> None:
    """Its clock does not move, and none of the ticks in between is skipped."""
    bed = ClockFixture()
    chain = ticks(10)
    bed.publish(*chain[:3])
    bed.read()
    flushed(bed, chain[6].at_ms)
    bed.read()
    assert (bed.feed.rebuilding, bed.feed.last) == (True, chain[2])
    bed.publish(*chain[7:9])
    bed.read()
    assert (bed.feed.rebuilding, bed.feed.last) == (True, chain[2])
    assert bed.feed.ticks_after(chain[0].at_ms, 10) == chain[1:3]

    bed.store.stage(TOKEN, chain[:9], first=True)
    assert bed.store.finish_restoring(TOKEN)
    bed.read()

    assert (bed.feed.rebuilding, bed.feed.last) == (False, chain[8])
    assert bed.feed.newest(10) == chain[:9]


def test_init_that_skips_ticks_is_a_reset_for_earlier_cursors() -> None:
    """Before the next tick, a replica shows its last tick, and no tick follows it. With the next tick, every cursor
    before the new beginning is too old, and none is answered with a gap."""
    bed = ClockFixture()
    chain = ticks(10)
    bed.publish(*chain[:3])
    bed.read()
    bed.store.begin(TOKEN, chain[6].at_ms, restoring=False)
    bed.read()
    assert (bed.feed.rebuilding, bed.feed.last) == (False, chain[2])
    assert bed.feed.ticks_after(chain[2].at_ms, 10) == []

    bed.publish(*chain[7:9])
    bed.read()

    assert bed.feed.last == chain[8]
    for cursor in chain[:6]:
        with pytest.raises(CursorTooOld) as reset:
            bed.feed.ticks_after(cursor.at_ms, 10)
        assert (reset.value.oldest_ms, reset.value.oldest_previous_ms) == (chain[7].at_ms, chain[6].at_ms)
    assert bed.feed.ticks_after(chain[6].at_ms, 10) == chain[7:9]


def test_a_replica_that_starts_meanwhile_shows_live_ticks() -> None:
    """A cursor into what is not restored yet is `Rebuilding`, never `CursorTooOld`; later it is answered."""
    bed = ClockFixture()
    chain = ticks(8)
    flushed(bed, chain[4].at_ms)
    bed.publish(*chain[5:7])
    bed.read()

    assert bed.feed.last == chain[6]
    assert not bed.feed.rebuilding
    assert bed.feed.ticks_after(chain[4].at_ms, 10) == chain[5:7]
    for cursor_ms in (0, chain[1].at_ms, chain[4].at_ms - 1):
        with pytest.raises(Rebuilding):
            bed.feed.ticks_after(cursor_ms, 10)

    bed.store.stage(TOKEN, chain[2:7], first=True)
    assert bed.store.finish_restoring(TOKEN)
    assert bed.feed.ticks_after(chain[1].at_ms, 10) == chain[2:7]
    with pytest.raises(CursorTooOld):
        bed.feed.ticks_after(chain[0].at_ms, 10)


def test_a_replica_that_starts_before_the_next_tick_shows_no_tick_and_no_list() -> None:
    """The clock has ticks, but none of them is known here: it is `rebuilding`, not without ticks."""
    bed = ClockFixture()
    chain = ticks(3)
    flushed(bed, chain[2].at_ms)
    bed.read()

    assert bed.feed.rebuilding
    assert bed.feed.beginning_ms is None
    with pytest.raises(Rebuilding):
        bed.feed.newest(1)
    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(chain[2].at_ms, 1)

    bed.store.stage(TOKEN, chain, first=True)
    assert bed.store.finish_restoring(TOKEN)
    bed.read()
    assert bed.feed.newest(10) == chain
    assert not bed.feed.rebuilding


@pytest.mark.parametrize("restoring", [True, False])
def test_a_gap_is_skipped_only_when_it_can_not_be_restored(restoring: bool) -> None:
    """Ticks that are no longer kept are skipped; ticks that will be restored are waited for."""
    bed = ClockFixture()
    chain = ticks(9)
    bed.publish(*chain[:2])
    bed.read()
    flushed(bed, chain[5].at_ms, restoring=restoring)
    bed.publish(*chain[6:])
    bed.read()

    assert bed.feed.last == (chain[1] if restoring else chain[8])
    assert bed.feed.rebuilding is restoring


def test_the_beginning_is_known_before_the_first_tick() -> None:
    """The time that `clocksvc init` set is `previous` in the first tick. A feed that starts later does not know it."""
    bed = ClockFixture(led=False)
    first = ticks(1, previous_s=ticks(1)[0].at_ms // 1000 - 60)[0]
    bed.lead(first.previous_ms)

    late = TickFeed("checkins", bed.store, bed.time)
    bed.read()
    assert bed.feed.newest(1) == []
    assert bed.feed.beginning_ms == first.previous_ms
    assert first.previous_ms is not None
    assert bed.feed.ticks_after(first.previous_ms, 1) == []

    bed.publish(first)
    bed.read()
    late.step()
    assert (bed.feed.beginning_ms, late.beginning_ms) == (first.previous_ms, None)
    assert bed.feed.ticks_after(first.previous_ms, 1) == [first]


def test_the_beginning_is_known_if_memory_and_one_call_have_only_the_newest_ticks() -> None:
    """A catch-up after `clocksvc init` publishes many ticks at once. The time that `init` set stays the beginning."""
    bed = ClockFixture(keep=3, led=False)
    chain = ticks(10, previous_s=ticks(1)[0].at_ms // 1000 - 60)
    bed.lead(chain[0].previous_ms)
    bed.read()
    bed.publish(*chain)

    tail = bed.server.clock_reads().tails({"checkins": bed.feed.cursor_ms}, 3)["checkins"]
    assert isinstance(tail, StreamTail)
    if not bed.feed.accept(tail, 3):
        bed.feed.step()

    assert bed.feed.beginning_ms == chain[0].previous_ms
    assert bed.feed.last == chain[-1]


def test_a_second_init_changes_the_beginning() -> None:
    """`init` can be repeated before the first tick."""
    bed = ClockFixture()
    bed.read()
    assert bed.feed.beginning_ms is None

    bed.store.begin(TOKEN, 60_000, restoring=False)
    bed.read()

    assert bed.feed.beginning_ms == 60_000


def test_a_stream_that_was_never_begun_says_nothing() -> None:
    """After a flush and before a leader, a replica without ticks does not answer that there are none."""
    bed = ClockFixture()
    bed.read()
    assert bed.feed.newest(1) == []

    bed.server.wipe()
    bed.read()

    with pytest.raises(Rebuilding):
        bed.feed.newest(1)
    bed.lead()
