"""The demo as it goes: what its parts show is told, the story is played, and in the end it is judged."""

import threading
from collections.abc import Sequence

from clocksvc.clock.tick import Tick
from clocksvc.dev.demo import words
from clocksvc.dev.demo.chain import Chain
from clocksvc.dev.demo.jobs import NIGHTLY, TICK, Jobs, waiting_nights
from clocksvc.dev.demo.parts import Parts
from clocksvc.dev.demo.picture import Picture, Reader, picture
from clocksvc.dev.demo.place import INTERVAL_S, QUIET, SLOW
from clocksvc.dev.demo.show import Show
from clocksvc.dev.demo.story import Act, HoldInputs, Story
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import bootstrap as wiring

LEAST_TICKS = 3
"""So many make a demo that ends by itself a success."""
_LOOK_S = 0.1
_LOOKS_A_PICTURE = 2
_TOGETHER_MS = 300
"""Ticks that come so close after each other are told together."""


class Demo:
    """One run over parts that are started."""

    def __init__(self, parts: Parts, show: Show) -> None:
        self.chain = Chain(INTERVAL_S * 1000)
        self.jobs = Jobs(parts.programs.notes)
        self.holds = 0
        self._parts, self._show = parts, show
        self._time = SystemTime()
        self._story = Story()
        self._me = wiring.holder_name()
        self._fresh: list[tuple[int, Tick, float | None]] = []
        self._told_ticks = 0
        self._told_trouble: set[str] = set()
        self._told_night_ms = 0
        self._told_hold: object = None
        self._beating = True

    def play(self, ended: threading.Event, lasts_s: float | None) -> None:
        """Go on until `ended` is set, or for so long. Raises DevServerError when a part fails."""
        began, looks = self._time.monotonic(), 0
        while not ended.wait(_LOOK_S):
            self._look()
            looks += 1
            if looks % _LOOKS_A_PICTURE == 0:
                self._show.draw(self._picture())
            if lasts_s is not None and self._time.monotonic() - began >= lasts_s:
                break
        self._take_ticks()
        self._tell_ticks()
        self._tell_jobs()
        self._show.draw(self._picture())

    def summary(self) -> str:
        """What there was, in numbers."""
        chain = self.chain
        ticks = f"{chain.count} tick{'' if chain.count == 1 else 's'}"
        if chain.first_ms is not None and chain.last_ms is not None:
            span = f"from {words.time_of_day(chain.first_ms)} to {words.time_of_day(chain.last_ms)}"
            ticks += f" {span}, {'NOT each once and in order' if chain.trouble else 'each once, in order'}"
        processed = sum(consumer.processed for consumer in self._parts.consumers)
        holds = f"{self.holds} hold{'' if self.holds == 1 else 's'}"
        nights, tasks = self.jobs.counts[NIGHTLY], self.jobs.counts[TICK]
        jobs = f"{nights} nightly job{'' if nights == 1 else 's'} and {tasks} tick tasks sent"
        return f"{ticks}; {holds}; {jobs}; {self._parts.producers.sent} records written, {processed} processed"

    def _look(self) -> None:
        self._parts.check()
        self._take_ticks()
        if self._fresh and self._time.now_ms() - self._fresh[-1][0] >= _TOGETHER_MS:
            self._tell_ticks()
        self._tell_jobs()
        self._tell_hold()
        scene = self._story.next(HoldInputs(self._time.monotonic(), self._told_ticks, self._told_hold is not None))
        if scene is None:
            return
        if scene.text:
            self._show.tell(words.story(self._time.now_ms(), scene.text))
        self._do(scene.act)

    def _do(self, act: Act | None) -> None:
        if act is Act.STOP_HEARTBEATS:
            self._beating = False
            self._parts.programs.stop_beat()
        elif act is Act.START_HEARTBEATS:
            self._beating = True
            self._parts.programs.beat.start()

    def _take_ticks(self) -> None:
        for tick in self._parts.watch.new_ticks():
            self.chain.add(tick)
            self._fresh.append((self._time.now_ms(), tick, self._parts.service.latencies.take()))

    def _tell_ticks(self) -> None:
        fresh, self._fresh = self._fresh, []
        for line in self._tick_lines(fresh):
            self._show.tell(line)
        self._told_ticks = self.chain.count

    def _tick_lines(self, fresh: Sequence[tuple[int, Tick, float | None]]) -> list[words.Line]:
        if len(fresh) > 1 and self._told_ticks:
            return [words.skipped_ticks(fresh[0][0], [tick for _, tick, _ in fresh], not self.chain.trouble)]
        return [words.tick(at_ms, tick, latency_s) for at_ms, tick, latency_s in fresh]

    def _tell_jobs(self) -> None:
        """What came is told after the tick that let it go; what is due while the clock is held, as waiting."""
        self.jobs.take()
        now_ms, tick_ms = self._time.now_ms(), self.chain.last_ms
        if tick_ms is not None and not self._fresh:
            for job in self.jobs.nights(tick_ms):
                self._show.tell(words.job(now_ms, job))
            if self._told_hold is not None:
                self._tell_waiting(now_ms, tick_ms)
        for trouble in self.chain.trouble + self.jobs.trouble:
            if trouble not in self._told_trouble:
                self._told_trouble.add(trouble)
                self._show.tell(words.broken_chain(now_ms, trouble))

    def _tell_waiting(self, now_ms: int, tick_ms: int) -> None:
        for due_ms in waiting_nights(tick_ms, now_ms):
            if due_ms > self._told_night_ms:
                self._told_night_ms = due_ms
                self._show.tell(words.waits(now_ms, due_ms))

    def _tell_hold(self) -> None:
        state = self._parts.watch.state
        # Before its first tick a clock on a slow machine may hold for a moment: that is the start, not the story.
        begun = self._told_ticks > 0
        if not begun or state is None or state["status"] != "holding" or state["hold"] is None:
            self._told_hold = None
            return
        hold = (state["hold"]["reason"], str(state["hold"]["partitions"]))
        if hold != self._told_hold:
            self.holds += self._told_hold is None
            self._told_hold = hold
            self._show.tell(words.hold(self._time.now_ms(), state))

    def _picture(self) -> Picture | None:
        state = self._parts.watch.state
        if state is None:
            return None
        readers = {
            number: Reader(one.name, at_ms) for one in self._parts.consumers for number, at_ms in one.reached_ms.items()
        }
        quiet = "quiet: heartbeats only" if self._beating else "quiet: heartbeats gone"
        remarks = {SLOW: "slow on purpose", QUIET: quiet}
        now_ms, jobs = self._time.now_ms(), self.jobs
        told = words.jobs(jobs.last_night_ms, self.chain.last_ms, now_ms, jobs.counts[TICK])
        return picture(state, now_ms, readers, remarks, self._me, told)


def verdict(chain: Chain, jobs: Jobs, by_itself: bool) -> str | None:
    """What was wrong with a run; None where nothing was. One that somebody ended early needs no ticks."""
    if chain.trouble:
        return f"ticks did not come each once and in order: {chain.trouble[0]}"
    if jobs.trouble:
        return f"jobs did not come each once and in order: {jobs.trouble[0]}"
    if by_itself and chain.count < LEAST_TICKS:
        return f"only {chain.count} of at least {LEAST_TICKS} ticks came"
    return None
