"""The Celery schedule and the beat scheduler of heartbeats, which are due at multiples of `every` since the epoch.

If there are many clocks, each has its own offset from these multiples. Celery's own schedules can't be used: `crontab`
has a resolution of a minute, and intervals are not aligned to the epoch.
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


def remaining_ms(last_ms: int, now_ms: int, every_ms: int, offset_ms: int = 0) -> int:
    """Return the time until the first due time after the last run, or 0 if this time has passed.

    Due times are `offset_ms` after each multiple of `every_ms`.
    """
    return max(0, boundary.next_boundary(last_ms - offset_ms, every_ms) + offset_ms - now_ms)


class EpochSchedule(BaseSchedule):  # type: ignore[misc]  # Celery has no type annotations
    """A schedule that is due `offset_ms` after each multiple of `every_ms` since the epoch.

    If several due times were missed, it is due once.
    """

    def __init__(self, every_ms: int, offset_ms: int = 0, *, time: Time | None = None) -> None:
        self.every_ms, self.offset_ms = every_ms, offset_ms
        self._time = time or SystemTime()
        super().__init__(nowfun=self._now)

    def _now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._time.now_ms())

    def remaining(self, last_run_at: datetime) -> int:
        """Return the time from now until the next run, in milliseconds."""
        last_ms = (last_run_at - _EPOCH) // timedelta(milliseconds=1)
        return remaining_ms(last_ms, self._time.now_ms(), self.every_ms, self.offset_ms)

    def is_due(self, last_run_at: datetime) -> Any:
        """Return whether a run is due, and the time until the next check, in seconds. Called by Celery."""
        left_ms = self.remaining(last_run_at)
        if left_ms:
            return schedstate(is_due=False, next=left_ms / 1000)
        now_ms = self._time.now_ms()
        return schedstate(is_due=True, next=remaining_ms(now_ms, now_ms, self.every_ms, self.offset_ms) / 1000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EpochSchedule) and other._due_times == self._due_times

    def __hash__(self) -> int:
        return hash(self._due_times)

    def __repr__(self) -> str:
        later = f", {self.offset_ms / 1000:g} s later" if self.offset_ms else ""
        return f"<each multiple of {self.every_ms / 1000:g} s since the epoch{later}>"

    def __reduce__(self) -> tuple[type["EpochSchedule"], tuple[int, int]]:
        return EpochSchedule, self._due_times

    @property
    def _due_times(self) -> tuple[int, int]:
        return self.every_ms, self.offset_ms


def _nothing() -> None:
    return None


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type annotations
    """Celery's in-memory scheduler with four changes.

    First, it wakes just after a due time. Celery's scheduler wakes 10 ms before a due time and polls. Second, it
    computes the next due time of an entry after its message was sent, so that a slow send does not delay the next
    message. Third, it recomputes all due times if the wall clock was set back. Celery's scheduler would sleep until the
    old due time. Fourth, it does not compare all entries with their copies at each step, because the configuration does
    not change while beat runs. With thousands of entries, a step would take several milliseconds.
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
        return super().tick(*args, **kwargs)

    def schedules_equal(self, old_schedules: object, new_schedules: object) -> bool:
        """Return whether the schedule is the one for which due times were computed. Called by Celery."""
        return old_schedules is not None

    def _when(self, entry: Any, next_time_to_run: float, *args: Any) -> Any:
        if next_time_to_run:
            due, next_time_to_run = entry.is_due()
            next_time_to_run = 0 if due else next_time_to_run
        return super()._when(entry, next_time_to_run, *args)

    def _clamp_last_runs(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at, entry.default_now())
        self._heap = None
