"""Finds the owners of the partitions of schedules: which process owns a partition, and its address."""

import asyncio
import logging
from collections.abc import Sequence

import anyio
import anyio.to_thread

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.api.schedule_access import NO_OWNER, unavailable
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedulers import Schedulers, SchedulersReading
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.api")

MAX_AGE_S = 1.0
"""How long an answer of the store is used. The owners announce themselves once a second."""


class ScheduleOwners:
    """The owners for one clock, from the announcements in the store. Only for the event loop.

    While the store does not answer, the last known owners count: they work on, and each of them checks whether it is
    still the owner.
    """

    def __init__(self, spec: SchedulesSpec, schedulers: Schedulers, time: Time) -> None:
        self._spec, self._schedulers, self._time = spec, schedulers, time
        self._reading: SchedulersReading | None = None
        self._read_at, self._reads = float("-inf"), 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def addresses(self, partitions: Sequence[int], *, fresh: bool = False) -> dict[str, list[int]]:
        """Return the addresses of the owners of partitions, each with its partitions.

        Args:
            fresh: True if an owner has just been found to be out of date.

        Raises:
            Problem: a partition has no owner (503), or the store does not answer and no owner is known.
        """
        reading = await self._read(fresh)
        found: dict[str, list[int]] = {}
        for one in partitions:
            owner = reading.owner(one)
            if owner is None:
                why = "has no ready owner: no live process of `clocksvc scheduler` owns it"
                raise unavailable(self._spec, one, why, NO_OWNER)
            found.setdefault(owner.address, []).append(one)
        return found

    async def _read(self, fresh: bool) -> SchedulersReading:
        reads = self._reads
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._lock, self._limiter = loop, asyncio.Lock(), anyio.CapacityLimiter(1)
        async with self._lock:
            is_old = self._time.monotonic() - self._read_at > MAX_AGE_S or (fresh and self._reads == reads)
            if self._reading is None or is_old:
                try:
                    self._reading = await anyio.to_thread.run_sync(self._schedulers.read, limiter=self._limiter)
                except StoreUnavailable as error:
                    if self._reading is None:
                        raise Problem(problems.STORE_UNAVAILABLE, f"{error}; nothing has changed") from error
                    logger.debug("the last known owners of schedules are used, because the store does not answer")
                self._read_at, self._reads = self._time.monotonic(), self._reads + 1
            return self._reading
