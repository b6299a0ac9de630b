"""`ticks` and `wait_until` for asyncio. They share everything but their I/O with those of `clocksvc`."""

import asyncio
from collections.abc import AsyncGenerator

from clocksvc.client.async_http import AsyncServiceClient
from clocksvc.client.boundary_wait import Moment, Retry, wait_of
from clocksvc.client.exchange import ServiceResponse
from clocksvc.client.tick_subscription import TickSubscription
from clocksvc.clock.tick import Tick
from clocksvc.errors import ServiceUnavailable, Unavailable
from clocksvc.interfaces.time import SystemTime

_TIME = SystemTime()


def ticks(url: str, clock: str, *, after: Moment | Tick | None = None, token: str | None = None) -> "AsyncTicks":
    """Yield a clock's ticks without end, for `async for`. Arguments, errors and promises are those of `clocksvc.ticks`.

    Nothing blocks the event loop. The connection is closed at once if the task is cancelled, by `aclose`, and soon
    after the last reference to the iterator is dropped, for example by `break`. A cancelled `anext` loses no tick: the
    next `anext` connects again and continues after the last tick.
    """
    return AsyncTicks(TickSubscription(clock, after), AsyncServiceClient(url, token))


async def wait_until(
    url: str,
    clock: str,
    until: Moment,
    timeout: float | None = None,  # noqa: ASYNC109, as in clocksvc.wait_until
    token: str | None = None,
) -> bool:
    """Wait until everything before a time has been processed.

    Arguments, result and errors are those of `clocksvc.wait_until`. Nothing blocks the event loop. Cancelling the task
    closes the connection at once.
    """
    wait = wait_of(clock, until, timeout, _TIME.monotonic())
    client = AsyncServiceClient(url, token)
    while True:
        try:
            response = await client.fetch(wait.request(_TIME.monotonic()))
        except ServiceUnavailable as error:
            next_step: ServiceResponse | Retry = wait.failed(error, _TIME.monotonic())
        else:
            next_step = wait.answered(response, _TIME.monotonic())
        if isinstance(next_step, ServiceResponse):
            return next_step.status != 409
        await asyncio.sleep(next_step.delay_s)


class AsyncTicks:
    """The iterator that `ticks` returns. One task at a time may call `anext`."""

    def __init__(self, subscription: TickSubscription, client: AsyncServiceClient) -> None:
        self._subscription, self._client = subscription, client
        self._connections = _follow(subscription, client)

    def __aiter__(self) -> "AsyncTicks":
        return self

    async def __anext__(self) -> Tick:
        try:
            return await anext(self._connections)
        except asyncio.CancelledError:
            self._connections = _follow(self._subscription, self._client)
            raise

    async def aclose(self) -> None:
        """Close the connection. No tick follows."""
        await self._connections.aclose()


async def _follow(subscription: TickSubscription, client: AsyncServiceClient) -> AsyncGenerator[Tick, None]:
    while True:
        try:
            async with client.open(subscription.request()) as response:
                while part := await response.next_part():
                    for tick in subscription.received(part):
                        yield tick
            delay_s = subscription.ended()
        except Unavailable as error:
            delay_s = subscription.failed(error)
        await asyncio.sleep(delay_s)
