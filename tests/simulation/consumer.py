"""A simulated consumer process: handles records, commits, reports with the product's reporter, and is rebalanced."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Partition
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.store import (
    Report,
    ReportAnswer,
)
from tests.simulation.hub import Hub, SimulatedTime
from tests.simulation.keepers import Link, SeenStore
from tests.simulation.oracle import Oracle
from tests.simulation.violation import Violation
from tests.simulation.world import GROUP, Truth, World


class Postman:
    """A sink whose messages can be late, come twice, or get no answer; they arrive even if their sender is dead.

    Attributes:
        next: what becomes of the next messages: `late`, `twice`.
        delivered: the highest numbers told, by partition. known: the topics of which any was told.
    """

    def __init__(self, hub: Hub, world: World, link: Link) -> None:
        self._hub, self._world = hub, world
        self._store = SeenStore(hub, world.store, link, "reporter", {"report": self._deliver})
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
        hub, store = self._hub, self._world.store

        def arrive() -> None:
            hub.wait(hub.rng.choice((0.1, 0.7, 2.0, 12.0)))
            if not store.broken:
                hub.between("a report from long ago arrives")
                if not store.broken:
                    self._deliver(lambda: store.report(report), (report,))

        hub.spawn("network", arrive)

    def _deliver(self, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Note what the store was told, and see that no partition clock goes back by it."""
        report: Report = args[0]
        clocks = self._world.store._state.clocks
        before = {partition: clocks.get(partition) for partition, _ in report.timestamps}
        for partition, timestamp_ms in report.timestamps:
            if partition in self._world.partitions():
                truth = self._world.truth(partition)
                truth.told_ms = max(truth.told_ms, timestamp_ms)
        answer = call()
        for partition, known_ms in before.items():
            now_ms = clocks.get(partition)
            if known_ms is not None and (now_ms is None or now_ms < known_ms):
                raise Violation(f"back: {partition} stood at {known_ms} in the store, and after a report at {now_ms}")
        return answer


class Consumer:
    """One process of the group. `seen`: the highest honest timestamp of each partition that it has now."""

    def __init__(
        self, name: str, hub: Hub, world: World, oracle: Oracle, time: SimulatedTime, group: str = GROUP
    ) -> None:
        self.name, self.link, self.time = name, Link(), time
        self._hub, self._world, self._oracle = hub, world, oracle
        self.postman = Postman(hub, world, self.link)
        self._group = group
        self._reporters = {topic: self._new_reporter(topic) for topic in world.topic_names}
        self._mine: dict[Partition, tuple[Truth, int]] = {}
        self.seen: dict[Partition, int] = {}
        self._sending = False

    def start(self) -> None:
        """Run its threads."""
        self._hub.spawn(self.name, self._poll)
        self._hub.spawn(self.name, self._send)

    def watch_from_the_end(self, partitions: Iterable[Partition]) -> None:
        """A canary: observes what comes from now on, and has processed nothing of what was there."""
        hub, world = self._hub, self._world
        offsets = {partition: len(world.topics.records(partition)) for partition in partitions}

        def observe() -> None:
            while True:
                for partition, offset in list(offsets.items()):
                    if partition not in world.partitions():
                        continue
                    records = world.topics.records(partition, offset)
                    offsets[partition] = offset + len(records)
                    for record in records:
                        self._reporters[partition.topic].observe(partition.number, record.timestamp_ms)
                hub.wait(0.2)

        hub.spawn(self.name, observe)
        hub.spawn(self.name, self._send)

    def _new_reporter(self, topic: str) -> Reporter:
        return Reporter(
            "memory://",
            self._world.spec.name,
            group=self._group,
            topic=topic,
            sink=self.postman,
            time=self.time,
            rng=self._hub.rng,
            start=False,
        )

    def _poll(self) -> None:
        hub, world = self._hub, self._world
        while True:
            self._take_and_give_up()
            for partition in sorted(self._mine):
                self._handle(partition)
            hub.wait(0.5 if hub.calm else hub.rng.uniform(0.02, 0.2))
            if world.rng.random() < 0.01:
                hub.wait(1.0)

    def _send(self) -> None:
        hub = self._hub
        reporters = list(self._reporters.values())
        while True:
            wait_s = 0.3 if hub.calm else 0.05
            for reporter in reporters:
                if not self._sending:
                    self._sending = True
                    wait_s = min(wait_s, max(reporter.step(), 0.001))
                    self._sending = False
            hub.wait(wait_s)

    def _take_and_give_up(self) -> None:
        world = self._world
        owned = {partition for partition, owner in world.owners.items() if owner == self.name}
        for partition in sorted(set(self._mine) - owned):
            self._give_up(partition)
        for partition in sorted(owned - set(self._mine)):
            if partition in world.owners:
                self._take(partition)
        for partition, (truth, _) in sorted(self._mine.items()):
            if partition in world.owners and not world.is_present(partition, truth):
                self._hub.say(f"{self.name} reads {partition} from 0")
                self._mine[partition] = (world.truth(partition), 0)
                if self._hub.rng.random() < 0.6:
                    self._give_up(partition)
                    if partition in world.owners:
                        self._take(partition)

    def _take(self, partition: Partition) -> None:
        truth = self._world.truth(partition)
        self._reporters[partition.topic].on_assign(None, [_TopicPartition(partition)])
        self._mine[partition] = (truth, truth.committed)
        self.postman.delivered.pop(partition, None)

    def _give_up(self, partition: Partition) -> None:
        del self._mine[partition]
        reporter, told = self._reporters[partition.topic], [_TopicPartition(partition)]
        seen_ms = self.seen.pop(partition, None)
        if self._hub.rng.random() < 0.6 and self._sending:
            self._hub.wait(2.0, lambda: not self._sending)
        if self._sending or self._hub.rng.random() < 0.3:
            reporter.on_lost(None, told)
            return
        failed, self._sending = self.postman.failed, True
        knows = partition.topic in self.postman.known
        reporter.on_revoke(None, told)
        self._sending = False
        untold = seen_ms is not None and self.postman.delivered.get(partition, -1) < seen_ms
        if untold and knows and self.postman.failed == failed:
            raise Violation(
                f"untold: {self.name} gave {partition} up, had processed it up to {seen_ms}, and told the store "
                f"{self.postman.delivered.get(partition)}"
            )

    def _handle(self, partition: Partition) -> None:
        hub, world = self._hub, self._world
        truth, offset = self._mine[partition]
        if not world.is_present(partition, truth):
            return
        records = world.topics.records(partition, offset)[: 100 if hub.calm else hub.rng.randrange(1, 6)]
        for record in records:
            if hub.rng.random() < 0.3:
                hub.between("handle")
            honest = world.process(partition, truth, offset, record)
            if honest:
                self._oracle.honest_record(partition, truth, record.timestamp_ms)
            offset += 1
            if hub.rng.random() < 0.8:
                truth.committed = max(truth.committed, offset)
            if hub.rng.random() < 0.3:
                hub.between("commit")
            self._mine[partition] = (truth, offset)
            self._reporters[partition.topic].observe(partition.number, record.timestamp_ms)
            if honest and record.timestamp_ms <= self.time.now_ms():
                self.seen[partition] = max(self.seen.get(partition, 0), record.timestamp_ms)


class _TopicPartition:
    """What confluent-kafka hands to the callbacks of a rebalance."""

    def __init__(self, partition: Partition) -> None:
        self.topic, self.partition = partition.topic, partition.number
