"""What the clocks of a process share in the event loop: threads for blocking calls, and memory for encoded ticks."""

import asyncio
import threading
from collections import Counter
from functools import partial

from clocksvc.api.async_clock import READ_THREADS, REQUEST_THREADS, ShutdownSignal, async_clocks
from clocksvc.clock.logs import log_of
from tests.faulty.clock_views import views_of
from tests.unit.api.clock_fixture import ClockFixture, ticks
from tests.waiting import eventually

LOG = log_of("checkins")
NAMES = [f"clock-{number}" for number in range(400)]
SAME_LOG = ["checkins", *(name for name in NAMES if log_of(name) == LOG)][:20]
OTHER = next(name for name in NAMES if log_of(name) != LOG)


def test_the_clocks_of_a_log_share_threads() -> None:
    """A store that hangs takes a bounded number of threads, however many clocks there are. Requests to the leader, and
    clocks of other logs, have threads of their own."""
    clocks = async_clocks(views_of(*(ClockFixture(name).view for name in (*SAME_LOG, OTHER))), ShutdownSignal())
    release, lock, hanging, most = threading.Event(), threading.Lock(), Counter[str](), Counter[str]()

    def hang(kind: str) -> None:
        with lock:
            hanging[kind] += 1
            most[kind] = max(most[kind], hanging[kind])
        release.wait(20)
        with lock:
            hanging[kind] -= 1

    async def run() -> None:
        reads = [asyncio.create_task(clocks[name].run_blocking(lambda: hang("read"))) for name in SAME_LOG]
        requests = [asyncio.create_task(clocks[name].run_request(lambda: hang("request"))) for name in SAME_LOG]
        all_hang = partial(eventually, lambda: hanging.total() == READ_THREADS + REQUEST_THREADS, what="all to hang")
        await asyncio.to_thread(all_hang)
        assert await asyncio.wait_for(clocks[OTHER].run_blocking(lambda: "read"), 20) == "read"
        release.set()
        await asyncio.gather(*reads, *requests)

    asyncio.run(run())

    assert most == {"read": READ_THREADS, "request": REQUEST_THREADS}


def test_the_clocks_of_a_process_share_the_memory_for_encoded_ticks() -> None:
    """With few clocks each keeps 4,096 of them, with 20 clocks 819. The oldest are dropped, and encoded again."""
    alone = async_clocks(views_of(ClockFixture("checkins").view), ShutdownSignal())["checkins"]
    fixtures = [ClockFixture(name) for name in SAME_LOG]
    among = async_clocks(views_of(*(fixture.view for fixture in fixtures)), ShutdownSignal())["checkins"]
    first, *others = ticks(1_000)
    for clock, kept in ((alone, True), (among, False)):
        encoded = clock.as_event(first)
        assert clock.as_event(first) is encoded
        for tick in others:
            clock.as_event(tick)
        assert (clock.as_event(first) is encoded) == kept
