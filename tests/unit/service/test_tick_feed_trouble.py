"""The feed with a store that is lost, cut, trimmed or broken: nothing goes back, and no list has a gap."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable
from clocksvc.memory.store_state import StoredClock
from tests.unit.api.clock_fixture import NOON, ClockFixture, after, ticks


def test_a_store_out_of_reach_takes_nothing_away() -> None:
    """Ticks in memory are still returned; a read that needs the store raises StoreUnavailable."""
    bed = ClockFixture(keep=3)
    chain = ticks(6)
    bed.publish(*chain)
    bed.feed.step()
    bed.server.broken = True
    bed.feed.step()

    assert bed.feed.last == chain[5]
    assert bed.feed.ready
    assert not bed.feed.store_ok
    assert bed.feed.ticks_after(chain[3].at_ms, 10) == chain[4:]
    with pytest.raises(StoreUnavailable):
        bed.feed.ticks_after(chain[0].at_ms, 10)


def test_a_lost_stream_is_not_shown_and_heals() -> None:
    """After a flush the last tick stays shown; when the stream is back the feed is as before."""
    bed = ClockFixture()
    chain = ticks(4)
    bed.publish(*chain)
    bed.feed.step()

    bed.server.wipe()
    bed.feed.step()
    assert bed.feed.rebuilding
    assert bed.feed.last == chain[3]

    bed.lead()
    bed.have(chain[1:])
    bed.feed.step()
    assert not bed.feed.rebuilding
    bed.publish(*after(chain[3]))
    bed.feed.step()
    assert bed.feed.newest(10) == [*chain, *after(chain[3])]


def test_a_replica_that_starts_on_a_flushed_store_does_not_answer_that_there_are_no_ticks() -> None:
    """Before a leader has written the store, an empty stream means nothing: a subscriber from the beginning must get
    all ticks."""
    bed = ClockFixture()
    chain = ticks(3)
    bed.publish(*chain)
    bed.server.wipe()
    bed.feed.step()
    with pytest.raises(Rebuilding):
        bed.feed.newest(1)
    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(0, 10)

    bed.lead()
    bed.have(chain)
    bed.feed.step()
    assert bed.feed.newest(10) == chain


def test_a_new_clock_has_no_ticks_as_soon_as_its_leader_has_written_the_store() -> None:
    """At once, not only after the feed's next read."""
    bed = ClockFixture(led=False)
    bed.feed.step()
    with pytest.raises(Rebuilding):
        bed.feed.newest(1)

    bed.lead()
    assert bed.feed.newest(1) == bed.feed.ticks_after(0, 10) == []

    bed.publish(*ticks(1))
    with pytest.raises(Rebuilding):
        bed.feed.newest(1)
    bed.feed.step()
    assert bed.feed.newest(1) == ticks(1)


def test_a_stream_that_ends_below_is_not_shown() -> None:
    """A stream that was cut, for example by a store's roll-back, moves nothing back. The feed continues when the stream
    has caught up."""
    bed = ClockFixture()
    chain = ticks(4)
    bed.publish(*chain)
    bed.feed.step()

    bed.have(chain[:2])
    bed.feed.step()
    assert bed.feed.rebuilding
    assert bed.feed.last == chain[3]

    bed.publish(chain[2], chain[3], *after(chain[3]))
    bed.feed.step()
    assert not bed.feed.rebuilding
    assert bed.feed.last == after(chain[3])[0]


@pytest.mark.parametrize("older", [2, 0])
def test_a_stream_that_contradicts_what_was_shown_is_not_shown(older: int) -> None:
    """A later tick whose `previous` is before the last shown tick belongs to another history."""
    bed = ClockFixture()
    chain = ticks(4)
    bed.publish(*chain)
    bed.feed.step()
    later = ticks(1, first_s=chain[3].at_ms // 1000 + 60, previous_s=chain[1].at_ms // 1000)

    bed.have([*chain[:older], *later])
    bed.feed.step()

    assert bed.feed.rebuilding
    assert bed.feed.last == chain[3]
    assert bed.feed.ticks_after(chain[0].at_ms, 10) == chain[1:]


def test_the_feed_continues_after_a_stream_was_trimmed_beyond_what_was_shown() -> None:
    """After a long absence the ticks in between are gone: cursors before them are rejected, and the clock continues."""
    bed = ClockFixture()
    chain = ticks(20)
    bed.publish(*chain[:3])
    bed.feed.step()

    bed.have(chain[10:])
    bed.feed.step()

    assert not bed.feed.rebuilding
    assert bed.feed.last == chain[19]
    assert bed.feed.newest(100) == chain[10:]
    assert bed.feed.ticks_after(chain[9].at_ms, 100) == chain[10:]
    with pytest.raises(CursorTooOld) as raised:
        bed.feed.ticks_after(chain[2].at_ms, 100)
    assert (raised.value.oldest_ms, raised.value.oldest_previous_ms) == (chain[10].at_ms, chain[9].at_ms)


@pytest.mark.parametrize("keep", [100, 2])
def test_a_stream_with_a_hole_is_not_shown(keep: int) -> None:
    """A missing tick in the middle is no trimming: the feed stops before the gap, and continues when it is filled."""
    bed = ClockFixture(keep=keep)
    chain = ticks(8)
    bed.publish(*chain[:3])
    bed.feed.step()

    bed.have([*chain[:5], *chain[6:]])
    bed.read()
    assert bed.feed.last == chain[4]
    assert bed.feed.rebuilding

    bed.have(chain)
    bed.read()
    assert bed.feed.last == chain[7]
    assert not bed.feed.rebuilding
    assert bed.feed.newest(100) == chain


def test_a_stream_with_a_hole_at_the_start_is_not_shown() -> None:
    """A replica that starts with a broken chain waits until the chain is complete."""
    bed = ClockFixture()
    chain = ticks(5)
    bed.have([*chain[:2], *chain[3:]])
    bed.feed.step()

    assert bed.feed.rebuilding
    assert bed.feed.last is None
    with pytest.raises(Rebuilding):
        bed.feed.ticks_after(0, 10)

    bed.have(chain)
    bed.feed.step()
    assert bed.feed.newest(10) == chain
    assert not bed.feed.rebuilding


STREAMS = st.tuples(st.integers(0, 24), st.integers(0, 24))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("stream"), STREAMS), st.tuples(st.sampled_from(["down", "up", "step", "pull"]), STREAMS)
    ),
    max_size=40,
)


@given(EVENTS)
def test_a_follower_gets_each_tick_once_in_order_with_any_store(
    events: list[tuple[str, tuple[int, int]]],
) -> None:
    """The stream is any part of the true chain at any moment, or the store does not answer; a follower resumes from the
    last tick that it saw. It gets exactly the ticks after that. Ticks may be missing only after CursorTooOld."""
    bed = ClockFixture(keep=4)
    chain = ticks(24)
    position = {tick: number for number, tick in enumerate(chain)}
    cursor_ms, got, last, skipped = 0, -1, -1, 0
    for event, (begin, end) in events:
        if event == "stream":
            clock = StoredClock()
            clock.ticks = chain[begin:end]
            bed.server.content.clocks["checkins"] = clock
        elif event in ("down", "up"):
            bed.server.broken = event == "down"
        elif event == "step":
            bed.feed.step()
            now = -1 if bed.feed.last is None else position[bed.feed.last]
            assert now >= last
            last = now
        else:
            try:
                for tick in bed.feed.ticks_after(cursor_ms, 3):
                    assert position[tick] == got + 1
                    got, cursor_ms = position[tick], tick.at_ms
                assert got <= last
            except CursorTooOld as error:
                begins_after = next(n for n, tick in enumerate(chain) if tick.at_ms == error.oldest_previous_ms)
                skipped = begins_after - got
                got, cursor_ms = begins_after, chain[begins_after].at_ms
            except (Rebuilding, StoreUnavailable):
                continue
            assert skipped >= 0


def test_another_emission_of_the_same_tick_is_the_same_tick() -> None:
    """A stream that was rebuilt from the log may contain the same ticks with another emission time."""
    bed = ClockFixture()
    chain = ticks(3)
    bed.publish(*chain)
    bed.feed.step()

    bed.have([*chain[:2], replace(chain[2], emitted_at_ms=NOON * 1000)])
    bed.feed.step()
    bed.publish(*after(chain[2]))
    bed.feed.step()

    assert not bed.feed.rebuilding
    assert bed.feed.newest(10) == [*chain, *after(chain[2])]
