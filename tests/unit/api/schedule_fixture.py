"""Schedules for tests of the API: partitions in memory, and processes of the scheduler that serve them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi.testclient import TestClient

from clocksvc.api.forwarded_schedules import ForwardedSchedules
from clocksvc.api.local_schedules import LocalSchedules
from clocksvc.api.scheduler_app import create_scheduler_app
from clocksvc.api.server import server
from clocksvc.api.tokens import Token
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.schedule_topics import SchedulesSpec, partition_of
from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from clocksvc.interfaces.time import SystemTime
from clocksvc.scheduler.owner_calls import OwnerCalls
from clocksvc.schedules.schedule import Schedule
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStoreServer
from tests.unit.api.clock_fixture import INTERVAL_S, NOON
from tests.unit.scheduler.owned_schedules import OwnedInMemory
from tests.waiting import eventually

T = TypeVar("T")

PARTITIONS = 4
PATH = "/v1/clocks/checkins/schedules"


class PartitionInMemory:
    """A partition that runs functions at once.

    Attributes:
        owned: its schedules.
        error: if it is set, functions are not run and have this error.
        is_busy: while it is true, functions wait for `run`.
    """

    def __init__(self) -> None:
        self.owned = OwnedInMemory()
        self.error: ClocksvcError | None = None
        self.is_busy = False
        self.calls = 0
        self._queue = OwnerCalls()
        self._queue.open()

    def call(self, function: Callable[[Any], T]) -> "Future[T]":
        """Run a function, as `SchedulePartition.call`."""
        self.calls += 1
        if self.error is not None:
            failed: Future[T] = Future()
            failed.set_exception(self.error)
            return failed
        future = self._queue.add(function)
        if not self.is_busy:
            self.run()
        return future

    def run(self) -> None:
        """Run the functions that wait."""
        self._queue.run(self.owned, SystemTime())


class ScheduleFixture:
    """The schedules of a clock in four partitions, all of which one process owns."""

    def __init__(self, clock: str = "checkins") -> None:
        self.spec = SchedulesSpec(clock, PARTITIONS)
        self.time = ManualTime(NOON)
        self.partitions = {number: PartitionInMemory() for number in range(PARTITIONS)}
        self.server = FaultyStoreServer(self.time)
        self.schedulers = self.server.schedulers(clock)
        self.access = self.local()

    def local(self, *owned: int) -> LocalSchedules:
        """The access of a process that owns these partitions, by default all of them."""
        partitions = {number: self.partitions[number] for number in owned or self.partitions}
        return LocalSchedules(self.spec, INTERVAL_S * 1000, lambda: partitions, self.time)

    def forwarded(self) -> ForwardedSchedules:
        """The access of a process that owns none of them."""
        return ForwardedSchedules(self.spec, self.schedulers, self.time)

    def announce(self, address: str, *owned: int) -> None:
        """Announce the process at this address as the owner of these partitions."""
        announcement = SchedulerAnnouncement(f"replica {address}", address, owned=frozenset(owned))
        self.schedulers.announce(announcement, 3_600_000, {})

    @contextmanager
    def scheduler(self, *owned: int, tokens: Sequence[Token] = ()) -> Iterator[str]:
        """Run the HTTP server of a process that owns these partitions, and announce it. Gives its URL."""
        app = create_scheduler_app(
            {self.spec.clock: self.local(*owned)},
            readiness_error=lambda: "",
            tokens=tokens,
            metrics=lambda: (b"", "text/plain"),
            version="0.1.0",
        )
        # FastAPI builds the routes at the first request, and its filter of warnings is not thread-safe.
        TestClient(app).get("/livez")
        running = server(app, "127.0.0.1", 0)
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        try:
            eventually(lambda: running.started, what="the scheduler's server to start")
            url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
            self.announce(url, *owned)
            yield url
        finally:
            running.should_exit = True
            thread.join(20)
            self.schedulers.withdraw(f"replica {url}", {})

    def partition_of(self, schedule_id: str) -> PartitionInMemory:
        """The partition of a schedule."""
        return self.partitions[partition_of(schedule_id.encode(), PARTITIONS)]

    def add(self, schedule_id: str) -> None:
        """Add a schedule as other programs write it."""
        key, created_ms = schedule_id.encode(), self.time.now_ms()
        value = Schedule("uptime.check", created_ms, every_ms=60_000).encode()
        self.partition_of(schedule_id).owned.write([(key, value)])

    def fail(self, error: ClocksvcError | None) -> None:
        """Let all functions have this error."""
        for partition in self.partitions.values():
            partition.error = error
