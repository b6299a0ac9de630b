"""A viewer of one clock's state, through the product's view: is it ever silent?"""

from clocksvc.service.clock_view import ClockView
from clocksvc.service.tick_feed import TickFeed
from tests.simulation.judge.judge import Judge
from tests.simulation.judge.violation import Violation
from tests.simulation.world.clock_plan import HOLD_AFTER_MS
from tests.simulation.world.environment import Environment
from tests.simulation.world.intercepted import Intercepted, Link
from tests.simulation.world.scheduler import Scheduler, SimulatedTime

SILENT_MS = 14_000
"""After the last fault: a lease's end, an election, a leader that loses Kafka and steps back, the next election."""


class Viewer:
    """Reads the state through a feed and a view of its own.

    Attributes:
        hold: the reason of the hold shown last. holds: how often each reason was seen.
        quiet_since_ms: the time of the last fault.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, judge: Judge, clock: str) -> None:
        self.clock = clock
        self._scheduler, self._judge, self._plan = scheduler, judge.clock(clock), environment.clocks[clock]
        time, access = SimulatedTime(scheduler), environment.access
        store = Intercepted(scheduler, access, access.store(clock), Link(), "viewer")
        self.feed = TickFeed(clock, store, time)
        self._view = ClockView(self._plan.spec, store, self.feed, time)
        self.hold: str | None = None
        self.detail = ""
        self.partitions: set[tuple[str, int]] = set()
        self.holds: dict[str, int] = {}
        self.status = ""
        self.looked_at_ms = 0
        self.quiet_since_ms = scheduler.now_ms
        self._silent_since_ms: int | None = None

    def look(self) -> None:
        """Look once. Call this every half a second."""
        self.feed.step()
        if self.feed.last is not None:
            self._judge.judge_shown(self.feed.last, "viewer")
        self._view.spec = self._plan.spec
        state = self._view.state()
        hold, last = state.hold, self.feed.last
        before, self.hold = self.hold, None if hold is None else str(hold.reason)
        self.detail = "" if hold is None else hold.detail
        self.status, self.looked_at_ms = str(state.status), self._scheduler.now_ms
        self.partitions = set() if hold is None else set(hold.partitions)
        if self.hold is not None and self.hold != before:
            self.holds[self.hold] = self.holds.get(self.hold, 0) + 1
        if hold is not None and last is not None and state.hold_since_ms != last.emitted_at_ms:
            raise Violation(
                f"silent: a hold says since {state.hold_since_ms} ms, the last tick came at {last.emitted_at_ms} ms"
            )
        self._judge_silence()

    def _judge_silence(self) -> None:
        """Once the clock has been stopped for long, in a calm moment, a hold must be shown."""
        now_ms = self._scheduler.now_ms
        stopped = now_ms - self._judge.committed_at_ms > HOLD_AFTER_MS
        if not stopped or self.hold is not None:
            self._silent_since_ms = None
            return
        if self._silent_since_ms is None:
            self._silent_since_ms = now_ms
        since_ms = max(self._silent_since_ms, self.quiet_since_ms)
        if now_ms - since_ms > SILENT_MS + self._plan.spec.interval_ms:
            raise Violation(
                f"silent: no tick of {self.clock} for {now_ms - self._judge.committed_at_ms} ms, and for "
                f"{now_ms - since_ms} ms the state names no hold: {self.status}"
            )
