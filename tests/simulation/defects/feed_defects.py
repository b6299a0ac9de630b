"""Defects of a feed: what a replica shows of the stream, and what it answers to a cursor."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.clock_reads import StreamTail
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.service import tick_feed as feeds
from clocksvc.service.tick_buffer import TickBuffer
from clocksvc.service.tick_feed import TickFeed
from tests.simulation.defects.defect import Promise, defect, together

Patched = AbstractContextManager[object]


@defect(
    "a feed shows the end of the store's stream without a check",
    Promise.NEVER_BACK,
    "back",
    directed="unit/service/test_tick_feed_trouble.py::test_a_stream_that_ends_below_is_not_shown",
)
def feed_follows_the_store_back() -> Patched:
    def compare(feed: TickFeed, last: Tick, bounds: StreamBounds | StreamTail, _: Sequence[Tick]) -> None:
        if bounds.end_ms is None or bounds.end_ms < last.at_ms:
            feed._buffer.reset(feed._stream.newest_ticks(feed._buffer_size))

    return patch.object(TickFeed, "_compare", compare)


@defect(
    "a feed goes on after a gap as if there were none",
    Promise.NEVER_LOST,
    "lost",
    directed="unit/service/test_tick_feed_trouble.py::test_a_stream_with_a_hole_is_not_shown",
)
def feed_accepts_a_gap() -> Patched:
    def follow(feed: TickFeed, last: Tick) -> bool:
        feed._buffer.extend(feed._stream.ticks_after(last.at_ms, 1_000))
        feed.rebuilding = False
        return True

    return patch.object(TickFeed, "_follow", follow)


@defect(
    "a feed shows what was read with other clocks without a check",
    Promise.NEVER_LOST,
    "lost",
    "back",
    directed="unit/service/test_notice_follower.py::test_a_hole_in_a_stream_is_not_shown",
)
def feed_accepts_any_tail() -> Patched:
    def show(feed: TickFeed, last: Tick, tail: StreamTail, limit: int) -> bool:
        feed._buffer.extend(tail.ticks)
        feed.rebuilding = False
        return True

    return patch.object(TickFeed, "_continue_with", show)


@defect(
    "a cursor older than the kept ticks gets the kept ticks",
    Promise.NEVER_LOST,
    "lost",
    directed="unit/service/test_tick_feed.py::test_a_cursor_older_than_what_is_kept_is_rejected",
)
def old_cursor_answered() -> Patched:
    def after(ring: TickBuffer, cursor_ms: int, limit: int) -> list[Tick]:
        return [tick for tick in ring.newest(1_000_000) if tick.at_ms > cursor_ms][:limit]

    return together(
        patch.object(feeds, "_follows", lambda cursor_ms, kept: bool(kept)), patch.object(TickBuffer, "after", after)
    )


@defect(
    "a stream whose end the store lost is taken for complete",
    Promise.NEVER_LOST,
    "lost",
    "early",
    "back",
    directed="unit/service/test_tick_feed.py::test_a_store_that_does_not_lead_up_to_what_was_shown_gives_no_list",
)
def cursor_answered_from_the_store_alone() -> Patched:
    def kept(feed: TickFeed, cursor_ms: int, limit: int) -> Sequence[Tick]:
        return feed._stream.ticks_after(cursor_ms, limit)

    return patch.object(TickFeed, "_read_stored_after", kept)


@defect(
    "the tick at the cursor is given again",
    Promise.NEVER_LOST,
    "twice",
    directed="unit/service/test_tick_feed.py::test_it_shows_history_and_what_follows",
)
def cursor_is_inclusive() -> Patched:
    after = TickBuffer.after
    return patch.object(TickBuffer, "after", lambda ring, cursor_ms, limit: after(ring, cursor_ms - 1, limit))


@defect(
    "a feed whose stream was missing once never recovers",
    Promise.ALIVE,
    "dead",
    "silent",
    directed="unit/service/test_tick_feed_trouble.py::test_a_lost_stream_is_not_shown_and_heals",
)
def feed_never_recovers() -> Patched:
    step, accept = TickFeed.step, TickFeed.accept

    def stay(feed: TickFeed) -> float:
        return feeds.READ_EVERY_S if feed.rebuilding else step(feed)

    def ignore(feed: TickFeed, tail: StreamTail, limit: int) -> bool:
        return feed.rebuilding or accept(feed, tail, limit)

    return together(patch.object(TickFeed, "step", stay), patch.object(TickFeed, "accept", ignore))


@defect(
    "ticks that are not restored yet count as no longer kept",
    Promise.NEVER_LOST,
    "lost",
    directed="unit/service/test_tick_feed_restoring.py::test_a_replica_that_missed_ticks_waits_until_they_are_restored",
)
def feed_skips_what_is_not_restored() -> Patched:
    compare_bounds = TickFeed._compare

    def compare(feed: TickFeed, last: Tick, seen: StreamBounds | StreamTail, ticks: Sequence[Tick]) -> None:
        compare_bounds(feed, last, replace(seen, restoring=False), ticks)

    def skip(feed: TickFeed, _: Tick, __: Tick) -> bool:
        feed._buffer.reset(feed._stream.newest_ticks(feed._buffer_size))
        feed.rebuilding = False
        return True

    return together(patch.object(TickFeed, "_compare", compare), patch.object(TickFeed, "_skip_trimmed_gap", skip))
