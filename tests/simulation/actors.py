"""The simulated processes: leaders, consumers with reporters, feeds, a producer. Each runs the product's real code."""

from collections.abc import Callable

from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick
from clocksvc.feed import Feed
from clocksvc.leader.leader import Leader, Phase
from clocksvc.leader.parts import Parts
from clocksvc.reporter import Reporter
from clocksvc.ticklog import Waiting
from clocksvc.ticklogs.memory import MemoryTickLog
from tests.simulation.hub import Hub, Interrupted, InterruptedStore, SimulatedTime
from tests.simulation.oracle import Oracle
from tests.simulation.world import TOPIC, DescribedTopics, World


class JudgedLog(Interrupted):
    """A tick log of one process: tells the judge who writes from now on."""

    def __init__(self, hub: Hub, log: MemoryTickLog, oracle: Oracle, process: str) -> None:
        super().__init__(hub, log, "log")
        self._oracle, self._process = oracle, process

    def fence(self, waiting: Waiting) -> None:
        self._hub.give_way("log.fence")
        self._keeper.fence(waiting)
        self._oracle.check()
        self._oracle.writer = self._process
        self._hub.give_way()


class Processes:
    """Starts and ends the processes of one world."""

    def __init__(self, hub: Hub, world: World, oracle: Oracle) -> None:
        self._hub, self._world, self._oracle = hub, world, oracle
        self.takeovers = 0
        self.reports = 0

    def start_leader(self, name: str, skew_ms: int = 0) -> None:
        """A replica of the service: its leader and its feed."""
        hub, world = self._hub, self._world
        time = SimulatedTime(hub, skew_ms)
        store = InterruptedStore(hub, world.store, "store")
        parts = Parts(
            world.spec,
            store,
            JudgedLog(hub, MemoryTickLog(world.log, "sim"), self._oracle, name),
            DescribedTopics(hub, world.topics, world, name),
            time,
            self._new_id,
        )
        leader = Leader(parts, name, self)

        def lead() -> None:
            while True:
                wait_s = leader.step()
                if leader.phase is Phase.LEADING and wait_s > 0:
                    store.wait_for_wake(wait_s)
                else:
                    hub.give_way("", wait_s)

        hub.spawn(name, lead)
        self._start_feed(name, time)

    def leading(self, clock: str, yes: bool) -> None:
        """A leader says that it begins or ceases to lead."""
        self.takeovers += yes

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """A leader says that ticks are out."""

    def start_consumer(self, name: str, skew_ms: int = 0) -> None:
        """A consumer process: handles records, commits, reports; a second thread sends."""
        hub, world = self._hub, self._world
        reporter = Reporter(
            "memory://",
            "sim",
            group="g",
            topic=TOPIC,
            sink=Interrupted(hub, world.store, "report"),
            time=SimulatedTime(hub, skew_ms),
            rng=hub.rng,
            start=False,
        )
        hub.spawn(name, lambda: self._consume(name, reporter))
        hub.spawn(name, self._forever(reporter.step))
        self.rebalance()

    def stop_consumer(self, name: str) -> None:
        """SIGKILL a consumer; the group gives its partitions to the others."""
        self._hub.kill(name)
        self.rebalance()

    def rebalance(self) -> None:
        """The group coordinator hands every partition to a living consumer, anew."""
        alive = sorted({task.process for task in self._hub.tasks if task.process.startswith("consumer")})
        for partition in self._world.partitions():
            if alive:
                self._world.owners[partition] = self._hub.rng.choice(alive)

    def start_producer(self) -> None:
        """Honest producers and the heartbeats that keep quiet partitions moving."""
        hub, world = self._hub, self._world

        def produce() -> None:
            while True:
                for partition in world.partitions():
                    if partition not in world.muted and hub.rng.random() < 0.7:
                        world.produce(partition)
                hub.give_way("", hub.rng.uniform(0.1, 0.6))

        hub.spawn("producer", produce)

    def _consume(self, name: str, reporter: Reporter) -> None:
        hub, world = self._hub, self._world
        mine: dict[Partition, int] = {}
        while True:
            owned = {partition for partition, owner in world.owners.items() if owner == name}
            for partition in sorted(set(mine) - owned):
                del mine[partition]
                if hub.rng.random() < 0.5:
                    reporter.on_lost(None, [_TopicPartition(partition)])
                else:
                    reporter.on_revoke(None, [_TopicPartition(partition)])
            for partition in sorted(owned - set(mine)):
                reporter.on_assign(None, [_TopicPartition(partition)])
                mine[partition] = world.committed.get(partition, 0)
            for partition in sorted(mine):
                self._handle(partition, mine, reporter)
            hub.give_way("", hub.rng.uniform(0.02, 0.2))

    def _handle(self, partition: Partition, mine: dict[Partition, int], reporter: Reporter) -> None:
        hub, world = self._hub, self._world
        for record in world.topics.records(partition, mine[partition])[: hub.rng.randrange(1, 6)]:
            offset = mine[partition]
            hub.give_way("handle")
            if world.process(partition, offset, record.timestamp_ms):
                self._oracle.record_processed(partition, record.timestamp_ms)
            mine[partition] = offset + 1
            if hub.rng.random() < 0.8:
                world.committed[partition] = max(world.committed.get(partition, 0), offset + 1)
            hub.give_way("commit")
            reporter.observe(partition.number, record.timestamp_ms)

    def _start_feed(self, name: str, time: SimulatedTime) -> None:
        hub = self._hub
        feed = Feed("sim", Interrupted(hub, self._world.store, "feed"), time)

        def follow() -> None:
            while True:
                feed.step(0)
                last = feed.last
                self._oracle.feed_shows(name, None if last is None else last.at_ms)
                hub.give_way("", 1.0, lambda: self._beyond(feed.last))

        hub.spawn(name, follow)

    def _beyond(self, shown: Tick | None) -> bool:
        """Whether a blocking read of the stream would return."""
        store = self._world.store
        stream = [] if store.broken else store.newest_ticks(1)
        return bool(stream) and (shown is None or stream[-1].at_ms > shown.at_ms)

    def _forever(self, step: Callable[[], float]) -> Callable[[], None]:
        def loop() -> None:
            while True:
                self._hub.give_way("", min(max(step(), 0.001), 0.05))

        return loop

    def _new_id(self) -> str:
        return f"{self._hub.rng.getrandbits(128):032x}"


class _TopicPartition:
    """What confluent-kafka hands to the callbacks of a rebalance."""

    def __init__(self, partition: Partition) -> None:
        self.topic, self.partition = partition.topic, partition.number
