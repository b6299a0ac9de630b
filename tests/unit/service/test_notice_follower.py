"""The follower of notices: clocks with new ticks are read at once, all others regularly, and none delays the others."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, ClockReads, StreamTail
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.tick_feed import READ_EVERY_S, RETRY_EVERY_S, TickFeed
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore, FaultyStoreServer
from tests.unit.api.clock_fixture import NOON, ClockFixture, after, ticks
from tests.waiting import eventually

SAME_LOG = "checkins", next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") == log_of("checkins"))
OTHER_LOG = next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") != log_of("checkins"))


class CountedStore(FaultyStore):
    """A store that counts how often its feed is stepped, and can fail alone."""

    steps = 0
    silent = False
    unreadable = False

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        self.steps += 1
        return super().ticks_after(after_ms, limit)

    def bounds(self) -> StreamBounds:
        if self.silent:
            raise StoreUnavailable
        if self.unreadable:
            raise ValueError("no tick")
        return super().bounds()


class CountedReads:
    """Reads of clocks: counts them, and fails for the stores that fail."""

    def __init__(self, stores: Mapping[str, CountedStore], reads: ClockReads) -> None:
        self._stores, self._reads = stores, reads
        self.calls: list[Collection[str]] = []

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        return self._reads.read(clocks)

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        self.calls.append(after_ms.keys())
        failing = {name for name in after_ms if self._stores[name].silent or self._stores[name].unreadable}
        return {**self._reads.tails(after_ms, limit), **{name: StoreUnavailable() for name in failing}}


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
        self.counted = CountedReads(self.stores, server.clock_reads())
        self.follower = NoticeFollower(self.feeds.values(), notices, self.counted, self.time)
        self.notices = notices

    def have(self, tick: Tick) -> None:
        """Give each clock a stream with this tick alone."""
        for name, store in self.stores.items():
            store.server.content.clock(name).ticks = [replace(tick, clock=name)]

    def reads(self) -> dict[str, int]:
        """How often each clock was read since the last call."""
        found = {name: sum(name in call for call in self.counted.calls) for name in self.stores}
        self.counted.calls.clear()
        return found

    def steps(self) -> dict[str, int]:
        """How often each feed was stepped alone since the last call."""
        found = {name: store.steps for name, store in self.stores.items()}
        for store in self.stores.values():
            store.steps = 0
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
    """Also one whose notice came recently. All clocks of a log are read with one call, and never all logs together."""
    followed = Followed(Notices(None), *SAME_LOG, OTHER_LOG)
    followed.follower.step()
    assert [len(call) for call in followed.counted.calls] == [3]
    for _ in range(20):
        followed.reads()
        followed.notices.results = [[SAME_LOG[0]]]
        for _ in range(round(READ_EVERY_S / 0.5)):
            followed.time.advance(0.5)
            followed.follower.step()
        calls = [call for call in followed.counted.calls if len(call) > 1 or OTHER_LOG in call]
        assert sorted(map(sorted, calls)) == sorted([sorted(SAME_LOG), [OTHER_LOG]])


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


def test_many_clocks_that_need_a_step_do_not_delay_a_notice() -> None:
    """After some of the steps, the notices are read again, without a wait; then the others follow, each once."""
    names = [f"clock-{number}" for number in range(120)]
    followed = Followed(Notices(None), *names)
    first, later = (ticks(1, first_s=NOON - age_s, previous_s=NOON - age_s - 60)[0] for age_s in (600, 300))
    followed.have(first)
    followed.follower.step()
    followed.have(later)  # with a gap, which a step may skip
    followed.steps()
    followed.notices.results = [None, [names[119]]]

    counts = []
    for _ in range(3):
        followed.follower.step()
        counts.append(followed.steps())

    assert sum(counts[0].values()) == 50
    assert counts[0][names[119]] + counts[1][names[119]] == 1
    assert {name: sum(count[name] for count in counts) for name in names} == dict.fromkeys(names, 1)
    assert followed.notices.timeouts_s[-2:] == [0.0, 0.0]
    assert {feed.last.at_ms for feed in followed.feeds.values() if feed.last} == {later.at_ms}


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


def test_the_streams_of_many_clocks_are_read_with_one_question() -> None:
    """Histories at the start, and then new ticks: no feed reads its own stream."""
    names = [f"clock-{number}" for number in range(200)]
    followed = Followed(Notices(None), *names)
    chain = ticks(3, first_s=NOON - 600)
    followed.have(chain[0])
    followed.follower.step()
    for name, store in followed.stores.items():
        store.server.content.clock(name).ticks = [replace(tick, clock=name) for tick in chain]
    followed.notices.results = [names]

    followed.follower.step()

    assert {feed.last.at_ms for feed in followed.feeds.values() if feed.last} == {chain[2].at_ms}
    assert [len(call) for call in followed.counted.calls] == [200, 200]
    assert set(followed.steps().values()) == {0}


def test_a_hole_in_a_stream_is_not_shown() -> None:
    """The feed stops before the hole, and continues when it is filled."""
    bed = ClockFixture()
    chain, follower = ticks(8), bed.follower()
    bed.publish(*chain[:3])
    follower.step(0)

    bed.have([*chain[:5], *chain[6:]])
    follower.step(0)
    assert (bed.feed.last, bed.feed.rebuilding) == (chain[4], True)

    bed.have(chain)
    follower.step(0)
    assert (bed.feed.last, bed.feed.rebuilding) == (chain[7], False)
    assert bed.feed.newest(100) == chain


def test_ticks_that_will_be_restored_are_waited_for() -> None:
    """A replica that missed ticks before a loss of the store shows none of the later ones, and reads no more for it."""
    followed = Followed(Notices(None), "a")
    chain = ticks(4, clock="a")
    content = followed.stores["a"].server.content.clock("a")
    content.ticks = chain[:1]
    followed.follower.step()

    content.ticks, content.written, content.restoring = chain[3:], True, True
    followed.time.advance(READ_EVERY_S)
    followed.follower.step()
    assert (followed.feeds["a"].last, followed.feeds["a"].rebuilding, followed.steps()["a"]) == (chain[0], True, 0)

    content.ticks, content.restoring = chain, False
    followed.time.advance(RETRY_EVERY_S)
    followed.follower.step()
    assert (followed.feeds["a"].last, followed.feeds["a"].rebuilding) == (chain[3], False)


def test_a_lost_stream_costs_no_step() -> None:
    """While the streams of many clocks are empty, they are read together, once a second."""
    followed = Followed(Notices(None), *SAME_LOG)
    followed.have(ticks(1)[0])
    followed.follower.step()
    followed.stores[SAME_LOG[0]].server.wipe()
    followed.time.advance(READ_EVERY_S)
    followed.follower.step()
    followed.reads()
    for _ in range(5):
        followed.time.advance(RETRY_EVERY_S)
        followed.follower.step()

    assert [feed.rebuilding for feed in followed.feeds.values()] == [True, True]
    assert set(followed.steps().values()) == {0}
    assert set(followed.reads().values()) == {5}
