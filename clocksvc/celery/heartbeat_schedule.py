"""The Celery schedule and the beat scheduler of heartbeats, which are due at multiples of `every` since the epoch.

Celery's own schedules can't be used: `crontab` has a resolution of a minute, and intervals are not aligned to the
epoch.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from celery.schedules import BaseSchedule, schedstate

from clocksvc.clock import boundary
from clocksvc.interfaces.time import SystemTime, Time

_NEVER_EARLY_S = 0.001
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def remaining_ms(last_ms: int, now_ms: int, every_ms: int) -> int:
    """Return the time until the first multiple of `every_ms` after the last run, or 0 if this time has passed."""
    return max(0, boundary.next_boundary(last_ms, every_ms) - now_ms)


class EpochSchedule(BaseSchedule):  # type: ignore[misc]  # Celery has no type annotations
    """A schedule that is due at each multiple of `every_ms` since the epoch. If several were missed, it is due once."""

    def __init__(self, every_ms: int, time: Time | None = None) -> None:
        self.every_ms = every_ms
        self._time = time or SystemTime()
        super().__init__(nowfun=self._now)

    def _now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._time.now_ms())

    def remaining(self, last_run_at: datetime) -> int:
        """Return the time from now until the next run, in milliseconds."""
        last_ms = (last_run_at - _EPOCH) // timedelta(milliseconds=1)
        return remaining_ms(last_ms, self._time.now_ms(), self.every_ms)

    def is_due(self, last_run_at: datetime) -> Any:
        """Return whether a run is due, and the time until the next check, in seconds. Called by Celery."""
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


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type annotations
    """Celery's in-memory scheduler with three changes.

    First, it wakes just after a due time. Celery's scheduler wakes 10 ms before a due time and polls. Second, it
    recomputes all due times after each message, so that a slow send does not delay the next message. Third, it
    recomputes all due times if the wall clock was set back. Celery's scheduler would sleep until the old due time.
    """

    time: Time = SystemTime()
    _latest_ms = 0
    _on_close: Callable[[], None] = staticmethod(_nothing)

    def adjust(self, n: float | None, drift: float = _NEVER_EARLY_S) -> Any:
        """Return the delay `n` until a due time, made a little longer, not shorter as in Celery. Called by Celery."""
        return super().adjust(n, drift)

    def on_close(self, callback: Callable[[], None]) -> None:
        """Set a function that is called once, when beat ends."""
        self._on_close = callback

    def close(self) -> None:
        """Call the function set by `on_close`. Celery calls this method when beat ends, possibly more than once."""
        callback, self._on_close = self._on_close, _nothing
        callback()
        super().close()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send due messages. Return the time until the next call, in seconds. Called by Celery."""
        now_ms = self.time.now_ms()
        if now_ms < self._latest_ms:
            self._clamp_last_runs()
        self._latest_ms = now_ms
        wait_s = super().tick(*args, **kwargs)
        if not wait_s:
            self._heap = None
        return wait_s

    def _clamp_last_runs(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at, entry.default_now())
        self._heap = None
