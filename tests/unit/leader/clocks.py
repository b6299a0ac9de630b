"""Helpers of the leader's tests: clocks with ticks, further leaders, passing time, and what log and readers show."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_owner import Installation
from clocksvc.clock.log_record import TICK, decode_message
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader, Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.tick_log import FaultyLog

INSTALLATION = Installation("memory", "memory")
"""That of a FaultyClock's own leader."""
_IDS = itertools.count(1_000_000)
"""Numbers of ids; other numbers than those of FaultyClock."""


def clock_with_ticks(count: int = 3) -> FaultyClock:
    """A clock of one partition that has emitted ticks for 12:01, 12:02, …"""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    for minute in range(1, count + 1):
        clock.report(0, f"2026-11-22T12:0{minute}:00Z")
    return clock


@contextmanager
def store_breaks_at(clock: FaultyClock, step: str) -> Iterator[None]:
    """From a step of an append on, the store does not answer. It answers again after the block."""

    def break_store(now: str) -> None:
        clock.store_server.broken = clock.store_server.broken or now == step

    clock.log.at = break_store
    yield
    clock.log.at = lambda _: None
    clock.store_server.broken = False


def another_leader(
    clock: FaultyClock,
    replica: str,
    *,
    ticklog: TickLog | None = None,
    topics: Topics | None = None,
    spec: ClockSpec | None = None,
    store: Store | None = None,
    leases: Leases | None = None,
    time: Time | None = None,
    installation: Installation = INSTALLATION,
) -> Leader:
    """A leader of another replica that uses the same servers, with its own implementations where they are given."""
    log = log_of(clock.spec.name)
    parts = LeaderDependencies(
        log=log,
        installation=installation,
        specs={clock.spec.name: spec or clock.spec},
        leases=leases or clock.store_server.leases(log),
        stores={clock.spec.name: store or clock.store},
        ticklog=ticklog or clock.new_tick_log(),
        topics=topics or clock.topics,
        time=time or clock.time,
        kafka_ready=clock.kafka_ready,
        new_id=lambda: f"{next(_IDS):012x}{0:020x}",
    )
    return Leader(parts, replica)


def pass_time(clock: FaultyClock, seconds: float, *leaders: Leader) -> None:
    """Advance the time and let the leaders step meanwhile."""
    for _ in range(round(seconds / 0.25)):
        clock.time.advance(0.25)
        for leader in leaders:
            clock.settle(leader)


def report_only(clock: FaultyClock, timestamp: str, partition: int = 0) -> None:
    """Report a processed timestamp without a step of the leader."""
    timestamp_ms = parse_timestamp("timestamp", timestamp)
    clock.store.report(Report("group", (PartitionTimestamp(Partition("events", partition), timestamp_ms),)))


def minutes(*numbers: int) -> list[str]:
    """RFC 3339 for minutes after 12:00."""
    return [f"2026-11-22T12:{minute:02d}:00Z" for minute in numbers]


def times(clock: FaultyClock) -> list[str]:
    """The times of the ticks in the store."""
    return stored_times(clock.store)


def logged(clock: FaultyClock) -> list[str]:
    """The times of the committed ticks, read from the log's bytes."""
    return logged_times(clock.log, clock.spec.name)


def logged_times(log: FaultyLog, clock: str) -> list[str]:
    """The times of the committed ticks of one clock, as a subscriber of the tick log receives them."""
    return times_of(logged_ticks(log, clock))


def logged_ticks(log: FaultyLog, clock: str) -> list[Tick]:
    """The committed ticks of one clock."""
    messages = [entry.message for entry in log.committed()]
    records = [decode_message(one) for one in messages if (one.type, one.key) == (TICK, clock.encode())]
    return [record.tick for record in records if record.tick is not None]


def transactions(log: FaultyLog) -> list[list[str]]:
    """The keys of the ticks in each committed transaction, without transactions that have no tick."""
    found: list[list[str]] = [[]]
    for entry in log.entries:
        if entry.message is None:
            found.append([])
        elif entry.message.type == TICK:
            found[-1].append((entry.message.key or b"").decode())
    return [keys for keys in found if keys]


def times_of(ticks: Sequence[Tick]) -> list[str]:
    """The times of some ticks."""
    return [to_rfc3339(tick.at_ms) for tick in ticks]


def stored_times(store: Store) -> list[str]:
    """The times of the ticks in one clock's store."""
    return times_of(store.ticks_after(0, 1_000_000))


def published_detail(store: Store) -> str:
    """The detail of the hold that the leader published last for a clock."""
    hold = json.loads(store.snapshot().leader_status or "{}").get("hold")
    return "" if hold is None else str(hold["detail"])


def hold_of(clock: FaultyClock) -> tuple[Reason | None, tuple[Partition, ...]]:
    """The reason of the hold that the leader published last, and the partitions that it names."""
    return published_hold(clock.store)


def published_hold(store: Store) -> tuple[Reason | None, tuple[Partition, ...]]:
    """As `hold_of`, for any clock's store."""
    status = store.snapshot().leader_status
    hold = None if status is None else json.loads(status)["hold"]
    if hold is None:
        return None, ()
    partitions = tuple(Partition(item["topic"], item["partition"]) for item in hold["partitions"])
    return Reason(hold["reason"]), partitions


def detail_of(clock: FaultyClock) -> str:
    """The detail of the hold that the leader published last."""
    return published_detail(clock.store)


def leases_of(clock: FaultyClock) -> Leases:
    """The leases of the clock's log."""
    return clock.store_server.leases(log_of(clock.spec.name))


def phase_of(leader: Leader) -> Phase:
    """The phase of a leader now."""
    return leader.phase
