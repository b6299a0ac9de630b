"""A subscriber as the HTTP list, stream and wait serve it: it resumes with its last cursor at any replica, and must get
every tick once, in order, or a reset."""

from collections import Counter
from collections.abc import Callable

from clocksvc.clock.tick import Tick
from clocksvc.errors import CursorTooOld, Rebuilding, StoreUnavailable
from clocksvc.service.tick_feed import TickFeed
from tests.simulation.judge.judge import Judge
from tests.simulation.judge.violation import Violation
from tests.simulation.sometimes import Path
from tests.simulation.world.environment import Environment
from tests.simulation.world.replica import Replica
from tests.simulation.world.scheduler import Scheduler

BATCH = 7


class Subscriber:
    """One client of a clock. `replicas` returns the living ones that show the clock; it may change them at any time.

    Attributes:
        cursor_ms: the last tick it got, or where its stream began; None before it has begun.
        counts: resumes, resets and ticks.
    """

    def __init__(
        self,
        name: str,
        clock: str,
        scheduler: Scheduler,
        environment: Environment,
        judge: Judge,
        replicas: Callable[[str], dict[str, Replica]],
    ) -> None:
        self.name, self.clock = name, clock
        self._scheduler, self._environment, self._judge = scheduler, environment, judge
        self._clock_judge, self._replicas = judge.clock(clock), replicas
        self.cursor_ms: int | None = None
        self.counts: Counter[str] = Counter()
        self._got: list[int] = []

    def live(self) -> None:
        """Connect to a replica, follow for a while, come back at another one, for ever."""
        while True:
            replicas = self._replicas(self.clock)
            names = sorted(replicas)
            if not names:
                self._scheduler.wait(0.3)
                continue
            where = self._scheduler.rng.choice(names)
            try:
                self._connect(replicas[where], where)
            except Rebuilding:
                self._judge.sometimes.took(Path.REBUILDING_ANSWERED)
                self._scheduler.wait(0.3)
            except StoreUnavailable:
                self._scheduler.wait(0.3)

    def _connect(self, replica: Replica, where: str) -> None:
        feed = replica.feeds[self.clock]
        feed.newest(1)
        if self.cursor_ms is None:
            last = feed.last
            self.cursor_ms = (feed.beginning_ms or 0) if last is None else last.at_ms
        else:
            self._maybe_go_back()
            self.counts["resumes"] += 1
            self._read(feed, where, 1)
        for _ in range(self._scheduler.rng.randrange(1, 8)):
            self._read(feed, where, BATCH)
            if self._scheduler.rng.random() < 0.1:
                self._ask_whether_reached(feed, where)
            got_ms = self.cursor_ms or 0
            self._scheduler.wait(1.0, lambda: replica.shown.get(self.clock, 0) > got_ms)  # noqa: B023
            if self._replicas(self.clock).get(where) is not replica:
                return

    def _maybe_go_back(self) -> None:
        """A client that died before it saved its position."""
        if self._got and self._scheduler.rng.random() < 0.3:
            del self._got[max(1, len(self._got) - self._scheduler.rng.randrange(1, 12)) :]
            self.cursor_ms = self._got[-1]

    def _read(self, feed: TickFeed, where: str, limit: int) -> None:
        assert self.cursor_ms is not None
        if self._scheduler.stopped(where):
            raise StoreUnavailable
        before = self._clock_judge.stream_changes
        try:
            ticks = self._ticks_after(feed, self.cursor_ms, limit)
        except CursorTooOld as error:
            self._judge_reset(where, error, moved=self._clock_judge.stream_changes != before)
            self._reset(feed, where, error)
            return
        for tick in ticks:
            self._take(tick, where)

    def _ticks_after(self, feed: TickFeed, cursor_ms: int, limit: int) -> list[Tick]:
        in_memory = feed.in_memory_after(cursor_ms, limit)
        return feed.ticks_after(cursor_ms, limit) if in_memory is None else in_memory

    def _reset(self, feed: TickFeed, where: str, error: CursorTooOld) -> None:
        while True:
            previous_ms = error.oldest_previous_ms or 0
            try:
                oldest = self._ticks_after(feed, previous_ms, 1)
                break
            except CursorTooOld as again:
                error = again
        if not oldest:
            raise Violation(
                f"lost: {where} rejects {self.name}'s cursor {error.cursor_ms} and has no tick to begin with"
            )
        self.counts["resets"] += 1
        self._judge.sometimes.took(Path.RESET_ANSWERED)
        self._scheduler.say(f"{self.name} is reset from {self.cursor_ms} to {previous_ms}")
        self.cursor_ms = previous_ms
        self._got.clear()

    def _judge_reset(self, where: str, error: CursorTooOld, *, moved: bool) -> None:
        """A cursor that is still kept must not be rejected."""
        kept = self._environment.access.ticks(self.clock)
        cursor_ms = self.cursor_ms or 0
        if self._environment.access.clock(self.clock).restoring and not moved:
            raise Violation(f"lost: {where} rejects the cursor {cursor_ms} of {self.name} while ticks are restored")
        if kept and (kept[0].previous_ms or 0) <= cursor_ms <= kept[-1].at_ms and not moved:
            raise Violation(f"lost: {where} rejects the cursor {cursor_ms} although the store keeps what follows it")
        if (error.oldest_previous_ms or 0) <= cursor_ms:
            raise Violation(f"lost: {where} resets {self.name} from {cursor_ms} to {error.oldest_previous_ms}")

    def _take(self, tick: Tick, where: str) -> None:
        cursor_ms = self.cursor_ms or 0
        self._clock_judge.judge_shown(tick, f"{self.name} at {where}")
        if tick.at_ms <= cursor_ms:
            raise Violation(f"twice: {self.name} at {where} gets {tick.at_ms} after {cursor_ms}")
        if tick.previous_ms != cursor_ms and not self._may_follow(tick.previous_ms, cursor_ms):
            raise Violation(
                f"lost: {self.name} at {where} gets {tick.at_ms}, which follows {tick.previous_ms}, after {cursor_ms}"
            )
        self.cursor_ms = tick.at_ms
        self._got.append(tick.at_ms)
        self.counts["ticks"] += 1

    def _may_follow(self, previous_ms: int | None, cursor_ms: int) -> bool:
        """The beginning of a chain has no previous tick. If log and store both lost it, another chain may run beside
        it. If `init` was corrected to an earlier time, the cursor may be the beginning before."""
        if self._clock_judge.lost_for_good or (self._clock_judge.corrections and not self._got):
            return previous_ms is None or previous_ms < cursor_ms
        return previous_ms is None and cursor_ms == 0

    def _ask_whether_reached(self, feed: TickFeed, where: str) -> None:
        """The HTTP wait: it must not return before the time is ticked."""
        until_ms = self._scheduler.now_ms - self._scheduler.rng.randrange(20_000)
        found = feed.in_memory_after(max(0, until_ms - 1), 1)
        tick = feed.reached(until_ms) if found is None else next(iter(found), None)
        if tick is None:
            return
        self._clock_judge.judge_shown(tick, f"{where} asked for {until_ms}")
        if tick.at_ms < until_ms:
            raise Violation(f"early: {where} says that {until_ms} is reached, with tick {tick.at_ms}")
