"""`clocksvc.aio` in an event loop: cancellation, fairness, many ticks, and a service that restarts."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from clocksvc import Reporter
from clocksvc.aio import ticks, wait_until
from clocksvc.clock.tick import Tick
from clocksvc.errors import ServiceUnavailable
from tests.unit.api.clock_fixture import NOON, ClockFixture
from tests.unit.api.clock_fixture import ticks as chain_of
from tests.unit.api.running_service import RunningService, serving
from tests.unit.client.fake_sink import NOW_MS, AssignedPartition, FakeSink
from tests.waiting import eventually

pytestmark = pytest.mark.core

ELEVEN = NOON - 3_600


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, while the event loop runs."""
    await asyncio.to_thread(eventually, condition)


async def take(stream: AsyncIterator[Tick], number: int) -> list[Tick]:
    """The next ticks of a stream."""
    return [await anext(stream) for _ in range(number)]


def connections(served: RunningService) -> int:
    """The number of open connections of a service."""
    return len(served.server.server_state.connections)


async def by_cancelling(served: RunningService) -> None:
    """Cancel a task that waits for the next tick."""
    waiting = asyncio.create_task(take(ticks(served.url, "checkins"), 1))
    await until(lambda: connections(served) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def by_closing(served: RunningService) -> None:
    """Close an iterator after a tick."""
    stream = ticks(served.url, "checkins", after=0)
    await take(stream, 1)
    assert connections(served) == 1
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def by_break(served: RunningService) -> None:
    """Leave the loop over an iterator that has no other reference."""
    async for _ in ticks(served.url, "checkins", after=0):
        assert connections(served) == 1
        break


async def by_an_error_of_the_caller(served: RunningService) -> None:
    """Leave the loop by an exception."""

    async def follow() -> None:
        async for tick in ticks(served.url, "checkins", after=0):
            raise ValueError(tick)

    with pytest.raises(ValueError, match="checkins"):
        await follow()


async def by_cancelling_a_wait(served: RunningService) -> None:
    """Cancel a wait of which the service has not answered the request."""
    waiting = asyncio.create_task(wait_until(served.url, "checkins", NOON))
    await until(lambda: len(served.server.server_state.tasks) == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def by_a_timeout_around_a_wait(served: RunningService) -> None:
    """asyncio's own timeouts end a wait as well."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wait_until(served.url, "checkins", NOON)


@pytest.fixture(scope="module")
def two_ticks() -> Iterator[RunningService]:
    """A service with two ticks."""
    clock_fixture = ClockFixture()
    clock_fixture.publish(*chain_of(2))
    with serving(clock_fixture) as served:
        yield served


@pytest.mark.parametrize(
    "end",
    [by_cancelling, by_closing, by_break, by_an_error_of_the_caller, by_cancelling_a_wait, by_a_timeout_around_a_wait],
)
def test_the_end_of_an_iteration_closes_its_connection_at_once(
    end: Callable[[RunningService], Awaitable[None]], two_ticks: RunningService
) -> None:
    """The service sees it while the event loop still runs. No task is left."""

    async def main() -> None:
        await end(two_ticks)
        await until(lambda: connections(two_ticks) == 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_cancelled_anext_loses_no_tick() -> None:
    """After a timeout around `anext`, the next one connects again and continues after the last tick. A live stream
    that had no tick yet continues where it began."""
    clock_fixture, chain = ClockFixture(), chain_of(3)
    clock_fixture.publish(*chain[:1])

    async def main(served: RunningService) -> None:
        stream, live = ticks(served.url, "checkins", after=0), ticks(served.url, "checkins")
        assert await take(stream, 1) == chain[:1]
        for each in (stream, live):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(each)
        clock_fixture.publish(*chain[1:])
        assert await take(stream, 2) == await take(live, 2) == chain[1:]

    with serving(clock_fixture) as served:
        asyncio.run(main(served))


def test_thousands_of_ticks_do_not_occupy_the_loop() -> None:
    """Each tick once, in order. Another task runs after at most as many ticks as one part of the response has, also if
    the subscriber never waits."""
    clock_fixture, chain = ClockFixture(), chain_of(5_000)
    clock_fixture.have(chain)
    got: list[Tick] = []
    most, before = 0, 0

    async def measure() -> None:
        nonlocal most, before
        while True:
            most, before = max(most, len(got) - before), len(got)
            await asyncio.sleep(0)

    async def main(served: RunningService) -> None:
        measuring = asyncio.create_task(measure())
        async for tick in ticks(served.url, "checkins", after=0):
            got.append(tick)
            if len(got) == len(chain):
                break
        measuring.cancel()

    with serving(clock_fixture) as served:
        asyncio.run(main(served))

    assert got == chain
    assert most < 100


def test_it_continues_when_the_service_restarts() -> None:
    """On the same address: no tick is missing, and none comes twice. A wait goes on, too."""
    chain = chain_of(4)

    async def main(restarted: ExitStack) -> None:
        stream, waiting = ticks(first.url, "checkins", after=0), wait_until(first.url, "checkins", ELEVEN + 180)
        waited = asyncio.create_task(waiting)
        assert await take(stream, 2) == chain[:2]
        await asyncio.to_thread(stopped.close)
        again = ClockFixture()
        again.publish(*chain)
        rest = asyncio.create_task(take(stream, 2))
        await asyncio.to_thread(restarted.enter_context, serving(again, port=first.port))
        assert await rest == chain[2:]
        assert await waited
        await stream.aclose()

    clock_fixture = ClockFixture()
    clock_fixture.publish(*chain[:2])
    with ExitStack() as stopped, ExitStack() as restarted:
        first = stopped.enter_context(serving(clock_fixture))
        asyncio.run(main(restarted))


def test_a_reporter_does_not_occupy_the_loop() -> None:
    """While the store does not answer, records are observed, and the loop runs on. `on_revoke` and `close` block, so
    they are called in a thread."""
    sink, turns = FakeSink(), 0

    async def main() -> None:
        nonlocal turns
        reporter = Reporter("memory://", "checkins", group="workers", topic="checkins", sink=sink)
        sink.block()
        reporter.on_assign(None, [AssignedPartition(0)])
        revoking = asyncio.create_task(asyncio.to_thread(reporter.on_revoke, None, [AssignedPartition(1)]))
        for second in range(1_000):
            reporter.observe(0, NOW_MS - 10**9 + 1_000 * second)
            await asyncio.sleep(0)
            turns += 1
        assert sink.reports == []
        sink.unblock()
        await revoking
        assert await asyncio.to_thread(reporter.close)

    asyncio.run(main())

    assert turns == 1_000
    assert sink.last_sent() == {0: NOW_MS - 10**9 + 999_000}


def test_a_wait_that_ends_without_an_answer_is_an_error() -> None:
    """As in `clocksvc.wait_until`."""
    with pytest.raises(ServiceUnavailable, match="no clocksvc answers"):
        asyncio.run(wait_until("http://127.0.0.1:1", "checkins", NOON, timeout=0))


def test_the_error_without_the_extra_says_what_to_install() -> None:
    """h11 is not part of a plain install."""
    script = "import sys; sys.modules['h11'] = None; import clocksvc.aio"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stderr.endswith("ImportError: clocksvc.aio needs the package h11: pip install 'clocksvc[aio]'\n")
