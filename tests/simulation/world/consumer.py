"""A simulated consumer process: handles records, commits, reports with the product's reporter, and is rebalanced."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Partition
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.progress import Report, ReportAnswer
from clocksvc.memory.topics import TopicRecord
from tests.simulation.judge.judge import Judge
from tests.simulation.judge.violation import Violation
from tests.simulation.world.environment import APPENDED, CREATED, Environment, Truth
from tests.simulation.world.intercepted import Intercepted, Link
from tests.simulation.world.scheduler import Scheduler, SimulatedTime

_CREATE_TIME, _LOG_APPEND_TIME = 1, 2
"""The numbers of confluent-kafka for timestamp types."""


class Postman:
    """A sink whose messages may be late, duplicated or unanswered; they arrive even if their sender is dead.

    Attributes:
        next: what happens to the next messages: `late`, `twice`.
        delivered: the highest timestamps reported, by partition. known: the topics with any report.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, judge: Judge, link: Link, clock: str) -> None:
        self._scheduler, self._environment, self._judge, self._clock = scheduler, environment, judge, clock
        self._target = environment.access.store(clock)
        self._store = Intercepted(
            scheduler, environment.access, self._target, link, "reporter", {"report": self._deliver}
        )
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
        scheduler, access = self._scheduler, self._environment.access

        def arrive() -> None:
            scheduler.wait(scheduler.rng.choice((0.1, 0.7, 2.0, 12.0)))
            if not access.broken:
                scheduler.between("a report from long ago arrives")
                if not access.broken:
                    self._deliver(lambda: self._target.report(report), (report,))

        scheduler.spawn("network", arrive)

    def _deliver(self, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Note what was reported to the store, and check that it moves no partition clock back."""
        report: Report = args[0]
        environment, clocks = self._environment, self._environment.access.clocks(self._clock)
        before = {partition: clocks.get(partition) for partition, _ in report.timestamps}
        present = environment.group_partitions(report.group)
        for partition, timestamp_ms in report.timestamps:
            if partition in present:
                truth = environment.truth(report.group, partition)
                truth.reported_ms = max(truth.reported_ms, timestamp_ms)
        answer = call()
        self._judge.note_report(self._clock, report.group, report.create_time_topics)
        clocks = environment.access.clocks(self._clock)
        for partition, known_ms in before.items():
            now_ms = clocks.get(partition)
            if known_ms is not None and (now_ms is None or now_ms < known_ms):
                raise Violation(f"back: {partition} was at {known_ms} in the store, and after a report at {now_ms}")
        return answer


class Consumer:
    """One process of a group, for one clock.

    Attributes:
        topics: the topics that it reads, as configured when it started.
        seen: the highest honest timestamp of each partition that it owns.
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        environment: Environment,
        judge: Judge,
        time: SimulatedTime,
        clock: str,
        group: str,
    ) -> None:
        self.name, self.link, self.time, self.clock, self.group = name, Link(), time, clock, group
        self._scheduler, self._environment, self._judge = scheduler, environment, judge
        self.postman = Postman(scheduler, environment, judge, self.link, clock)
        self._reporters = {topic: self._new_reporter(topic) for topic in environment.clocks[clock].spec.topics}
        self.topics = frozenset(self._reporters)
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
            self.clock,
            group=self.group,
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

    def _owned(self, partition: Partition) -> bool:
        return (self.group, partition) in self._environment.owners

    def _take_and_give_up(self) -> None:
        environment = self._environment
        owned = {
            partition
            for (group, partition), owner in environment.owners.items()
            if owner == self.name and group == self.group
        }
        for partition in sorted(set(self._mine) - owned):
            self._give_up(partition)
        for partition in sorted(owned - set(self._mine)):
            if self._owned(partition):
                self._take(partition)
        for partition, (truth, _) in sorted(self._mine.items(), key=lambda item: item[0]):
            if self._owned(partition) and not environment.is_present(self.group, partition, truth):
                self._scheduler.say(f"{self.name} reads {partition} from 0")
                self._mine[partition] = (environment.truth(self.group, partition), 0)
                if self._scheduler.rng.random() < 0.6:
                    self._give_up(partition)
                    if self._owned(partition):
                        self._take(partition)

    def _take(self, partition: Partition) -> None:
        truth = self._environment.truth(self.group, partition)
        self._reporters[partition.topic].on_assign(None, [_TopicPartition(partition)])
        self._mine[partition] = (truth, truth.committed)
        self.postman.delivered.pop(partition, None)

    def _give_up(self, partition: Partition) -> None:
        del self._mine[partition]
        reporter, given = self._reporters[partition.topic], [_TopicPartition(partition)]
        seen_ms = self.seen.pop(partition, None)
        if self._scheduler.rng.random() < 0.6 and self._sending:
            self._scheduler.wait(2.0, lambda: not self._sending)
        if self._sending or self._scheduler.rng.random() < 0.3:
            reporter.on_lost(None, given)
            return
        failed, self._sending = self.postman.failed, True
        knows = partition.topic in self.postman.known
        reporter.on_revoke(None, given)
        self._sending = False
        unreported = seen_ms is not None and self.postman.delivered.get(partition, -1) < seen_ms
        if unreported and knows and self.postman.failed == failed:
            raise Violation(
                f"unreported: {self.name} released {partition}, had processed it up to {seen_ms}, and reported "
                f"{self.postman.delivered.get(partition)}"
            )

    def _handle(self, partition: Partition) -> None:
        scheduler, environment = self._scheduler, self._environment
        truth, offset = self._mine[partition]
        if not environment.is_present(self.group, partition, truth):
            return
        records = environment.topics.records(partition, offset)[
            : 100 if scheduler.calm else scheduler.rng.randrange(1, 6)
        ]
        present = APPENDED if environment.append_time(partition.topic) else CREATED
        for record in records:
            if scheduler.rng.random() < 0.3:
                scheduler.between("handle")
            honest = environment.process(self.group, partition, truth, offset, record)
            if honest:
                self._judge.honest_record(self.clock, partition, truth, record.timestamp_ms)
            offset += 1
            if scheduler.rng.random() < 0.8:
                truth.committed = max(truth.committed, offset)
            if scheduler.rng.random() < 0.3:
                scheduler.between("commit")
            self._mine[partition] = (truth, offset)
            self._observe(partition, record, record.key or present)
            in_seconds = self.group in environment.in_seconds
            if honest and not in_seconds and record.timestamp_ms <= self.time.now_ms():
                self.seen[partition] = max(self.seen.get(partition, 0), record.timestamp_ms)

    def _observe(self, partition: Partition, record: TopicRecord, key: bytes) -> None:
        kind = _CREATE_TIME if key == CREATED else _LOG_APPEND_TIME
        unit = 1_000 if self.group in self._environment.in_seconds else 1
        self._reporters[partition.topic].observe_message(_Message(partition, record.timestamp_ms // unit, kind))


class _TopicPartition:
    """The partitions that confluent-kafka passes to the callbacks of a rebalance."""

    def __init__(self, partition: Partition) -> None:
        self.topic, self.partition = partition.topic, partition.number


class _Message:
    """A message of confluent-kafka, with the timestamp type that its topic has when it is read."""

    def __init__(self, partition: Partition, timestamp_ms: int, kind: int) -> None:
        self._partition, self._timestamp = partition, (kind, timestamp_ms)

    def topic(self) -> str:
        return self._partition.topic

    def partition(self) -> int:
        return self._partition.number

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def error(self) -> None:
        return None
