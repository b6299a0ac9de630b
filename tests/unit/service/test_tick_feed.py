"""The feed: a shown tick stays shown, no tick is missed, and no list has a gap."""

from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import pytest

from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick
from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable
from clocksvc.service.tick_buffer import size_of
from clocksvc.service.tick_feed import TickFeed
from tests.unit.api.clock_fixture import AnsweringStore, ClockFixture, after, ticks


def test_it_is_not_ready_before_it_has_read() -> None:
    """A feed that has not read yet raises an error and does not answer that there are no ticks."""
    bed = ClockFixture()

    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(0, 10)
    with pytest.raises(Rebuilding):
        bed.feed.newest(10)
    assert not bed.feed.ready


def test_a_feed_that_never_reached_the_store_raises() -> None:
    """Before the first answer of the store it raises StoreUnavailable; it does not answer that there are no ticks."""
    bed = ClockFixture()
    bed.server.broken = True

    bed.feed.step()

    assert not bed.feed.ready
    assert not bed.feed.store_ok
    with pytest.raises(StoreUnavailable):
        bed.feed.newest(1)


def test_it_shows_history_and_what_follows() -> None:
    """The stored ticks and later ones are one chain."""
    bed = ClockFixture()
    chain = ticks(5)
    bed.publish(*chain[:3])
    bed.feed.step()

    bed.publish(*chain[3:])
    bed.feed.step()

    assert bed.feed.last == chain[4]
    assert bed.feed.newest(10) == chain
    assert bed.feed.newest(2) == chain[3:]
    assert bed.feed.ticks_after(chain[1].at_ms, 10) == chain[2:]
    assert bed.feed.ticks_after(chain[1].at_ms, 1) == chain[2:3]
    assert bed.feed.ticks_after(chain[4].at_ms, 10) == []


def test_a_clock_without_ticks_has_none_to_give() -> None:
    """Before the first tick lists are empty; then the first tick is shown."""
    bed = ClockFixture()
    bed.feed.step()

    assert bed.feed.ready
    assert bed.feed.ticks_after(0, 10) == bed.feed.newest(10) == []

    bed.publish(*ticks(1))
    bed.feed.step()

    assert bed.feed.ticks_after(0, 10) == ticks(1)


class PublishesInBetween(AnsweringStore):
    """A store in which a tick is published right after each read of its history."""

    def newest_ticks(self, limit: int) -> list[Tick]:
        read = super().newest_ticks(limit)
        self.publish("token-of-the-leader", after(read[-1]) if read else ticks(1))
        return read


@pytest.mark.parametrize("already", [0, 1, 5])
def test_no_tick_is_missed_between_history_and_following(already: int) -> None:
    """A tick that is published between the two reads comes with the second one."""
    bed = ClockFixture()
    bed.store = store = PublishesInBetween("checkins", bed.time, server=bed.server)
    if already:
        bed.publish(*ticks(already))
    feed = TickFeed("checkins", store, bed.time)

    for _ in range(3):
        feed.step()

    shown = feed.newest(100)
    assert shown == ticks(len(shown))
    assert shown == store.ticks_after(0, 100)


def test_subscribers_are_called_on_each_change() -> None:
    """A callback comes for a tick, for an outage and for its end, not for a read without changes."""
    bed = ClockFixture()
    calls: list[int] = []
    end = bed.feed.on_change(lambda: calls.append(1))
    bed.feed.step()
    bed.feed.step()
    assert len(calls) == 1

    bed.publish(*ticks(1))
    bed.feed.step()
    assert len(calls) == 2

    bed.server.broken = True
    bed.feed.step()
    bed.feed.step()
    assert len(calls) == 3

    bed.server.broken = False
    bed.feed.step()
    assert len(calls) == 4

    end()
    bed.publish(*after(ticks(1)[0]))
    bed.feed.step()
    assert len(calls) == 4


def test_older_ticks_come_from_the_store() -> None:
    """For a cursor before the ticks in memory the feed reads the store and joins the ticks without a gap."""
    bed = ClockFixture(keep=4)
    chain = ticks(30)
    bed.publish(*chain)
    bed.feed.step()

    assert bed.feed.ticks_after(0, 100) == chain
    assert bed.feed.ticks_after(chain[9].at_ms, 5) == chain[10:15]
    assert bed.feed.in_memory_after(chain[9].at_ms, 5) is None
    assert bed.feed.in_memory_after(chain[25].at_ms - 1, 5) is None
    assert bed.feed.in_memory_after(chain[25].at_ms, 5) == chain[26:]


def test_the_newest_ticks_come_from_the_store_if_they_are_not_in_memory() -> None:
    """Never beyond the shown ticks. Without an answer, or with another chain in the store, those in memory are all."""
    bed = ClockFixture(keep=3)
    chain = ticks(12)
    bed.publish(*chain[:10])
    bed.feed.step()
    bed.publish(*chain[10:])

    assert bed.feed.newest(3) == chain[7:10]
    assert bed.feed.newest(8) == chain[4:10]
    assert bed.feed.newest(100) == chain[:10]
    assert (bed.feed.has_in_memory(3), bed.feed.has_in_memory(4)) == (True, False)

    bed.have([*chain[:6], *chain[7:]])
    assert bed.feed.newest(100) == chain[7:10]
    bed.server.broken = True
    assert bed.feed.newest(100) == chain[7:10]


def test_no_tick_is_older_than_the_first_one() -> None:
    """All ticks of a young clock are in memory, so a list of more needs no read of the store."""
    bed = ClockFixture()
    bed.publish(*ticks(2))
    bed.feed.step()
    bed.server.broken = True

    assert bed.feed.has_in_memory(100)
    assert bed.feed.newest(100) == ticks(2)


def excluding(tick: Tick, count: int) -> Tick:
    """A tick that did not wait for some partitions."""
    return replace(tick, excluded=tuple(Partition("ingest-checkins", number) for number in range(count)))


def test_ticks_in_memory_are_bounded_in_bytes() -> None:
    """Excluded partitions count. The newest ticks are kept, the last one always; older ones come from the store."""
    plain = ticks(30)
    chain = [*plain[:20], *(excluding(tick, 10) for tick in plain[20:29]), excluding(plain[29], 100_000)]
    bed = ClockFixture()
    bed.feed = TickFeed("checkins", bed.store, bed.time, buffer_bytes=10 * size_of(plain[0]))
    bed.publish(chain[0])
    bed.feed.step()

    in_memory = []
    for tick in chain[1:]:
        bed.publish(tick)
        bed.feed.step()
        in_memory.append(next(count for count in range(30, 0, -1) if bed.feed.has_in_memory(count)))

    assert in_memory[:8] == [30] * 8  # all that there is
    assert in_memory[9:19] == [10] * 10
    assert in_memory[20:28] == [1] * 8
    assert in_memory[-1] == 1
    assert size_of(chain[-1]) > 15_000_000
    assert bed.feed.newest(100) == bed.feed.ticks_after(0, 100) == chain


def test_a_feed_reads_no_more_ticks_than_fit() -> None:
    """At the start, too."""
    bed = ClockFixture()
    chain = ticks(30)
    bed.publish(*chain)
    feed = TickFeed("checkins", bed.store, bed.time, buffer_bytes=4 * size_of(chain[0]))
    with patch.object(AnsweringStore, "newest_ticks", autospec=True, side_effect=AnsweringStore.newest_ticks) as read:
        feed.step()

    assert [call.args[1] for call in read.mock_calls] == [4]
    assert feed.last == chain[-1]


def test_what_the_store_has_beyond_the_feed_is_not_given_yet() -> None:
    """A list never goes beyond the clock that the same replica shows."""
    bed = ClockFixture(keep=2)
    chain = ticks(6)
    bed.publish(*chain[:5])
    bed.feed.step()
    bed.publish(chain[5])

    assert bed.feed.ticks_after(0, 100) == chain[:5]


def test_a_cursor_older_than_what_is_kept_is_rejected() -> None:
    """The `previous` of the oldest stored tick is the oldest valid cursor."""
    bed = ClockFixture(keep=2)
    chain = ticks(10)
    bed.have(chain[3:])
    bed.feed.step()

    assert bed.feed.ticks_after(chain[2].at_ms, 100) == chain[3:]
    with pytest.raises(CursorTooOld) as raised:
        bed.feed.ticks_after(chain[2].at_ms - 1, 100)
    assert (raised.value.oldest_ms, raised.value.oldest_previous_ms) == (chain[3].at_ms, chain[2].at_ms)


@pytest.mark.parametrize(
    "left",
    [[], [3, 4, 5], [0, 1, 2, 3, 4], [3, 4, 6, 7, 8, 9]],
    ids=["gone", "cut short", "cut back", "with a hole"],
)
def test_a_store_that_does_not_lead_up_to_what_was_shown_gives_no_list(left: list[int]) -> None:
    """If any tick is missing between an old cursor and the ticks in memory, the answer is an error, never a gap."""
    bed = ClockFixture(keep=2)
    chain = ticks(10)
    bed.publish(*chain)
    bed.feed.step()
    bed.have([chain[number] for number in left])

    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(chain[3].at_ms, 100)
    assert bed.feed.ticks_after(chain[8].at_ms, 100) == chain[9:]


def test_another_history_in_the_store_is_not_joined_with_what_was_shown() -> None:
    """A chain without gaps that goes beyond the shown ticks, but has other ticks before them, is no answer."""
    bed = ClockFixture(keep=2)
    chain = ticks(10)
    bed.publish(*chain)
    bed.feed.step()
    sparse = chain[0::2]
    others = [replace(tick, previous_ms=before.at_ms) for before, tick in pairwise(sparse)]
    bed.have([sparse[0], *others, replace(chain[9], previous_ms=chain[8].at_ms)])

    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(chain[2].at_ms, 100)


def test_what_is_in_memory_counts_as_kept() -> None:
    """A store that has trimmed ticks that are in memory does not make a valid cursor invalid."""
    bed = ClockFixture(keep=5)
    chain = ticks(10)
    bed.publish(*chain)
    bed.feed.step()
    bed.have(chain[8:])

    assert bed.feed.ticks_after(chain[4].at_ms, 100) == chain[5:]
    with pytest.raises(CursorTooOld) as raised:
        bed.feed.ticks_after(chain[1].at_ms, 100)
    assert (raised.value.oldest_ms, raised.value.oldest_previous_ms) == (chain[5].at_ms, chain[4].at_ms)


def test_reached_names_the_first_tick_at_or_after() -> None:
    """Between two boundaries the later tick is the answer; a tick in memory needs no store."""
    bed = ClockFixture(keep=3)
    chain = ticks(8)
    bed.have(chain[2:])
    bed.feed.step()

    assert bed.feed.reached(chain[6].at_ms) == chain[6]
    assert bed.feed.reached(chain[6].at_ms - 1) == chain[6]
    assert bed.feed.reached(chain[3].at_ms + 1) == chain[4]
    assert bed.feed.reached(chain[7].at_ms + 1) is None
    assert bed.feed.reached(0) == chain[5]
    bed.server.broken = True
    assert bed.feed.reached(chain[3].at_ms) == chain[5]


def test_a_feed_without_steps_is_stalled() -> None:
    """By the monotonic clock, a thread that hangs shows."""
    bed = ClockFixture()
    assert not bed.feed.stalled
    bed.feed.step()
    assert not bed.feed.stalled
    bed.time.advance(60)
    assert bed.feed.stalled
