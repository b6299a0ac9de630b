"""Clocks as one process sees them: their ticks and their states, read from the store."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Protocol

from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.clock_reads import ClockReads
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedulers import Schedulers
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.service.clock_view import ClockView
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.schedules_state import SchedulesView
from clocksvc.service.tick_feed import BUFFER_BYTES, TickFeed


class StoreServer(Protocol):
    """The parts of the store that the views need."""

    def store(self, clock: str, recent_ticks_ms: int, /) -> Store:
        """Return the store of a clock."""

    def notices(self, clocks: Collection[str], /) -> NoticeReader:
        """Return a reader of the notices of some clocks."""

    def clock_reads(self) -> ClockReads:
        """Return the reader of many clocks."""

    def schedulers(self, clock: str, /) -> Schedulers:
        """Return the replicas of the scheduler of a clock."""


class FollowedClocks:
    """The views of some clocks, and the thread that follows their ticks.

    Attributes:
        views: by the clock's name.

    Args:
        schedules: the schedules of those clocks that have some.
        write_error: returns why the store does not accept writes for a clock, or None: see `ClockView`.
    """

    def __init__(
        self,
        server: StoreServer,
        specs: Mapping[str, ClockSpec],
        schedules: Mapping[str, SchedulesSpec],
        time: Time,
        write_error: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        share = BUFFER_BYTES // max(1, len(specs))
        self._stores = {name: server.store(name, spec.recent_ticks_ms) for name, spec in specs.items()}
        feeds = {name: TickFeed(name, store, time, buffer_bytes=share) for name, store in self._stores.items()}
        self._follower = NoticeFollower(feeds.values(), server.notices(specs), server.clock_reads(), time)
        sent = {name: SchedulesView(one, server.schedulers(name)) for name, one in schedules.items() if name in specs}
        views = {
            name: ClockView(
                spec, self._stores[name], feeds[name], time, partial(write_error, name), schedules=sent.get(name)
            )
            for name, spec in specs.items()
        }
        self.views = ClockViews(views, server.clock_reads())

    def start(self) -> None:
        """Start the thread. Returns at once."""
        self._follower.start()

    def stop(self) -> None:
        """Ask the thread to end. Returns at once."""
        self._follower.stop()

    def join(self, timeout_s: float) -> None:
        """Wait for at most `timeout_s` until the thread has ended, then close the stores."""
        self._follower.join(timeout_s)
        for store in self._stores.values():
            store.close()
