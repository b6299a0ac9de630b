"""The demo's main loop: displays ticks, jobs and holds, and runs the scenario."""

import threading
from collections.abc import Sequence

from clocksvc.clock.holds import Status
from clocksvc.clock.tick import Tick
from clocksvc.dev.demo import presentation
from clocksvc.dev.demo.delivery_checks import NIGHTLY, TICK, Due, DueSequence, JobSequence, TickSequence, waiting_nights
from clocksvc.dev.demo.demo_config import INTERVAL_S, QUIET, SLOW
from clocksvc.dev.demo.display import Display
from clocksvc.dev.demo.installation import DemoInstallation
from clocksvc.dev.demo.presentation import DemoSnapshot, PartitionReader, snapshot
from clocksvc.dev.demo.scenario import Observation, Scenario, ScenarioAction
from clocksvc.interfaces.time import SystemTime
from clocksvc.service import bootstrap

MIN_TICKS = 3
"""A demo with `--for` fails if there were fewer ticks."""
_ITERATION_S = 0.1
_ITERATIONS_PER_DRAW = 2
_GROUPING_MS = 300
"""Ticks that arrive within this time are displayed in one line."""


class Demo:
    """One run of the demo, with an installation that is started already."""

    def __init__(self, installation: DemoInstallation, display: Display) -> None:
        self.tick_sequence = TickSequence(INTERVAL_S * 1000)
        self.jobs = JobSequence(installation.programs.notes)
        self.holds = 0
        self._installation, self._display = installation, display
        self._time = SystemTime()
        self._scenario = Scenario()
        self._holder = bootstrap.holder_name()
        self._new_ticks: list[tuple[int, Tick, float | None]] = []
        self._shown_ticks = 0
        self._shown_problems: set[str] = set()
        self._shown_night_ms = 0
        self._shown_hold: object = None
        self._heartbeats_on = True

    def play(self, ended: threading.Event, lasts_s: float | None) -> None:
        """Run until `ended` is set, or for `lasts_s` seconds. Raises DevServerError if a part fails."""
        began, iterations = self._time.monotonic(), 0
        while not ended.wait(_ITERATION_S):
            self._iterate()
            iterations += 1
            if iterations % _ITERATIONS_PER_DRAW == 0:
                self._display.draw(self._snapshot())
            if lasts_s is not None and self._time.monotonic() - began >= lasts_s:
                break
        self._collect_ticks()
        self._show_ticks()
        self._show_jobs()
        self._show_second_stage()
        self._display.draw(self._snapshot())

    @property
    def due(self) -> DueSequence | None:
        """The due records; None without schedules."""
        schedules = self._installation.schedules
        return None if schedules is None else schedules.due

    def summary(self) -> str:
        """Return the numbers of ticks, holds, jobs and records, as one sentence."""
        tick_sequence = self.tick_sequence
        ticks = f"{tick_sequence.count} tick{'' if tick_sequence.count == 1 else 's'}"
        if tick_sequence.first_ms is not None and tick_sequence.last_ms is not None:
            first, last = (presentation.time_of_day(at) for at in (tick_sequence.first_ms, tick_sequence.last_ms))
            order = "NOT each once and in order" if tick_sequence.problems else "each once, in order"
            ticks += f" from {first} to {last}, {order}"
        processed = sum(consumer.processed for consumer in self._installation.consumers)
        holds = f"{self.holds} hold{'' if self.holds == 1 else 's'}"
        nights, tasks = self.jobs.counts[NIGHTLY], self.jobs.counts[TICK]
        jobs = f"{nights} nightly job{'' if nights == 1 else 's'} and {tasks} tick tasks sent"
        written = f"{self._installation.producers.sent} records written, {processed} processed"
        second = self._installation.second_stage
        count = second.sequence.count
        stored = f"{second.stored.count} stored by the second group, with {count} tick{'s' * (count != 1)} of its clock"
        return "; ".join([ticks, holds, jobs, written, stored, *self._schedules_summary()])

    def _schedules_summary(self) -> list[str]:
        schedules = self._installation.schedules
        return [] if schedules is None else [presentation.due_counts("due record", schedules.written, schedules.due)]

    def _iterate(self) -> None:
        self._installation.check()
        self._collect_ticks()
        if self._new_ticks and self._time.now_ms() - self._new_ticks[-1][0] >= _GROUPING_MS:
            self._show_ticks()
        self._show_jobs()
        self._show_second_stage()
        self._show_hold()
        step = self._scenario.next(Observation(self._time.monotonic(), self._shown_ticks, self._shown_hold is not None))
        if step is None:
            return
        if step.text:
            self._display.show_event(presentation.scenario_step(self._time.now_ms(), step.text))
        self._do(step.act)

    def _do(self, act: ScenarioAction | None) -> None:
        if act is ScenarioAction.STOP_HEARTBEATS:
            self._heartbeats_on = False
            self._installation.programs.stop_beat()
        elif act is ScenarioAction.START_HEARTBEATS:
            self._heartbeats_on = True
            self._installation.programs.beat.start()

    def _collect_ticks(self) -> None:
        for tick in self._installation.watch.new_ticks():
            self.tick_sequence.add(tick)
            self._new_ticks.append((self._time.now_ms(), tick, self._installation.service.latencies.take()))

    def _show_ticks(self) -> None:
        new_ticks, self._new_ticks = self._new_ticks, []
        for line in self._tick_lines(new_ticks):
            self._display.show_event(line)
        self._shown_ticks = self.tick_sequence.count

    def _tick_lines(self, new_ticks: Sequence[tuple[int, Tick, float | None]]) -> list[presentation.EventLine]:
        if len(new_ticks) > 1 and self._shown_ticks:
            ticks = [tick for _, tick, _ in new_ticks]
            in_order, due = not self.tick_sequence.problems, self._due(ticks[-1].at_ms)
            return [presentation.skipped_ticks(new_ticks[0][0], ticks, in_order, due)]
        return [
            presentation.tick(at_ms, tick, latency_s, self._due(tick.at_ms)) for at_ms, tick, latency_s in new_ticks
        ]

    def _due(self, tick_ms: int) -> list[Due]:
        return [] if self.due is None else self.due.take(tick_ms)

    def _show_jobs(self) -> None:
        """Show the jobs that were run, and those that are due by the wall clock but wait because of a hold."""
        self.jobs.read_new()
        now_ms, tick_ms = self._time.now_ms(), self.tick_sequence.last_ms
        if tick_ms is not None and not self._new_ticks:
            for job in self.jobs.take_nightly(tick_ms):
                self._display.show_event(presentation.job(now_ms, job))
            if self._shown_hold is not None:
                self._show_waiting(now_ms, tick_ms)
        due_problems = [] if self.due is None else self.due.problems
        self._show_problems(now_ms, self.tick_sequence.problems + self.jobs.problems + due_problems)

    def _show_second_stage(self) -> None:
        second, now_ms = self._installation.second_stage, self._time.now_ms()
        for line in second.events(now_ms):
            self._display.show_event(line)
        self._show_problems(now_ms, second.problems)

    def _show_problems(self, now_ms: int, problems: Sequence[str]) -> None:
        for problem in problems:
            if problem not in self._shown_problems:
                self._shown_problems.add(problem)
                self._display.show_event(presentation.broken_sequence(now_ms, problem))

    def _show_waiting(self, now_ms: int, tick_ms: int) -> None:
        for due_ms in waiting_nights(tick_ms, now_ms):
            if due_ms > self._shown_night_ms:
                self._shown_night_ms = due_ms
                self._display.show_event(presentation.waiting_job(now_ms, due_ms))

    def _show_hold(self) -> None:
        state = self._installation.watch.state
        # On a slow machine the clock may hold for a moment before its first tick. The scenario starts after that tick.
        begun = self._shown_ticks > 0
        if not begun or state is None or state.status is not Status.HOLDING or state.hold is None:
            self._shown_hold = None
            return
        hold = (str(state.hold.reason), str(state.hold.partitions))
        if hold != self._shown_hold:
            self.holds += self._shown_hold is None
            self._shown_hold = hold
            self._display.show_event(presentation.hold(self._time.now_ms(), state.hold, state))

    def _snapshot(self) -> DemoSnapshot | None:
        state = self._installation.watch.state
        if state is None:
            return None
        readers = {
            number: PartitionReader(one.name, at_ms)
            for one in self._installation.consumers
            for number, at_ms in one.reached_ms.items()
        }
        quiet = "quiet: heartbeats only" if self._heartbeats_on else "quiet: heartbeats gone"
        remarks = {SLOW: "slow on purpose", QUIET: quiet}
        now_ms, jobs = self._time.now_ms(), self.jobs
        jobs_text = presentation.jobs(jobs.last_night_ms, self.tick_sequence.last_ms, now_ms, jobs.counts[TICK])
        schedules = self._installation.schedules
        schedules_text = "" if schedules is None else presentation.schedules(schedules.written, schedules.due)
        second_text = self._installation.second_stage.text()
        return snapshot(state, now_ms, readers, remarks, self._holder, jobs_text, schedules_text, second_text)


def failure_reason(
    tick_sequence: TickSequence,
    jobs: JobSequence,
    by_itself: bool,
    due: DueSequence | None = None,
    second_stage: Sequence[str] = (),
) -> str | None:
    """Return the reason why a run failed; None if it succeeded.

    Args:
        by_itself: False if a signal ended the run. The run may then have had no time for `MIN_TICKS` ticks.
        due: the due records; None without schedules.
        second_stage: the problems of the second stage.
    """
    if tick_sequence.problems:
        return f"ticks were missing, repeated or out of order: {tick_sequence.problems[0]}"
    if jobs.problems:
        return f"jobs were missing, repeated or out of order: {jobs.problems[0]}"
    if due is not None and due.problems:
        return f"due records were missing, repeated or out of order: {due.problems[0]}"
    if second_stage:
        return f"ticks of the second stage were missing, repeated, out of order or early: {second_stage[0]}"
    if by_itself and tick_sequence.count < MIN_TICKS:
        return f"only {tick_sequence.count} ticks came, wanted at least {MIN_TICKS}"
    return None
