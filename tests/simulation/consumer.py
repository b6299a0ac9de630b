"""A simulated consumer process: handles records, commits, reports with the product's reporter, and is rebalanced."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Partition
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.progress import Report, ReportAnswer
from tests.simulation.environment import GROUP, Environment, Truth
from tests.simulation.intercepted import InterceptedStore, Link
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler, SimulatedTime
from tests.simulation.violation import Violation


class Postman:
    """A sink whose messages may be late, duplicated or unanswered; they arrive even if their sender is dead.

    Attributes:
        next: what happens to the next messages: `late`, `twice`.
        delivered: the highest timestamps reported, by partition. known: the topics with any report.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, link: Link) -> None:
        self._scheduler, self._environment = scheduler, environment
        self._store = InterceptedStore(scheduler, environment.store, link, "reporter", {"report": self._deliver})
        self.next: list[str] = []
        self.delivered: dict[Partition, int] = {}
        self.known: set[str] = set()
        self.failed = 0

    def report(self, report: Report) -> ReportAnswer:
        fate = self.next.pop() if self.next else ""
        if fate:
            self._send_later(copy.copy(report))
        if fate == "late":
            self.failed += 1
            raise StoreUnavailable
        try:
            answer: ReportAnswer = self._store.report(report)
        except StoreUnavailable:
            self.failed += 1
            raise
        if answer.parameters is None:
            self.failed += 1
        else:
            for partition, timestamp_ms in report.timestamps:
                self.known.add(partition.topic)
                self.delivered[partition] = max(self.delivered.get(partition, -1), timestamp_ms)
        return answer

    def close(self) -> None:
        """Nothing to free."""

    def _send_later(self, report: Report) -> None:
        scheduler, store = self._scheduler, self._environment.store

        def arrive() -> None:
            scheduler.wait(scheduler.rng.choice((0.1, 0.7, 2.0, 12.0)))
            if not store.broken:
                scheduler.between("a report from long ago arrives")
                if not store.broken:
                    self._deliver(lambda: store.report(report), (report,))

        scheduler.spawn("network", arrive)

    def _deliver(self, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Note what was reported to the store, and check that it moves no partition clock back."""
        report: Report = args[0]
        clocks = self._environment.store._state.clocks
        before = {partition: clocks.get(partition) for partition, _ in report.timestamps}
        for partition, timestamp_ms in report.timestamps:
            if partition in self._environment.partitions():
                truth = self._environment.truth(partition)
                truth.told_ms = max(truth.told_ms, timestamp_ms)
        answer = call()
        for partition, known_ms in before.items():
            now_ms = clocks.get(partition)
            if known_ms is not None and (now_ms is None or now_ms < known_ms):
                raise Violation(f"back: {partition} was at {known_ms} in the store, and after a report at {now_ms}")
        return answer


class Consumer:
    """One process of the group. `seen`: the highest honest timestamp of each partition that it owns now."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        environment: Environment,
        oracle: Oracle,
        time: SimulatedTime,
        group: str = GROUP,
    ) -> None:
        self.name, self.link, self.time = name, Link(), time
        self._scheduler, self._environment, self._oracle = scheduler, environment, oracle
        self.postman = Postman(scheduler, environment, self.link)
        self._group = group
        self._reporters = {topic: self._new_reporter(topic) for topic in environment.topic_names}
        self._mine: dict[Partition, tuple[Truth, int]] = {}
        self.seen: dict[Partition, int] = {}
        self._sending = False

    def start(self) -> None:
        """Start its threads."""
        self._scheduler.spawn(self.name, self._poll)
        self._scheduler.spawn(self.name, self._send)

    def watch_from_the_end(self, partitions: Iterable[Partition]) -> None:
        """A canary: observes new records only."""
        scheduler, environment = self._scheduler, self._environment
        offsets = {partition: len(environment.topics.records(partition)) for partition in partitions}

        def observe() -> None:
            while True:
                for partition, offset in list(offsets.items()):
                    if partition not in environment.partitions():
                        continue
                    records = environment.topics.records(partition, offset)
                    offsets[partition] = offset + len(records)
                    for record in records:
                        self._reporters[partition.topic].observe(partition.number, record.timestamp_ms)
                scheduler.wait(0.2)

        scheduler.spawn(self.name, observe)
        scheduler.spawn(self.name, self._send)

    def _new_reporter(self, topic: str) -> Reporter:
        return Reporter(
            "memory://",
            self._environment.spec.name,
            group=self._group,
            topic=topic,
            sink=self.postman,
            time=self.time,
            rng=self._scheduler.rng,
            start=False,
        )

    def _poll(self) -> None:
        scheduler, environment = self._scheduler, self._environment
        while True:
            self._take_and_give_up()
            for partition in sorted(self._mine):
                self._handle(partition)
            scheduler.wait(0.5 if scheduler.calm else scheduler.rng.uniform(0.02, 0.2))
            if environment.rng.random() < 0.01:
                scheduler.wait(1.0)

    def _send(self) -> None:
        scheduler = self._scheduler
        reporters = list(self._reporters.values())
        while True:
            wait_s = 0.3 if scheduler.calm else 0.05
            for reporter in reporters:
                if not self._sending:
                    self._sending = True
                    wait_s = min(wait_s, max(reporter.step(), 0.001))
                    self._sending = False
            scheduler.wait(wait_s)

    def _take_and_give_up(self) -> None:
        environment = self._environment
        owned = {partition for partition, owner in environment.owners.items() if owner == self.name}
        for partition in sorted(set(self._mine) - owned):
            self._give_up(partition)
        for partition in sorted(owned - set(self._mine)):
            if partition in environment.owners:
                self._take(partition)
        for partition, (truth, _) in sorted(self._mine.items()):
            if partition in environment.owners and not environment.is_present(partition, truth):
                self._scheduler.say(f"{self.name} reads {partition} from 0")
                self._mine[partition] = (environment.truth(partition), 0)
                if self._scheduler.rng.random() < 0.6:
                    self._give_up(partition)
                    if partition in environment.owners:
                        self._take(partition)

    def _take(self, partition: Partition) -> None:
        truth = self._environment.truth(partition)
        self._reporters[partition.topic].on_assign(None, [_TopicPartition(partition)])
        self._mine[partition] = (truth, truth.committed)
        self.postman.delivered.pop(partition, None)

    def _give_up(self, partition: Partition) -> None:
        del self._mine[partition]
        reporter, told = self._reporters[partition.topic], [_TopicPartition(partition)]
        seen_ms = self.seen.pop(partition, None)
        if self._scheduler.rng.random() < 0.6 and self._sending:
            self._scheduler.wait(2.0, lambda: not self._sending)
        if self._sending or self._scheduler.rng.random() < 0.3:
            reporter.on_lost(None, told)
            return
        failed, self._sending = self.postman.failed, True
        knows = partition.topic in self.postman.known
        reporter.on_revoke(None, told)
        self._sending = False
        untold = seen_ms is not None and self.postman.delivered.get(partition, -1) < seen_ms
        if untold and knows and self.postman.failed == failed:
            raise Violation(
                f"untold: {self.name} released {partition}, had processed it up to {seen_ms}, and reported "
                f"{self.postman.delivered.get(partition)}"
            )

    def _handle(self, partition: Partition) -> None:
        scheduler, environment = self._scheduler, self._environment
        truth, offset = self._mine[partition]
        if not environment.is_present(partition, truth):
            return
        records = environment.topics.records(partition, offset)[
            : 100 if scheduler.calm else scheduler.rng.randrange(1, 6)
        ]
        for record in records:
            if scheduler.rng.random() < 0.3:
                scheduler.between("handle")
            honest = environment.process(partition, truth, offset, record)
            if honest:
                self._oracle.honest_record(partition, truth, record.timestamp_ms)
            offset += 1
            if scheduler.rng.random() < 0.8:
                truth.committed = max(truth.committed, offset)
            if scheduler.rng.random() < 0.3:
                scheduler.between("commit")
            self._mine[partition] = (truth, offset)
            self._reporters[partition.topic].observe(partition.number, record.timestamp_ms)
            if honest and record.timestamp_ms <= self.time.now_ms():
                self.seen[partition] = max(self.seen.get(partition, 0), record.timestamp_ms)


class _TopicPartition:
    """The partitions that confluent-kafka passes to the callbacks of a rebalance."""

    def __init__(self, partition: Partition) -> None:
        self.topic, self.partition = partition.topic, partition.number
