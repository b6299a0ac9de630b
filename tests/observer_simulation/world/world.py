"""Everything of one seed: Kafka, producers, groups, stages, leaders, the store and the observer's process."""

from collections.abc import Collection

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.committed.observer import Observer
from clocksvc.memory.store_access import StoreAccess
from clocksvc.memory.store_server import MemoryStoreServer
from tests.observer_simulation.judge import Judge
from tests.observer_simulation.plan import make_plan
from tests.observer_simulation.sometimes import Path, Sometimes
from tests.observer_simulation.world.answers import Answers, Killed
from tests.observer_simulation.world.cluster import Cluster
from tests.observer_simulation.world.group import Member
from tests.observer_simulation.world.leaders import Clocks, Leader
from tests.observer_simulation.world.log import PartitionLog, Record
from tests.observer_simulation.world.observed_store import ObservedStore, StoreFaults
from tests.observer_simulation.world.producers import Producer
from tests.observer_simulation.world.timeline import Timeline

NAMES = ("raw", "clean", "warehouse")


class World:
    """The world of one seed.

    Attributes:
        calm: True once the faults are over.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.plan = plan = make_plan(timeline.rng)
        self.sometimes = Sometimes()
        self.calm = False
        self.judge = Judge(timeline, plan)
        self.cluster = Cluster(timeline, plan, self.sometimes)
        self.cluster.appended = self._appended
        self.answers = Answers(self.cluster)
        self.store_faults = StoreFaults()
        self.access = StoreAccess(self.cluster.skewed())
        self.topics = [f"topic-{name}" for name in NAMES[: plan.stages]]
        self.members: dict[str, list[Member]] = {}
        self.leaders: list[Leader] = []
        self.producers: list[Producer] = []
        for number in range(plan.stages):
            self._add_stage(number)
        self.producers += [Producer(self.cluster, self.topics[0], number) for number in range(plan.partitions)]
        self.clocks = Clocks(self.leaders, self.access, self.answers, self.cluster)
        self._server = MemoryStoreServer(self.access.time, self.access)
        self.names = [leader.spec.name for leader in self.leaders]
        self.observer = self._start_observer()
        self._former: tuple[Observer, int] | None = None

    def _add_stage(self, number: int) -> None:
        plan, name, topic = self.plan, NAMES[number], self.topics[number]
        sink = self.topics[number + 1] if number + 1 < plan.stages else ""
        self.cluster.create(topic, plan.partitions if number == 0 else self.timeline.rng.choice((1, 2)))
        group = f"group-{name}"
        self.members[group] = [
            Member(self.cluster, group, Partition(topic, log.number), sink) for log in self.cluster.topics[topic]
        ]
        spec = ClockSpec(
            name,
            (topic,),
            group,
            interval_ms=plan.interval_ms,
            max_future_ms=plan.max_future_ms,
            source=Source.COMMITTED,
            after=(UpstreamSpec(NAMES[number - 1]),) if number else (),
            poll_ms=plan.poll_ms,
            drain_delay_ms=plan.drain_delay_ms,
        )
        self.leaders.append(Leader(self.cluster, self.access, spec, sink, self.judge, self.ticked))

    def _appended(self, log: PartitionLog, record: Record) -> None:
        if log.topic == self.topics[0]:
            self.judge.appended(log, record)

    def ticked(self, leader: Leader, at_ms: int, excluded: Collection[Partition]) -> None:
        """From end to end."""
        depth = self.leaders.index(leader) + 1
        if depth > 1:
            roots = [
                log for log in self.cluster.topics[self.topics[0]] if Partition(log.topic, log.number) not in excluded
            ]
            self.judge.check_results(leader.spec.name, at_ms, depth, roots)

    def any_member(self) -> Member:
        """One member of one group."""
        rng = self.timeline.rng
        return rng.choice(self.members[rng.choice(sorted(self.members))])

    def add_partition(self) -> None:
        """Add a partition to the first topic, with a producer and a member."""
        log = self.cluster.add_partition(self.topics[0])
        group = self.leaders[0].spec.group
        sink = self.topics[1] if self.plan.stages > 1 else ""
        self.members[group].append(Member(self.cluster, group, Partition(log.topic, log.number), sink))
        self.producers.append(Producer(self.cluster, log.topic, log.number))

    # -- the observer -------------------------------------------------------------------------------------------------

    def _start_observer(self) -> Observer:
        stores = {
            leader.spec.name: ObservedStore(
                self._server.store(leader.spec.name), leader, self.cluster, self.answers, self.judge, self.store_faults
            )
            for leader in self.leaders
        }
        return Observer(
            [leader.spec for leader in self.leaders],
            offsets=self.answers,
            upstreams=self.clocks,
            stores=stores,
            time=self.cluster.skewed(),
        )

    def hand_over(self, until_ms: int) -> None:
        """Another replica observes, while the former one goes on for a while."""
        self._former = self.observer, until_ms
        self.observer = self._start_observer()

    def poll(self) -> None:
        """One call of the observer, and the time until the next one. It is started again after it was killed."""
        try:
            self.observer.poll(self.names)
            if self._former is not None:
                former, until_ms = self._former
                self.sometimes.took(Path.TWO_OBSERVERS)
                former.poll(self.names)
                self._former = self._former if self.timeline.now_ms < until_ms else None
            self.timeline.wait(1_000)
        except Killed:
            self.timeline.say("the observer was killed")
            self.timeline.wait(self.timeline.rng.choice((50, 2_000, 30_000)))
            self.observer = self._start_observer()

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def doubted(self) -> bool:
        """True if offsets can be in doubt, because a topic was recreated."""
        return any(not logs[0].topic_id.endswith("-1") for logs in self.cluster.topics.values())

    @property
    def calm_ms(self) -> int:
        """The longest time after which all clocks have passed a time, once all faults are over."""
        plan = self.plan
        stage_ms = 2 * plan.interval_ms + 4 * plan.poll_ms + 20_000
        doubted_ms = 390_000 if self.doubted else 0
        return doubted_ms + plan.out_of_orderness_ms + plan.drain_delay_ms + plan.stages * stage_ms + 20_000

    def heal(self) -> None:
        """End all faults. One more record comes into each partition, and each group works."""
        now_ms = self.timeline.now_ms
        self.timeline.say("calm")
        self.calm = True
        self.answers.killed_in, self.answers.slow_until_ms, self.store_faults.lossy_until_ms = None, 0, 0
        self.cluster.unavailable_until_ms.clear()
        self.cluster.refused_until_ms.clear()
        self._former = None
        for logs in self.cluster.topics.values():
            for log in logs:
                log.stalled_until_ms = log.suspended_until_ms = log.available_from_ms = 0
                log.former = None
                log.advance(now_ms)
        for producer in self.producers:
            producer.next_timestamp_ms = None
            producer.end_transaction()
            producer.transactional = False
            self._produce_on(producer)
        for members in self.members.values():
            for member in members:
                member.hurry()
        for leader in self.leaders:
            leader.unreadable_until_ms, leader.excluded = 0, frozenset()

    def _produce_on(self, producer: Producer) -> None:
        """Some groups commit nothing before the next record."""
        producer.produce_now()
        self.timeline.after(10_000, lambda: self._produce_on(producer))

    def describe(self, leader: Leader) -> str:
        """What a clock waits for."""
        stored = leader.stored
        waiting = {str(partition): raw_ms for partition, raw_ms in stored.clocks.items()}
        return f"{leader.spec.name} emitted {leader.last_tick_ms} last; {waiting}"
