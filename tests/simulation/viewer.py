"""A viewer of the clock's state, through the product's view: is it ever silent?"""

from clocksvc.service.clock_view import ClockView
from clocksvc.service.tick_feed import TickFeed
from tests.simulation.environment import CLOCK, HOLD_AFTER_MS, Environment
from tests.simulation.intercepted import InterceptedStore, Link
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler, SimulatedTime
from tests.simulation.violation import Violation

EVERY_S = 0.5
SILENT_MS = 12_000
"""After the last fault: a lease's end, an election, a leader that loses Kafka and steps back, the next election."""


class Viewer:
    """Reads the state through a feed and a view of its own.

    Attributes:
        hold: the reason of the hold shown last. holds: how often each reason was seen.
        quiet_since_ms: the time of the last fault.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, oracle: Oracle) -> None:
        self._scheduler, self._oracle = scheduler, oracle
        time = SimulatedTime(scheduler)
        store = InterceptedStore(scheduler, environment.store, Link(), "viewer")
        self.feed = TickFeed(CLOCK, store, time)
        self._view = ClockView(environment.spec, store, self.feed, time)
        self.hold: str | None = None
        self.partitions: set[tuple[str, int]] = set()
        self.holds: dict[str, int] = {}
        self.status = ""
        self.looked_at_ms = 0
        self.quiet_since_ms = scheduler.now_ms
        self._silent_since_ms: int | None = None

    def live(self) -> None:
        """Look every half a second, for ever."""
        while True:
            self.feed.step(0)
            if self.feed.last is not None:
                self._oracle.judge_shown(self.feed.last, "viewer")
            self._look()
            self._scheduler.wait(EVERY_S)

    def _look(self) -> None:
        state = self._view.state()
        hold, last = state.hold, self.feed.last
        before, self.hold = self.hold, None if hold is None else str(hold.reason)
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
        stands = now_ms - self._oracle.committed_at_ms > HOLD_AFTER_MS
        if not stands or self.hold is not None:
            self._silent_since_ms = None
            return
        if self._silent_since_ms is None:
            self._silent_since_ms = now_ms
        since_ms = max(self._silent_since_ms, self.quiet_since_ms)
        if now_ms - since_ms > SILENT_MS:
            raise Violation(
                f"silent: no tick for {now_ms - self._oracle.committed_at_ms} ms, and for {now_ms - since_ms} ms the "
                f"state names no hold: {self.status}"
            )
