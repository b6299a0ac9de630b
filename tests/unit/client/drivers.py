"""`ticks` and `wait_until` of `clocksvc` and of `clocksvc.aio` with one interface, so that tests run over both."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

import clocksvc
from clocksvc import aio
from clocksvc.clock.tick import Tick


class TickIterator(Protocol):
    """An iterator of ticks that can be closed."""

    def __iter__(self) -> Iterator[Tick]: ...

    def __next__(self) -> Tick: ...

    def close(self) -> object: ...


class AsyncTickIterator:
    """An iterator of `clocksvc.aio`, run step by step in an event loop of its own."""

    def __init__(self, *args: Any, **arguments: Any) -> None:
        self._ticks = aio.ticks(*args, **arguments)
        self._runner = asyncio.Runner()
        self._closed = False

    def __iter__(self) -> Iterator[Tick]:
        return self

    def __next__(self) -> Tick:
        return self._runner.run(self._next())

    async def _next(self) -> Tick:
        return await anext(self._ticks)

    def close(self) -> None:
        """Close the iterator, and the loop, which is used once more to see that nothing is left in it."""
        if self._closed:
            return
        self._closed = True
        with self._runner:
            self._runner.run(self._close())

    async def _close(self) -> None:
        await self._ticks.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Driver(NamedTuple):
    """The two functions, and how to close the iterators that were not closed."""

    ticks: Callable[..., TickIterator]
    wait_until: Callable[..., bool]


def driver_of(kind: str, cleanup: ExitStack) -> Driver:
    """Return the functions of `clocksvc` ("sync") or of `clocksvc.aio` ("async")."""
    if kind == "sync":
        return Driver(clocksvc.ticks, clocksvc.wait_until)  # type: ignore[arg-type]

    def ticks(*args: Any, **arguments: Any) -> TickIterator:
        iterator = AsyncTickIterator(*args, **arguments)
        cleanup.callback(iterator.close)
        return iterator

    def wait_until(*args: Any, **arguments: Any) -> bool:
        return asyncio.run(aio.wait_until(*args, **arguments))

    return Driver(ticks, wait_until)
