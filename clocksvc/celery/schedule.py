"""When heartbeats are due: on each multiple of `every` since the epoch, by beat's in-memory scheduler.

`crontab` knows only minutes, and plain intervals are not aligned. Nothing here knows clocks, topics or settings.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from celery.schedules import BaseSchedule, schedstate

from clocksvc.clock import boundary
from clocksvc.interfaces.time import (
    SystemTime,
    Time,
)

_NEVER_EARLY_S = 0.001
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def remaining_ms(last_ms: int, now_ms: int, every_ms: int) -> int:
    """How long until the first multiple of `every_ms` after the last run; 0 when it has passed."""
    return max(0, boundary.next_boundary(last_ms, every_ms) - now_ms)


class EpochSchedule(BaseSchedule):  # type: ignore[misc]  # Celery carries no types
    """Due on each multiple of `every_ms` since the epoch. Multiples that were missed are due once, together."""

    def __init__(self, every_ms: int, time: Time | None = None) -> None:
        self.every_ms = every_ms
        self._time = time or SystemTime()
        super().__init__(nowfun=self._now)

    def _now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._time.now_ms())

    def remaining(self, last_run_at: datetime) -> int:
        """Milliseconds from now until the next run."""
        last_ms = (last_run_at - _EPOCH) // timedelta(milliseconds=1)
        return remaining_ms(last_ms, self._time.now_ms(), self.every_ms)

    def is_due(self, last_run_at: datetime) -> Any:
        """Celery's question: (is it due, seconds until it is to be asked again)."""
        left_ms = self.remaining(last_run_at)
        if left_ms:
            return schedstate(is_due=False, next=left_ms / 1000)
        now_ms = self._time.now_ms()
        return schedstate(is_due=True, next=(boundary.next_boundary(now_ms, self.every_ms) - now_ms) / 1000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EpochSchedule) and other.every_ms == self.every_ms

    def __hash__(self) -> int:
        return hash(self.every_ms)

    def __repr__(self) -> str:
        return f"<each multiple of {self.every_ms / 1000:g} s since the epoch>"

    def __reduce__(self) -> tuple[type["EpochSchedule"], tuple[int]]:
        return EpochSchedule, (self.every_ms,)


def _nothing() -> None:
    return None


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]  # Celery carries no types
    """Celery's in-memory scheduler: nothing on disk.

    It differs in three things. It wakes just after a moment, where Celery's wakes 10 ms before and spins. It plans anew
    after each message, so that one that was slow to send makes the next no later. And it plans anew when the wall clock
    was set back, where Celery's sleeps until its old plan.
    """

    time: Time = SystemTime()
    _latest_ms = 0
    _ended: Callable[[], None] = staticmethod(_nothing)

    def adjust(self, n: float | None, drift: float = _NEVER_EARLY_S) -> Any:
        """Seconds from now at which an entry is looked at."""
        return super().adjust(n, drift)

    def on_close(self, ended: Callable[[], None]) -> None:
        """Call `ended`, once, when beat ends."""
        self._ended = ended

    def close(self) -> None:
        """Celery's hook, called more than once: beat ends."""
        ended, self._ended = self._ended, _nothing
        ended()
        super().close()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due; seconds until the next look."""
        now_ms = self.time.now_ms()
        if now_ms < self._latest_ms:
            self._forget_the_future()
        self._latest_ms = now_ms
        wait_s = super().tick(*args, **kwargs)
        if not wait_s:
            self._heap = None
        return wait_s

    def _forget_the_future(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at, entry.default_now())
        self._heap = None
