"""The scheduler in one process: a replica for each clock with schedules, and the ticks for all of them.

The topics of a clock are created or checked first. Its replica starts after this, because another number of partitions
would mean that schedules are due from other partitions.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from clocksvc.errors import ClocksvcError, InvalidValue, SchedulesMisconfigured
from clocksvc.interfaces.due_sink import DueSink, SinkKind
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.partition_thread import PartitionThread
from clocksvc.scheduler.replica import LEAVE_WITHIN_S, SchedulerReplica
from clocksvc.service import bootstrap, schedule_bootstrap
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.scheduler")

END_S = 10.0
"""How long the end of the partitions' threads may take, after the replica has left its partitions to others."""
TICKS_END_S = 0.5
"""How long the end of the thread that reads ticks is awaited. Without an answer of Kafka it takes several seconds. The
process does not wait for this, because the thread only reads."""

Replica = SchedulerReplica[PartitionThread]


class ScheduledClock:
    """The schedules of one clock in this process.

    Attributes:
        spec: the clock and its number of partitions.
        replica: this process as a replica.
        problem: why the replica has not started; None once it has.

    Args:
        ensure_topics: creates and checks both topics, and returns warnings.
    """

    def __init__(
        self, spec: SchedulesSpec, replica: Replica, ensure_topics: Callable[[], list[str]], time: Time
    ) -> None:
        self.spec, self.replica = spec, replica
        self.problem: str | None = "its topics were not checked yet"
        self._ensure_topics, self._time = ensure_topics, time
        self._backoff, self._misconfigured = Backoff(CONNECTION), False
        self._lines = RepeatedLines(logger)
        self._leaving = False
        self._thread = WorkerThread(f"clocksvc-topics-{spec.clock}", self._begin, log=logger)

    @property
    def partitions(self) -> Mapping[int, PartitionThread]:
        """The partitions that this process has opened."""
        return self.replica.partitions

    @property
    def left(self) -> bool:
        """True once `leave` was called and the process can end."""
        return self._leaving and (self.problem is not None or self.replica.left)

    @property
    def readiness_error(self) -> str:
        """Why this process is not ready to own partitions of the clock; "" if it is."""
        if self._leaving:
            return "this process leaves its partitions to other replicas"
        if self.problem is not None:
            return "its topics are not as configured" if self._misconfigured else "its topics were not found yet"
        if not self.replica.settled:
            loading = sum(one.state is PartitionState.LOADING for one in self.partitions.values())
            return f"{loading} of its partitions are being loaded" if loading else "the store has not answered yet"
        return ""

    def start(self) -> None:
        """Check the topics, and start the replica. Returns at once."""
        self._thread.start()

    def leave(self) -> None:
        """Leave the partitions to other replicas. Returns at once; signal handlers may call it."""
        self._leaving = True
        self._thread.stop()
        self.replica.leave()

    def join(self, timeout_s: float) -> bool:
        """Wait until the partitions are closed; False if they are not after `timeout_s`."""
        return self.problem is not None or self.replica.join(timeout_s)

    def _begin(self) -> float | None:
        try:
            warnings = self._ensure_topics()
        except ClocksvcError as error:
            return self._retry(error)
        for warning in warnings:
            logger.warning("%s", warning, extra={"clock": self.spec.clock})
        if not self._leaving:
            self.problem = None
            self.replica.start()
        return None

    def _retry(self, error: ClocksvcError) -> float:
        self.problem = str(error)
        self._misconfigured = isinstance(error, SchedulesMisconfigured)
        level = logging.ERROR if self._misconfigured else logging.WARNING
        self._lines.log(
            *(self._time.monotonic(), level, without_numbers(self.problem)),
            *("the schedules of clock %s do not run: %s", self.spec.clock, self.problem),
            extra={"clock": self.spec.clock},
        )
        return self._backoff.next()


class ScheduleService:
    """The scheduler of all clocks with schedules, in one process.

    Attributes:
        clocks: the clocks with schedules, by name.

    Args:
        address: the URL by which other processes reach this process.
        open_celery_sink: returns the sink of clocks whose schedules go to Celery. All threads use it.

    Raises:
        InvalidValue: no clock has schedules.
        SettingsError: schedules go to the task platform, but its packages are not installed.
    """

    def __init__(self, settings: Settings, address: str, open_celery_sink: Callable[[Settings], DueSink]) -> None:
        specs, time = settings.schedules_specs(), SystemTime()
        if not specs:
            wanted = "wanted at least one clock with the section `schedules`, such as {partitions: 8}"
            raise InvalidValue("clocks", sorted(settings.clocks), wanted)
        kinds = {spec.sink for spec in specs.values()}
        self._celery = open_celery_sink(settings) if SinkKind.CELERY in kinds else None
        self._ticks = schedule_bootstrap.open_ticks(settings, specs, time)
        replica_name = f"{bootstrap.holder_name()} {bootstrap.new_id()[:8]}"
        self.clocks: Mapping[str, ScheduledClock] = {
            name: self._scheduled(settings, spec, replica_name, address, time) for name, spec in specs.items()
        }

    def _scheduled(
        self, settings: Settings, spec: SchedulesSpec, replica_name: str, address: str, time: Time
    ) -> ScheduledClock:
        def open_partition(number: int) -> PartitionThread:
            sink = self._sink(settings, spec, time)
            partition = schedule_bootstrap.open_schedule_partition(
                settings, spec, number, self._ticks, time, replica.wake, sink
            )
            return PartitionThread(partition, spec.clock, time)

        replica = SchedulerReplica(
            spec.clock,
            spec.partitions,
            replica=replica_name,
            address=address,
            schedulers=bootstrap.open_schedulers(settings, spec.clock),
            open_partition=open_partition,
            time=time,
            new_id=bootstrap.new_id,
        )
        return ScheduledClock(
            spec, replica, partial(schedule_bootstrap.ensure_schedule_topics, settings, spec, time), time
        )

    def _sink(self, settings: Settings, spec: SchedulesSpec, time: Time) -> DueSink | None:
        if spec.sink is SinkKind.TASKBROKER:
            return schedule_bootstrap.open_taskbroker_sink(settings, time)
        return self._celery if spec.sink is SinkKind.CELERY else None

    @property
    def readiness_error(self) -> str:
        """Why this process is not ready, without names of clocks; "" if it is."""
        errors = [error for clock in self.clocks.values() if (error := clock.readiness_error)]
        return f"{len(errors)} of {len(self.clocks)} clocks: {errors[0]}" if errors else ""

    def stats(self) -> dict[tuple[str, int], PartitionStats]:
        """Return the figures of all partitions that this process has opened, by clock and number."""
        return {
            (name, number): partition.stats
            for name, clock in self.clocks.items()
            for number, partition in clock.partitions.items()
        }

    @property
    def left(self) -> bool:
        """True once `leave` was called, and no partition has to wait for another owner."""
        return all(clock.left for clock in self.clocks.values())

    def start(self) -> None:
        """Start to load. Returns at once."""
        self._ticks.start()
        for clock in self.clocks.values():
            clock.start()

    def leave(self) -> None:
        """Leave all partitions to other replicas: see `SchedulerReplica.leave`. Signal handlers may call it."""
        for clock in self.clocks.values():
            clock.leave()

    def stop(self) -> None:
        """Call `leave`, wait for at most 40 s until all partitions are closed, and close the connections."""
        self.leave()
        time = SystemTime()
        deadline = time.monotonic() + LEAVE_WITHIN_S + END_S
        for name, clock in self.clocks.items():
            if not clock.join(deadline - time.monotonic()):
                logger.warning("the partitions of clock %s have not ended in time", name, extra={"clock": name})
        self._ticks.stop()
        self._ticks.join(TICKS_END_S)
