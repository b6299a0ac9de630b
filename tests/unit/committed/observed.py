"""One observed clock with its Kafka cluster, its store and its leader's writes, all in memory."""

from dataclasses import dataclass, field, replace

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.clock.tick import Tick
from clocksvc.committed.observer import Observer
from clocksvc.interfaces.observations import Observation
from clocksvc.interfaces.progress import ClockParameters, PartitionClock, StoreIdentity
from clocksvc.interfaces.store import Store
from clocksvc.memory.committed_offsets import MemoryCommittedOffsets
from clocksvc.memory.store_access import StoreAccess, StoreContent
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.memory.upstreams import MemoryUpstreams
from clocksvc.testing.manual_time import ManualTime

MINUTE = 60_000
TOKEN = "token"
ORDERS, GROUP, CLOCK = "orders", "billing", "bills"
P0, P1 = Partition(ORDERS, 0), Partition(ORDERS, 1)
SPEC = ClockSpec(CLOCK, (ORDERS,), GROUP, max_out_of_orderness_ms=0, source=Source.COMMITTED)


@dataclass
class Scene:
    """Times are whole minutes after `start_ms`, a boundary, at which the scene begins."""

    specs: tuple[ClockSpec, ...] = (SPEC,)
    partitions: int = 2
    out_of_orderness_ms: int = 0
    time: ManualTime = field(default_factory=ManualTime)
    store_time: ManualTime | None = None
    kafka: MemoryCommittedOffsets = field(default_factory=MemoryCommittedOffsets)
    upstreams: MemoryUpstreams = field(default_factory=MemoryUpstreams)

    def __post_init__(self) -> None:
        self.start_ms = self.time.now_ms()
        self.access = StoreAccess(self.store_time or self.time)
        self.server = MemoryStoreServer(self.access.time, self.access)
        self.stores: dict[str, Store] = {spec.name: self.server.store(spec.name) for spec in self.specs}
        for topic in sorted({topic for spec in self.specs for topic in spec.topics}):
            self.kafka.create(topic, self.partitions)
        self.last: dict[str, int | None] = {spec.name: None for spec in self.specs}
        self.lead_all()
        self.observer = self.new_observer()

    @property
    def store(self) -> Store:
        """The store of the first clock."""
        return self.stores[self.specs[0].name]

    def new_observer(self) -> Observer:
        """An observer that knows nothing yet."""
        return Observer(self.specs, offsets=self.kafka, upstreams=self.upstreams, stores=self.stores, time=self.time)

    def flush(self) -> None:
        """The store loses everything."""
        self.access.content = StoreContent(announcements_complete_since_ms=0)

    def lead_all(self) -> None:
        """A leader acquires the leases, and writes what a leader writes."""
        for log in sorted({log_of(spec.name) for spec in self.specs}):
            assert self.server.leases(log).acquire(TOKEN, "replica", 10**12)
        for spec in self.specs:
            self.lead(spec)

    def restart(self) -> None:
        """Replace the observer."""
        self.observer = self.new_observer()

    def lead(self, spec: ClockSpec, generation: int = 1, *, roster: bool = True) -> None:
        """Write parameters and roster, as a leader does."""
        store = self.stores[spec.name]
        topics = self.kafka.topic_ids(spec.topics)
        parameters = ClockParameters(
            spec.reporting_group, spec.topics, spec.interval_ms, self.out_of_orderness_ms, spec.max_future_ms
        )
        store.claim(TOKEN, StoreIdentity("cluster"), parameters, self.start_ms)
        if roster:
            listed = {topic: TopicMetadata(topic_id, number) for topic, (topic_id, number) in topics.items()}
            store.write_roster(TOKEN, Roster(listed), generation)

    def run(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass; the observer polls once a second."""
        for _ in range(round(seconds / step_s)):
            self.time.advance(step_s)
            self.observer.poll([spec.name for spec in self.specs])

    def clocks(self, clock: str = CLOCK) -> dict[Partition, PartitionClock]:
        """The partition clocks in the store."""
        return {one.partition: one for one in self.stores[clock].partitions(None, 100)}

    def minute(self, partition: Partition, clock: str = CLOCK) -> float | None:
        """The raw timestamp of a partition in the store, in minutes after the start; None while it is unknown."""
        raw_ms = self.clocks(clock)[partition].raw_ms
        return None if raw_ms is None else (raw_ms - self.start_ms) / MINUTE

    def at(self, minutes: float) -> int:
        """A time in ms."""
        return self.start_ms + round(minutes * MINUTE)

    def waits(self, partition: Partition, clock: str = CLOCK) -> str:
        """Why a partition waits."""
        observed = self.clocks(clock)[partition].observed
        assert observed is not None
        return observed.waits_for

    def observation(self, clock: str = CLOCK) -> Observation:
        """The observation in the store."""
        found = self.stores[clock].observation()
        assert found is not None
        return found

    def tick(self, minute: int, clock: str = CLOCK) -> None:
        """The leader publishes a tick."""
        last_ms = self.last[clock]
        tick = Tick(clock, self.at(minute), last_ms, MINUTE, self.time.now_ms())
        self.stores[clock].publish(TOKEN, [tick])
        self.last[clock] = tick.at_ms

    def create_time_seen_ms(self) -> int:
        """When a report last named a topic with CreateTime records; 0 for never."""
        reading = self.server.leases(log_of(CLOCK)).read_round(TOKEN, 10**12, [CLOCK]).progress[CLOCK]
        assert reading is not None
        return reading.create_time_seen_ms

    def work(self, partition: Partition, *minutes: float, group: str = GROUP, create_time: bool = True) -> None:
        """A producer appends records, and the group processes and commits all of them."""
        self.kafka.append(partition, *(self.at(minute) for minute in minutes), create_time=create_time)
        self.kafka.commit(group, partition, self.kafka.partition(partition).end)


def with_poll(spec: ClockSpec, poll_s: float) -> ClockSpec:
    """The clock with another `poll`."""
    return replace(spec, poll_ms=round(poll_s * 1000))
