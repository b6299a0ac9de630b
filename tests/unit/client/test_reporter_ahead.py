"""`Reporter.ahead`: with the real leader over a store in memory, over Redis, and with a thread of its own."""

import time

import pytest

from clocksvc import Reporter
from clocksvc.client.drift import CONFIRMED_S
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.testing import InMemoryClock
from tests.unit.client.fake_sink import MINUTE_MS, NOW_MS, TOPIC, AssignedPartition, FakeSink, SteppedReporter
from tests.waiting import eventually

BEGIN_MS = NOW_MS - 180 * MINUTE_MS
DRIFT_MS = 10 * MINUTE_MS
PARAMETERS = ClockParameters("workers", (TOPIC,), MINUTE_MS, 0, MINUTE_MS, DRIFT_MS)
AHEAD = {Partition(TOPIC, 1)}


def minute(number: float) -> int:
    """A time in minutes after BEGIN_MS."""
    return BEGIN_MS + round(number * MINUTE_MS)


class Backlog:
    """A consumer with partitions 0 and 1 of a clock that is three hours behind. Partition 1 has got ahead of 0."""

    def __init__(self) -> None:
        self.clock = InMemoryClock(topic=TOPIC, partitions=2, max_drift_seconds=DRIFT_MS / 1000)
        self.reporter = Reporter(
            "memory://", "clock", group="group", topic=TOPIC, sink=self.clock.store, time=self.clock.time, start=False
        )
        self.clock.settle()
        for number in range(3):
            self.read({0: number, 1: number})
        self.read({1: 20})

    def read(self, minutes: dict[int, float]) -> None:
        """Process records, and wait until they are reported and ticked."""
        for partition, number in minutes.items():
            self.reporter.observe(partition, minute(number))
        self.report()

    def report(self) -> None:
        """Do what is due in the reporter and in the leader."""
        for _ in range(10):
            self.clock.settle()
            if self.reporter.step() > 0:
                return
        raise AssertionError("the reporter always has another step due")

    def pass_time(self, seconds: float) -> None:
        """Let the reporter and the leader do what is due in this time. The consumer asks what is ahead all the time."""
        end = self.clock.time.monotonic() + seconds
        while (left := end - self.clock.time.monotonic()) > 0:
            self.clock.time.advance(min(left, 0.05))
            self.report()
            self.reporter.ahead()


@pytest.mark.core
def test_a_partition_is_paused_until_the_others_are_near() -> None:
    """More than `max_drift` ahead of the global clock, until it is less than half of it ahead."""
    backlog = Backlog()
    assert [tick.at_ms for tick in backlog.clock.ticks()] == [minute(number) for number in range(3)]

    assert backlog.reporter.ahead() == AHEAD

    backlog.read({0: 15})
    assert backlog.reporter.ahead() == AHEAD

    backlog.read({0: 16})
    assert backlog.reporter.ahead() == frozenset()

    backlog.read({1: 26})
    assert backlog.reporter.ahead() == frozenset()

    backlog.read({1: 27})
    assert backlog.reporter.ahead() == AHEAD


@pytest.mark.core
def test_another_consumer_moves_the_clock_while_all_partitions_of_this_one_are_paused() -> None:
    """The reporter has nothing new to report. It asks nevertheless, so the partition is resumed within 5 s."""
    backlog = Backlog()
    backlog.reporter.on_revoke(None, [AssignedPartition(0)])
    for number in range(3, 12):
        backlog.clock.report(0, minute(number) / 1000)
        backlog.pass_time(5)
        assert backlog.reporter.ahead() == AHEAD

    backlog.clock.report(0, minute(16) / 1000)
    backlog.pass_time(5)

    assert backlog.reporter.ahead() == frozenset()


@pytest.mark.core
def test_the_partition_that_holds_the_clock_is_never_paused() -> None:
    """Even if it has advanced further than the paused one, and the answer to its report is not there yet."""
    backlog = Backlog()
    backlog.reporter.observe(0, minute(90))

    assert backlog.reporter.ahead() == AHEAD

    backlog.report()

    assert backlog.reporter.ahead() == {Partition(TOPIC, 0)}


@pytest.mark.core
def test_records_that_are_read_and_not_processed_yet_count() -> None:
    """For a consumer that buffers. A timestamp that the clock would reject counts for nothing."""
    backlog = Backlog()
    backlog.read({0: 15, 1: 24})
    assert backlog.reporter.ahead() == frozenset()

    assert backlog.reporter.ahead({(TOPIC, 1): minute(25)}) == frozenset()
    assert backlog.reporter.ahead({(TOPIC, 1): minute(26)}) == AHEAD
    # 9 minutes are above half
    assert backlog.reporter.ahead({(TOPIC, 0): minute(25), ("other", 1): minute(99)}) == AHEAD
    assert backlog.reporter.ahead({(TOPIC, 1): NOW_MS + 3_600_000}) == AHEAD

    backlog.read({0: 23})

    assert backlog.reporter.ahead({(TOPIC, 1): NOW_MS + 3_600_000}) == frozenset()


@pytest.mark.core
def test_a_partition_that_was_revoked_or_lost_is_not_ahead() -> None:
    """It is not ahead either when it comes back, until a record of it is processed and reported again."""
    for leave in (Reporter.on_revoke, Reporter.on_lost, Reporter.on_assign):
        backlog = Backlog()
        assert backlog.reporter.ahead() == AHEAD

        leave(backlog.reporter, None, [AssignedPartition(1)])
        assert backlog.reporter.step() > 1  # it does not ask for this partition any more
        assert backlog.reporter.ahead() == frozenset()

        backlog.read({1: 20})
        assert backlog.reporter.ahead() == AHEAD

    backlog.reporter.close()
    assert backlog.reporter.ahead() == frozenset()


@pytest.mark.core
def test_nothing_is_paused_while_an_operator_pauses_the_clock() -> None:
    """The slowest partition advances, and no tick follows: within 10 s all partitions are read again."""
    backlog = Backlog()
    now_ms = backlog.clock.time.now_ms()
    pause = Request("r", RequestKind.PAUSE, "ada", now_ms, "maintenance", now_ms + 10_000)
    assert backlog.clock.store.submit_request(pause)
    backlog.pass_time(1)
    assert backlog.reporter.ahead() == AHEAD

    for number in range(3, 14):
        backlog.read({0: number})
        backlog.pass_time(1)

    assert len(backlog.clock.ticks()) == 3
    assert backlog.reporter.ahead() == frozenset()


@pytest.mark.core
def test_nothing_is_paused_10_s_after_the_store_or_the_leader_is_away() -> None:
    """Without the store there are no answers. Without a leader the global clock may be wrong, even if the slowest
    partition has not reached the next boundary."""
    backlog = Backlog()
    backlog.clock.leader.leave()
    backlog.clock.leader.step = lambda: 1.0  # type: ignore[method-assign]
    backlog.pass_time(7)
    assert backlog.reporter.ahead() == AHEAD

    backlog.pass_time(3.1)
    assert backlog.reporter.ahead() == frozenset()

    stepped = SteppedReporter(FakeSink(PARAMETERS, minute(0)))
    for number in range(2):
        stepped.sink.last_tick_ms = stepped.sink.lowest_ms = minute(number)
        stepped.observe(minute(20 + number), partition=1)
    assert stepped.reporter.ahead() == AHEAD

    stepped.sink.error = StoreUnavailable()
    stepped.pass_time(CONFIRMED_S)
    assert stepped.reporter.ahead() == AHEAD

    stepped.time.advance(0.001)
    assert stepped.reporter.ahead() == frozenset()


@pytest.mark.core
def test_nothing_is_paused_without_max_drift_or_without_an_answer() -> None:
    """`ahead` is a look-up."""
    for parameters in (PARAMETERS, None):
        reporter = SteppedReporter(FakeSink(parameters), topic=None, has_parameters=False).reporter

        assert reporter.ahead() == frozenset()

    backlog = Backlog()
    backlog.clock.leader.leave()
    backlog.clock.leader = backlog.clock.new_leader("other", InMemoryClock(topic=TOPIC, partitions=2).spec)
    backlog.pass_time(5)

    assert backlog.reporter.ahead() == frozenset()


@pytest.mark.servers
def test_a_paused_partition_is_resumed_over_redis_by_the_reporters_thread(redis_url: str, key_prefix: str) -> None:
    """Each of two consumers has a partition. The one that is ahead learns of the other's progress while it waits."""
    url = f"{redis_url}?prefix={key_prefix}"
    server = RedisStoreServer(RedisConnection(parse_redis_url(redis_url)), key_prefix)
    store = server.store("checkins")
    leases = server.leases(log_of("checkins"))
    leases.acquire("token", "a leader", 60_000)
    now_ms = time.time_ns() // 1_000_000
    begin_ms = (now_ms - 180 * MINUTE_MS) // MINUTE_MS * MINUTE_MS
    store.claim("token", StoreIdentity("cluster"), PARAMETERS, now_ms)
    store.write_roster("token", Roster({TOPIC: TopicMetadata("id", 2)}), 1)
    store.begin("token", None, restoring=False)
    ticked: list[int] = []

    def move_slow(number: int) -> None:
        leases.read_round("token", 60_000, ["checkins"])
        slow.observe(0, begin_ms + number * MINUTE_MS)
        assert slow.flush()
        at_ms = begin_ms + number * MINUTE_MS
        store.publish("token", [Tick("checkins", at_ms, ticked[-1] if ticked else None, MINUTE_MS, now_ms)])
        ticked.append(at_ms)

    with Reporter(url, "checkins", group="workers") as slow, Reporter(url, "checkins", group="workers") as fast:
        fast.observe(1, begin_ms)
        assert fast.flush()
        move_slow(1)
        fast.observe(1, begin_ms + 20 * MINUTE_MS)
        assert fast.flush()
        assert fast.ahead() == AHEAD

        move_slow(2)
        fast.observe(1, begin_ms + 21 * MINUTE_MS)
        eventually(lambda: fast.ahead() == AHEAD, what="the partition to be ahead")
        assert slow.ahead() == frozenset()

        move_slow(17)  # long before the thread of the other reporter repeats its reports
        eventually(lambda: fast.ahead() == frozenset(), within=4, what="the partition to be resumed")
    store.close()
