"""Everything that replicas and writers share: the clock, the topics, the store, and the judge."""

from collections.abc import Callable
from typing import Any

from clocksvc.errors import StoreUnavailable, TickLogUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.memory.schedulers import MemorySchedulers
from clocksvc.memory.store_access import StoreContent
from tests.faulty.store import FaultyStoreServer
from tests.scheduler_simulation.judge.command_judge import CommandJudge
from tests.scheduler_simulation.judge.due_judge import DueJudge
from tests.scheduler_simulation.sometimes import Path, Sometimes
from tests.scheduler_simulation.world.clock import NAME, SimulatedClock
from tests.scheduler_simulation.world.due_log import RETENTION_MS, SKEW_MS, BrokerLog
from tests.scheduler_simulation.world.schedule_writer import WriterState
from tests.scheduler_simulation.world.topic import CUT_S, Link, ObservedTopic
from tests.simulation.world.scheduler import Scheduler, SimulatedTime

SHORT_RETENTION_MS = 2 * 3_600_000
COMMAND_KEYS = b"h-"
"""The keys of schedules that only owners write."""


class Environment:
    """The world without processes.

    Attributes:
        logs: the partitions of due records.
        writers: what brokers know of the writers of schedules.
        store: the replicas' announcements and leases.
        store_broken: no replica gets an answer of the store.
        emptied: the store was emptied, and no replica has a lease since then.
        store_copy: an older content of the store.
        paused_until_ms: no tick comes before this time.
        numbers: of the payloads so far. Each is unique.
        commands: the judge of commands.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        partitions = scheduler.rng.choice((1, 1, 2, 3))
        self.spec = SchedulesSpec(NAME, partitions)
        self.judge = DueJudge(NAME, partitions, SKEW_MS)
        self.commands = CommandJudge()
        self.sometimes = Sometimes()
        self.clock = SimulatedClock(scheduler, self.judge)
        self.topic = ObservedTopic(scheduler, self._wrote, partitions)
        self.logs = [
            BrokerLog(number, scheduler, self.judge, self.sometimes, self.topic.observe) for number in range(partitions)
        ]
        retention_ms = scheduler.rng.choice((RETENTION_MS, SHORT_RETENTION_MS))
        for log in self.logs:
            log.retention_ms = retention_ms
        self.writers = [WriterState(number, self.sometimes) for number in range(partitions)]
        self.store = FaultyStoreServer(SimulatedTime(scheduler, scheduler.rng.choice((0, 0, -300, 300))))
        self.store_broken = self.emptied = False
        self.store_copy: StoreContent | None = None
        self.paused_until_ms = 0
        self.numbers = 0
        self.subscribers: list[Callable[[], None]] = []

    def _wrote(self, partition: int, offset: int, key: bytes, value: bytes | None, moment: int) -> None:
        self.judge.wrote(partition, offset, key, value, moment)
        if key.startswith(COMMAND_KEYS):
            self.commands.wrote(key, offset, value, moment)

    def observe(self) -> None:
        """Show the judge everything that readers of committed records can read by now."""
        self.topic.observe()
        sent = self.judge.counts["sent"]
        for log in self.logs:
            log.observe()
        if sent < self.judge.counts["sent"]:
            if self.store_broken:
                self.sometimes.took(Path.STORE_DOWN)
            self.emptied = self.emptied and not self.store.content.schedulers_of(NAME).leases
            if self.emptied:
                self.sometimes.took(Path.WITHOUT_LEASE)

    def tick(self, most: int = 1) -> int:
        """Commit the next ticks. Returns how many."""
        self.observe()
        count = self.clock.emit(most)
        if count:
            for wake in self.subscribers:
                wake()
        return count

    def schedulers(self, link: Link) -> "ReplicaStore":
        """Return the store as one replica uses it."""
        return ReplicaStore(self, MemorySchedulers(self.store.access, NAME), link)

    def ticks(self, link: Link) -> "ReplicaTicks":
        """Return the clock's ticks as one replica reads them."""
        return ReplicaTicks(self, link)


class ReplicaStore:
    """Implements Schedulers for one replica: other processes may run before and after each call."""

    def __init__(self, environment: Environment, target: MemorySchedulers, link: Link) -> None:
        self._environment, self._target, self._link = environment, target, link

    def __getattr__(self, name: str) -> Any:
        scheduler, link, method = self._environment.scheduler, self._link, getattr(self._target, name)

        def call(*args: Any) -> Any:
            scheduler.between(f"store.{name}")
            if link.store_cut or self._environment.store_broken:
                scheduler.wait(scheduler.rng.uniform(0.05, 0.5))
                raise StoreUnavailable
            result = method(*args)
            if link.answers_lost:
                link.answers_lost -= 1
                scheduler.between(f"store.{name}, answer lost")
                raise StoreUnavailable
            scheduler.between(f"store.{name} done")
            return result

        return call


class ReplicaTicks:
    """Implements TickSource for one replica."""

    def __init__(self, environment: Environment, link: Link) -> None:
        self._environment, self._link = environment, link

    def after(self, clock: str, at_ms: int, limit: int) -> list[TickWithOffset]:
        scheduler = self._environment.scheduler
        scheduler.between("ticks.after")
        if self._link.kafka_cut:
            scheduler.wait(CUT_S, lambda: not self._link.kafka_cut)
        self._raise_if_cut()
        known_ms = self.known() or 0
        return [one for one in self._environment.clock.after(at_ms, limit) if one.tick.at_ms <= known_ms]

    def newest(self, clock: str) -> int | None:
        self._raise_if_cut()
        return self.known()

    def known(self) -> int | None:
        """Return the newest tick that this replica has received."""
        ticks, number = self._environment.clock.ticks, self._link.ticks_upto
        number = len(ticks) if number is None else number
        return ticks[number - 1].tick.at_ms if number else None

    def subscribe(self, clock: str, wake: Callable[[], None]) -> Callable[[], None]:
        subscribers = self._environment.subscribers
        subscribers.append(wake)
        return lambda: subscribers.remove(wake)

    def _raise_if_cut(self) -> None:
        if self._link.kafka_cut:
            raise TickLogUnavailable("Kafka can't be reached")
