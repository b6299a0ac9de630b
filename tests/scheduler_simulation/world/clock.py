"""The clock whose ticks the replicas follow: in time, far behind, in bursts, with ticks that `init` skipped."""

from bisect import bisect_right

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.tick_consumer import TickWithOffset
from tests.scheduler_simulation.judge.due_judge import DueJudge
from tests.simulation.world.scheduler import Scheduler

NAME = "c"
INTERVALS_S = (1, 1, 1, 2, 5, 60, 60, 300)
CHANGES = ((1, 2), (1, 5), (2, 1), (60, 300), (60, 1))
"""Changes of the interval between which schedules stay valid."""
CHANGES_OF_CLOCKS_MS = (1_774_746_000_000, 1_792_890_000_000)
"""When Berlin changes its clocks in 2026, in March and in October."""
HOUR_MS = 3_600_000


class SimulatedClock:
    """The ticks. A tick is committed by `emit`, and can be read by all replicas from then on.

    Attributes:
        ticks: ascending.
        interval_ms: of the next tick.
        behind_ms: how far behind the clock is in the beginning.
        skipped: how many ticks `init` has skipped.
    """

    def __init__(self, scheduler: Scheduler, judge: DueJudge) -> None:
        self._scheduler, self._judge = scheduler, judge
        rng = scheduler.rng
        self.interval_ms = 1000 * rng.choice(INTERVALS_S)
        self.ticks: list[TickWithOffset] = []
        self._begins = False
        self._times: list[int] = []
        self.skipped = 0
        self.behind_ms = self.interval_ms * rng.choice((0, 0, 0, 5, 60, 150))
        if self.interval_ms >= 60_000 and rng.random() < 0.7:
            scheduler.now_ms = rng.choice(CHANGES_OF_CLOCKS_MS) + rng.randrange(-HOUR_MS, 4 * HOUR_MS)
            self.behind_ms = self.interval_ms * (60 if self.interval_ms > 60_000 else rng.choice((120, 240)))
        self._next_ms = (scheduler.now_ms - self.behind_ms) // self.interval_ms * self.interval_ms

    @property
    def newest_ms(self) -> int:
        """The time of the newest tick; 0 before the first."""
        return self._times[-1] if self._times else 0

    @property
    def next_ms(self) -> int:
        """The time of the next tick."""
        return self._next_ms

    @property
    def lag_ms(self) -> int:
        """How long ago the next tick could have come; negative if it can't come yet."""
        return self._scheduler.now_ms - self._next_ms

    def emit(self, most: int = 1) -> int:
        """Commit the next ticks, as far as time has passed them. Returns how many."""
        count = 0
        while count < most and self.lag_ms >= 0:
            at_ms, now_ms = self._next_ms, self._scheduler.now_ms
            previous_ms = at_ms - self.interval_ms if self._begins else self.newest_ms if self.ticks else None
            tick = Tick(NAME, at_ms, previous_ms, self.interval_ms, now_ms)
            self.ticks.append(TickWithOffset(len(self.ticks), tick, self._begins))
            self._begins = False
            self._times.append(at_ms)
            wire_ms = at_ms - self.interval_ms if previous_ms is None else previous_ms
            self._judge.ticked(at_ms, wire_ms, self.interval_ms, self._scheduler.moment(), now_ms)
            self._next_ms += self.interval_ms
            count += 1
        return count

    def skip(self, ticks: int) -> None:
        """An operator runs `init`: the clock goes on after so many ticks that never come, not in the future."""
        ticks = min(ticks, self.lag_ms // self.interval_ms)
        if ticks > 0 and self.ticks:
            self._next_ms += ticks * self.interval_ms
            self._begins = True
            self.skipped += ticks

    def change_interval(self) -> bool:
        """Change the clock's interval. The next tick is the first multiple of the new one after the last."""
        found = [after_s for before_s, after_s in CHANGES if before_s * 1000 == self.interval_ms]
        if not found or not self.ticks:
            return False
        self.interval_ms = 1000 * self._scheduler.rng.choice(found)
        self._next_ms = (self.newest_ms // self.interval_ms + 1) * self.interval_ms
        self._begins = False
        return True

    def after(self, at_ms: int, limit: int) -> list[TickWithOffset]:
        """Return the ticks after a time, at most `limit`."""
        first = bisect_right(self._times, at_ms)
        return self.ticks[first : first + limit]
