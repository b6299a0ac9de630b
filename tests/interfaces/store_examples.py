"""Examples for the store's suites: one clock of 60 s, two topics, a leader with the lease."""

from collections.abc import Iterable

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.leases import Leases, ProgressReading
from clocksvc.interfaces.progress import ClockParameters, PartitionClock, Report, ReportAnswer, StoreIdentity
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime

CLOCK = "checkins"
LOG = log_of(CLOCK)
GROUP = "checkins-consumer"
TOKEN = "token-1"
OTHER_TOKEN = "token-2"
REPLICA = "replica-a:1 a"
OTHER_REPLICA = "replica-b:1 b"
HOST_AND_PID = "replica-a:1"
LEASE_MS = 60_000
MINUTE = 60_000
BOUNDS = ClockParameters(GROUP, ("orders", "payments"), MINUTE, 10_000, MINUTE)
IDENTITY = StoreIdentity("cluster-1")
STARTED = 1_000

ORDERS_0, ORDERS_1 = Partition("orders", 0), Partition("orders", 1)
PAYMENTS_0 = Partition("payments", 0)
ROSTER = Roster({"orders": TopicMetadata("id-o", 2), "payments": TopicMetadata("id-p", 1)})
SINGLE = Roster({"orders": TopicMetadata("id-o", 1)})

BASE = 28_000_000 * MINUTE
"""A boundary in the past, far from now."""
RECENTLY = SystemTime().now_ms()
"""When ticks were emitted unless a test says otherwise: recently enough to be kept."""


def lead(
    store: Store,
    leases: Leases,
    roster: Roster | None = ROSTER,
    bounds: ClockParameters = BOUNDS,
    identity: StoreIdentity = IDENTITY,
) -> None:
    """Acquire the lease, claim the store, write a roster of generation 1."""
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)
    store.claim(TOKEN, identity, bounds, STARTED)
    if roster is not None:
        store.write_roster(TOKEN, roster, 1)


def progress(leases: Leases, token: str = TOKEN, ttl_ms: int = LEASE_MS) -> ProgressReading:
    """What a round reads of the clock; nothing is lost."""
    reading = leases.read_round(token, ttl_ms, [CLOCK]).progress[CLOCK]
    assert reading is not None
    return reading


def send(store: Store, *readings: tuple[Partition, int], group: str = GROUP) -> tuple[Outcome, ...]:
    """Report timestamps; returns the outcomes."""
    return answer(store, *readings, group=group).outcomes


def answer(store: Store, *readings: tuple[Partition, int], group: str = GROUP) -> ReportAnswer:
    """Report timestamps; returns the complete answer."""
    return store.report(Report(group, tuple(PartitionTimestamp(partition, ms) for partition, ms in readings)))


def tick(minute: int, previous: int | None, emitted_ms: int = RECENTLY, excluded: Iterable[Partition] = ()) -> Tick:
    """The tick `minute` minutes after BASE; its `previous` is another number of minutes after BASE, or None."""
    previous_ms = None if previous is None else BASE + previous * MINUTE
    return Tick(CLOCK, BASE + minute * MINUTE, previous_ms, MINUTE, emitted_ms, tuple(excluded))


def chain(first: int, last: int, after: int | None, emitted_ms: int = RECENTLY) -> list[Tick]:
    """The ticks from one minute after BASE to another."""
    return [tick(n, after if n == first else n - 1, emitted_ms) for n in range(first, last + 1)]


def line(store: Store, partition: Partition) -> PartitionClock:
    """The clock of one partition."""
    found = [line for line in store.partitions(None, 1_000) if line.partition == partition]
    assert len(found) == 1
    return found[0]


def raw(store: Store, partition: Partition) -> int | None:
    """The raw timestamp of a partition."""
    return line(store, partition).raw_ms
