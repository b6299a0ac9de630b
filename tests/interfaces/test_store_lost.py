"""The store, losses: after a flush between any two calls, callers get an error, and nothing is invented."""

from collections.abc import Callable, Iterator

import pytest

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import ChainBroken, LeaseLost, StoreUnavailable
from clocksvc.interfaces.counters import CounterStore
from clocksvc.interfaces.hold_history import HoldChange, HoldHistoryStore, StatusUpdate
from clocksvc.interfaces.leases import Announcement, Leases
from clocksvc.interfaces.observations import Observation, Observations
from clocksvc.interfaces.progress import PartitionProgress, Report, ReportSink
from clocksvc.interfaces.requests import Requests
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_stream import StreamBounds, TickStream
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.faulty.store import FaultyStoreServer
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    GROUP,
    IDENTITY,
    LEASE_MS,
    LOG,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    REPLICA,
    ROSTER,
    STARTED,
    TOKEN,
    answer,
    chain,
    lead,
    progress,
    raw,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation, StoreServer

Call = Callable[[Store, Leases], object]

WRITES: dict[str, Call] = {
    "claim": lambda store, leases: store.claim(TOKEN, IDENTITY, BOUNDS, STARTED),
    "write_roster": lambda store, leases: store.write_roster(TOKEN, ROSTER, 2),
    "read_round": lambda store, leases: leases.read_round(TOKEN, LEASE_MS, [CLOCK]),
    "write_mark": lambda store, leases: leases.write_mark(TOKEN, StoreMark("a")),
    "publish": lambda store, leases: store.publish(TOKEN, [tick(3, 2)]),
    "publish for several clocks": lambda store, leases: leases.publish(TOKEN, {CLOCK: [tick(3, 2)]}, {CLOCK: 60_000}),
    "begin": lambda store, leases: store.begin(TOKEN, BASE, restoring=True),
    "stage": lambda store, leases: store.stage(TOKEN, chain(0, 2, None), first=True),
    "finish_restoring": lambda store, leases: store.finish_restoring(TOKEN),
    "publish_statuses": lambda store, leases: leases.publish_statuses(
        TOKEN, {CLOCK: StatusUpdate("{}", [HoldChange(0, None)])}, LEASE_MS
    ),
    "write_request_results": lambda store, leases: store.write_request_results(
        TOKEN, {"r": RequestResult(ResultKind.DONE)}, LEASE_MS
    ),
}

CALLS: dict[str, Call] = WRITES | {
    "report": lambda store, leases: store.report(Report(GROUP, ())),
    "write_observation": lambda store, leases: store.write_observation(Observation(0), {}),
    "observation": lambda store, leases: store.observation(),
    "read_lease": lambda store, leases: leases.read_lease(),
    "acquire": lambda store, leases: leases.acquire(TOKEN, REPLICA, LEASE_MS),
    "read_mark": lambda store, leases: leases.read_mark(),
    "adopt": lambda store, leases: leases.adopt(StoreMark("a", "b")),
    "release": lambda store, leases: leases.release(TOKEN),
    "announce": lambda store, leases: leases.announce(Announcement("a", {}, None), LEASE_MS, {}),
    "configs": lambda store, leases: leases.configs(),
    "wait_for_notification": lambda store, leases: leases.wait_for_notification(0.05),
    "wait_for_notification at once": lambda store, leases: leases.wait_for_notification(0),
    "notify": lambda store, leases: leases.notify(),
    "hold_history": lambda store, leases: store.hold_history(None, 1),
    "roster_topics": lambda store, leases: store.roster_topics(),
    "bounds": lambda store, leases: store.bounds(),
    "ticks_after": lambda store, leases: store.ticks_after(0, 1),
    "newest_ticks": lambda store, leases: store.newest_ticks(1),
    "submit_request": lambda store, leases: store.submit_request(Request("r", RequestKind.PAUSE, "ada", 0, "why", 1)),
    "cancel_request": lambda store, leases: store.cancel_request("r"),
    "read_request_result": lambda store, leases: store.read_request_result("r"),
    "snapshot": lambda store, leases: store.snapshot(),
    "partitions": lambda store, leases: store.partitions(None, 1),
    "lagging_partitions": lambda store, leases: store.lagging_partitions(0, 1),
    "foreign_reports": lambda store, leases: store.foreign_reports(),
    "count_heartbeats": lambda store, leases: store.count_heartbeats({}, success=True),
    "count_tasks": lambda store, leases: store.count_tasks("beat", {}, None, 1),
    "counters": lambda store, leases: store.counters(),
    "mark_task_done": lambda store, leases: store.mark_task_done("id", 1, 1),
    "is_task_done": lambda store, leases: store.is_task_done("id"),
    "now_ms": lambda store, leases: store.now_ms(),
}


def full(store: Store, leases: Leases) -> None:
    """A clock in the middle of its life."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE), (PAYMENTS_0, BASE))
    store.publish(TOKEN, chain(0, 2, None))
    leases.publish_statuses(TOKEN, {CLOCK: StatusUpdate("{}")}, LEASE_MS)


@pytest.mark.parametrize("write", WRITES)
def test_leader_learns_of_a_flush_by_its_next_write(
    implementation: StoreImplementation, store: Store, leases: Leases, write: str
) -> None:
    """The lease has gone with everything else, so no write of the old term can land in the emptied store."""
    full(store, leases)
    implementation.wipe()

    with pytest.raises(LeaseLost):
        WRITES[write](store, leases)

    assert (store.snapshot().parameters, store.bounds().last, store.partitions(None, 9)) == (None, None, [])


def test_new_term_on_an_emptied_store_finds_nothing_of_the_old(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """With a new lease, each step that needs what was lost fails, until it is written again."""
    full(store, leases)
    implementation.wipe()
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)

    assert leases.read_round(TOKEN, LEASE_MS, [CLOCK]).progress == {CLOCK: None}
    with pytest.raises(ChainBroken):
        store.publish(TOKEN, [tick(3, 2)])
    store.stage(TOKEN, chain(0, 2, None), first=True)
    assert not store.finish_restoring(TOKEN)
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    assert leases.read_round(TOKEN, LEASE_MS, [CLOCK]).progress == {CLOCK: None}
    store.write_roster(TOKEN, ROSTER, 2)
    seen = progress(leases)
    assert (seen.lowest_ms, seen.count, seen.generation, seen.last_tick_ms) == (None, 3, 2, None)


def test_reports_after_a_flush_are_unknown(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """`unknown` and no bounds: so they repeat, and once the roster is back their clocks are."""
    full(store, leases)
    implementation.wipe()

    gone = answer(store, (ORDERS_0, BASE + 1))
    assert (gone.outcomes, gone.parameters, gone.last_tick_ms) == ((Outcome.UNKNOWN,), None, None)
    lead(store, leases)
    assert raw(store, ORDERS_0) is None
    assert send(store, (ORDERS_0, BASE + 1)) == (Outcome.ACCEPTED,)


def test_readers_see_an_emptied_store_as_empty(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """No reader is shown the old clock, or a clock of zero."""
    full(store, leases)
    implementation.wipe()
    seen = store.snapshot()

    assert (seen.parameters, seen.leader, seen.leader_status, seen.last_tick_ms, seen.slowest) == (
        None,
        None,
        None,
        None,
        (),
    )
    assert store.bounds() == StreamBounds(None, None, None, written=False, restoring=False)
    assert store.ticks_after(0, 9) == store.newest_ticks(9) == []
    assert store.roster_topics() == {}
    assert store.lagging_partitions(BASE, 9) == []
    assert not leases.wait_for_notification(0.02)


def test_the_chain_goes_on_after_a_flush(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """The stream begins with the clock's last tick, and only the next tick fits."""
    full(store, leases)
    implementation.wipe()
    lead(store, leases)
    store.begin(TOKEN, tick(2, 1).at_ms, restoring=True)

    with pytest.raises(ChainBroken):
        store.publish(TOKEN, [tick(4, 3)])
    store.publish(TOKEN, [tick(3, 2)])

    assert store.newest_ticks(9) == [tick(3, 2)]


def test_staged_ticks_that_were_lost_are_not_used(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """After a flush nothing is staged, although the leader had staged some ticks."""
    full(store, leases)
    store.begin(TOKEN, tick(2, 1).at_ms, restoring=True)
    store.stage(TOKEN, chain(0, 1, None), first=True)
    implementation.wipe()
    lead(store, leases)
    store.begin(TOKEN, tick(2, 1).at_ms, restoring=True)

    assert not store.finish_restoring(TOKEN)


def test_emptied_store_may_become_another_clusters(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """Marks go with the state that they stood for."""
    full(store, leases)
    implementation.wipe()
    leases.acquire(TOKEN, REPLICA, LEASE_MS)

    store.claim(TOKEN, type(IDENTITY)("cluster-2"), BOUNDS, STARTED + 1)

    assert store.snapshot().started_ms == STARTED + 1


@pytest.fixture(params=["memory", "redis"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[StoreServer]:
    """A store that does not answer, for each implementation: switched off, or no server at the address."""
    if request.param == "memory":
        memory = FaultyStoreServer(SystemTime())
        memory.broken = True
        yield memory
        return
    connection = RedisConnection(parse_redis_url(f"redis://127.0.0.1:{free_ports(1)[0]}/0"))
    yield RedisStoreServer(connection, "clocksvc")
    connection.close()


@pytest.mark.parametrize("call", CALLS)
def test_unreachable_store_raises_store_unavailable(unreachable: StoreServer, call: str) -> None:
    """Every method raises StoreUnavailable then, and nothing else."""
    with pytest.raises(StoreUnavailable):
        CALLS[call](unreachable.store(CLOCK), unreachable.leases(LOG))


def test_unreachable_notices_raise_store_unavailable(unreachable: StoreServer) -> None:
    """At each call."""
    reader = unreachable.notices([CLOCK])
    for timeout_s in (0.0, 0.05):
        with pytest.raises(StoreUnavailable):
            reader.read(timeout_s)
    reader.close()


def test_every_method_of_the_interfaces_is_called() -> None:
    """The table above leaves out no method but `close`."""
    named = {call.split()[0] for call in CALLS}
    parts = (Leases, PartitionProgress, ReportSink, Observations, HoldHistoryStore, TickStream, Requests, CounterStore)

    assert named == {name for part in parts for name in vars(part) if not name.startswith("_")} - {"close"}


def test_closing_a_store_that_does_not_answer_is_quiet(unreachable: StoreServer) -> None:
    """Leaving does not block."""
    unreachable.store(CLOCK).close()
