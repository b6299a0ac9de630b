"""The follower of notices: clocks with new ticks are read at once, all others regularly, and none delays the others."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.tick_feed import READ_EVERY_S, TickFeed
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore, FaultyStoreServer
from tests.unit.api.clock_fixture import NOON, ClockFixture, after, ticks
from tests.waiting import eventually

SAME_LOG = "checkins", next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") == log_of("checkins"))
OTHER_LOG = next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") != log_of("checkins"))


class CountedStore(FaultyStore):
    """A store that counts reads of its stream, and can fail alone."""

    reads = 0
    silent = False
    unreadable = False

    def bounds(self) -> StreamBounds:
        self.reads += 1
        if self.silent:
            raise StoreUnavailable
        if self.unreadable:
            raise ValueError("no tick")
        return super().bounds()


class Notices:
    """Returns what a test sets, once; then nothing."""

    def __init__(self, *results: Collection[str] | None) -> None:
        self.results = [*results]
        self.timeouts_s: list[float] = []
        self.closed = False

    def read(self, timeout_s: float) -> Collection[str] | None:
        self.timeouts_s.append(timeout_s)
        return self.results.pop(0) if self.results else []

    def close(self) -> None:
        self.closed = True


class Followed:
    """Clocks without ticks, on one server, and their follower."""

    def __init__(self, notices: Notices, *clocks: str) -> None:
        self.time = ManualTime(NOON)
        server = FaultyStoreServer(self.time)
        self.stores = {name: CountedStore(name, self.time, server=server) for name in clocks}
        self.feeds = {name: TickFeed(name, store, self.time) for name, store in self.stores.items()}
        self.follower = NoticeFollower(self.feeds.values(), notices, self.time)
        self.notices = notices

    def reads(self) -> dict[str, int]:
        """How often each clock was read since the last call."""
        found = {name: store.reads for name, store in self.stores.items()}
        for store in self.stores.values():
            store.reads = 0
        return found


def test_only_clocks_with_a_notice_are_read() -> None:
    """The first call reads all clocks, a notice its clock, and a notice of an unknown clock nothing."""
    followed = Followed(Notices(None, ["b"], ["strange", "c", "c"]), "a", "b", "c")

    followed.follower.step()
    assert followed.reads() == {"a": 1, "b": 1, "c": 1}
    followed.follower.step()
    assert followed.reads() == {"a": 0, "b": 1, "c": 0}
    followed.follower.step()
    assert followed.reads() == {"a": 0, "b": 0, "c": 1}


def test_after_missed_notices_all_clocks_are_read() -> None:
    """A gap in the notices can concern every clock."""
    followed = Followed(Notices(None, None), "a", "b")
    followed.follower.step()
    followed.reads()

    followed.follower.step()

    assert followed.reads() == {"a": 1, "b": 1}


def test_every_clock_is_read_at_least_every_5_s() -> None:
    """A clock whose notice came recently has its own 5 s."""
    followed = Followed(Notices(None, ["a"]), "a", "b")
    followed.follower.step()
    followed.time.advance(3)
    followed.follower.step()
    followed.reads()

    followed.time.advance(READ_EVERY_S - 3)
    followed.follower.step()
    assert followed.reads() == {"a": 0, "b": 1}
    followed.time.advance(3)
    followed.follower.step()
    assert followed.reads() == {"a": 1, "b": 0}


def test_the_wait_for_notices_ends_when_a_clock_is_due() -> None:
    """It waits for 1 s at most, so that it can be stopped, and not at all while a clock is due."""
    followed = Followed(Notices(None), "a")
    followed.follower.step()
    followed.follower.step()
    followed.time.advance(READ_EVERY_S - 0.25)
    followed.follower.step()
    followed.time.advance(1)
    followed.follower.step()

    assert followed.notices.timeouts_s == [0.0, 1.0, 0.25, 0.0]


def test_many_due_clocks_do_not_delay_a_notice() -> None:
    """After some of the due clocks, the notices are read again; then the others follow, each once."""
    names = [f"clock-{number}" for number in range(120)]
    followed = Followed(Notices(None), *names)
    followed.follower.step()
    followed.time.advance(READ_EVERY_S)
    followed.reads()
    followed.notices.results = [[names[119]]]

    followed.follower.step()
    first = followed.reads()
    followed.follower.step()
    followed.follower.step()

    assert first[names[119]] == 1
    assert sum(first.values()) < 60
    assert {name: count + first[name] for name, count in followed.reads().items()} == dict.fromkeys(names, 1)


def test_a_store_that_does_not_answer_is_asked_once_for_each_log() -> None:
    """A server that hangs would otherwise cost its timeout for each clock. Clocks of other logs are read."""
    followed = Followed(Notices(None), *SAME_LOG, OTHER_LOG)
    for name in SAME_LOG:
        followed.stores[name].silent = True

    answered = followed.follower.step()

    assert not answered
    assert sum(followed.reads()[name] for name in SAME_LOG) == 1
    assert [followed.feeds[name].store_ok for name in (*SAME_LOG, OTHER_LOG)] == [False, False, True]


def test_an_unexpected_exception_concerns_one_clock() -> None:
    """The clock shows as not read; the others are read, and it is read again later."""
    followed = Followed(Notices(None), *SAME_LOG)
    followed.stores["checkins"].unreadable = True

    assert followed.follower.step()
    assert [followed.feeds[name].store_ok for name in SAME_LOG] == [False, True]

    followed.stores["checkins"].unreadable = False
    followed.time.advance(READ_EVERY_S)
    followed.follower.step()
    assert followed.feeds["checkins"].store_ok


def test_a_clock_that_is_rebuilt_is_read_every_second() -> None:
    """Its readers wait for it."""
    bed = ClockFixture()
    follower = bed.follower()
    follower.step(0)
    bed.publish(*ticks(2))
    follower.step(0)
    bed.have([])
    bed.time.advance(READ_EVERY_S)
    follower.step(0)
    assert bed.feed.rebuilding

    bed.have(ticks(2))
    bed.time.advance(1)
    follower.step(0)

    assert not bed.feed.rebuilding


@contextmanager
def running(follower: NoticeFollower) -> Iterator[None]:
    """Run its thread."""
    follower.start()
    try:
        yield
    finally:
        follower.stop()
        ended = follower.join(10)
    assert ended


def test_it_runs_in_a_thread_and_survives_outages() -> None:
    """After an outage it continues; it ends after `stop`."""
    bed = ClockFixture()
    with running(bed.follower()):
        bed.publish(*ticks(1))
        eventually(lambda: bed.feed.last == ticks(1)[0], what="the first tick")
        bed.server.broken = True
        eventually(lambda: not bed.feed.store_ok, what="the outage to be seen")
        bed.server.broken = False
        bed.publish(*after(ticks(1)[0]))
        eventually(lambda: bed.feed.last == after(ticks(1)[0])[0], what="the tick after the outage")
        assert bed.feed.store_ok


def test_a_flushed_store_is_followed_again() -> None:
    """After a flush notices begin again at lower numbers; the first tick of the new stream is shown."""
    bed = ClockFixture()
    chain = ticks(3)
    with running(bed.follower()):
        bed.publish(*chain)
        eventually(lambda: bed.feed.last == chain[2], what="the ticks")
        bed.server.wipe()
        eventually(lambda: bed.feed.rebuilding, what="the loss to be seen")
        bed.lead(chain[2].at_ms, restoring=True)
        bed.publish(*after(chain[2]))
        eventually(lambda: bed.feed.last == after(chain[2])[0], what="the next tick")
        assert not bed.feed.rebuilding


def test_notices_are_closed_at_the_end() -> None:
    """Its connections belong to the follower."""
    followed = Followed(Notices(None), "a")
    with running(followed.follower):
        pass

    assert followed.notices.closed


@pytest.mark.parametrize("count", [1, 1_500])
def test_all_ticks_since_the_last_step_are_shown(count: int) -> None:
    """One notice can mean many ticks."""
    bed = ClockFixture()
    chain = ticks(count + 1, first_s=NOON - 100_000)
    follower = bed.follower()
    bed.publish(chain[0])
    follower.step(0)
    bed.publish(*chain[1:])
    follower.step(0)

    shown: list[Tick] = bed.feed.newest(2_000)
    assert shown == chain
