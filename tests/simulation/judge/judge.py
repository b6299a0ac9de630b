"""The judge of one simulation: sees every call that matters, and checks log and store after every step."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from tests.simulation.judge.clock_judge import ClockJudge
from tests.simulation.judge.log_judge import LogJudge
from tests.simulation.judge.log_watch import LogWatch
from tests.simulation.judge.store_watch import StoreWatch
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import Witness
from tests.simulation.sometimes import Sometimes
from tests.simulation.world.environment import Environment, Truth
from tests.simulation.world.intercepted import Watcher
from tests.simulation.world.scheduler import SimulatedTime
from tests.simulation.world.store_control import StoreControl


class Judge:
    """Judges all clocks and logs. `check` is called after every step.

    Attributes:
        commands: the processes that are `clocksvc init`.
    """

    def __init__(self, environment: Environment, sometimes: Sometimes) -> None:
        self._environment = environment
        self.sometimes = sometimes
        self.commands: set[str] = set()
        self.clocks = {name: ClockJudge(name, environment, sometimes) for name in environment.clocks}
        self.logs = {
            number: LogJudge(
                number,
                environment,
                {name: judge for name, judge in self.clocks.items() if log_of(name) == number},
                sometimes,
                self.commands,
            )
            for number in environment.logs
        }

    def clock(self, name: str) -> ClockJudge:
        """Return the judge of a clock."""
        return self.clocks[name]

    def log(self, clock: str) -> LogJudge:
        """Return the judge of a clock's log."""
        return self.logs[log_of(clock)]

    def check(self) -> None:
        """Check what logs and streams show now."""
        for log in self.logs.values():
            log.check()
        for clock in self.clocks.values():
            clock.check_stream()

    @property
    def granted(self) -> int:
        """The number of requests that were committed."""
        return sum(len(clock.standing.granted) for clock in self.clocks.values())

    # -- what processes do --------------------------------------------------------------------------------------------

    def add_witness(self, witness: Witness) -> None:
        """A process that may lead a log starts."""
        self.logs[witness.log].witnesses[witness.name] = witness

    def lease_watchers(self, witness: Witness, store: StoreControl) -> Mapping[str, Watcher]:
        """Return what watches a process's calls of the leases."""
        return StoreWatch(self._environment, self.logs[witness.log], self.clocks, witness, store).lease_watchers()

    def store_watchers(self, witness: Witness, clock: str, store: StoreControl) -> Mapping[str, Watcher]:
        """Return what watches a process's calls of one clock's store."""
        watch = StoreWatch(self._environment, self.logs[witness.log], self.clocks, witness, store)
        return watch.store_watchers(clock)

    def log_watcher(
        self, process: str, log: int, witness: Witness | None
    ) -> Callable[[str, tuple[Any, ...], Callable[[], Any]], Any]:
        """Return what watches a process's calls of a log."""
        return LogWatch(self._environment, self.logs[log], process, witness, self.sometimes).call

    def honest_record(self, clock: str, partition: Partition, truth: Truth, timestamp_ms: int) -> None:
        """An honest record was handled for the first time."""
        self.clocks[clock].honest_record((partition.topic, partition.number), truth, timestamp_ms)

    def note_report(self, clock: str, group: str, create_time_topics: Collection[str]) -> None:
        """A report has reached the store."""
        parameters = self._environment.access.clock(clock).parameters
        if parameters is None or parameters.group != group:
            return
        judge = self.clocks[clock]
        for topic in create_time_topics:
            if not self._environment.append_time(topic):
                judge.create_time_reported.add(topic)

    def judge_heartbeats(self, time: SimulatedTime, timestamp_ms: int, *, store_answered: bool) -> None:
        """Heartbeats are sent."""
        peak_ms = time.peak_ms
        passed_ms = min(self._environment.time.peak_ms, peak_ms) if store_answered else peak_ms
        if timestamp_ms > passed_ms:
            raise Violation(
                f"early: a heartbeat has {timestamp_ms}, which its own and the store's clock have not passed"
            )

    # -- what faults do -----------------------------------------------------------------------------------------------

    def log_lost(self, log: int) -> None:
        """A log has just lost records. Called after the loss, before any process acts."""
        self.logs[log].log_lost()

    def store_lost(self) -> None:
        """The store has just lost its content, or went back to an older one."""
        for clock in self.clocks.values():
            clock.create_time_reported.clear()
            clock.standing.store_forgot()
            clock.look_at_the_loss()

    def announcements_expired(self) -> None:
        """The store's clock has jumped ahead: earlier announcements have expired there, unnoticed."""
        for log in self.logs.values():
            log.announced.clear()

    def timestamp_type_changed(self, topic: str) -> None:
        """A topic's timestamp type has just changed."""
        for clock in self.clocks.values():
            clock.changed_type_at_ms[topic] = self._environment.scheduler.now_ms
            clock.create_time_reported.discard(topic)
