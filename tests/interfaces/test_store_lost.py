"""The store, losses: after a flush between any two calls, callers get an error, and nothing is invented."""

from collections.abc import Callable, Iterator

import pytest

from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import ChainBroken, LeaseLost, StoreLost, StoreUnavailable
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.store import open_redis_store
from tests.faulty.store import FaultyStore
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    GROUP,
    IDENTITY,
    LEASE_MS,
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
from tests.interfaces.store_implementations import StoreImplementation

WRITES: dict[str, Callable[[Store], object]] = {
    "claim": lambda store: store.claim(TOKEN, IDENTITY, BOUNDS, STARTED),
    "write_roster": lambda store: store.write_roster(TOKEN, ROSTER, 2),
    "read_progress": lambda store: progress(leases),
    "publish": lambda store: store.publish(TOKEN, [tick(3, 2)]),
    "rebuild": lambda store: store.rebuild(TOKEN, chain(0, 3, None), tick(3, 2).at_ms),
    "publish_status": lambda store: store.publish_status(TOKEN, "{}", LEASE_MS),
    "write_request_results": lambda store: store.write_request_results(
        TOKEN, {"r": RequestResult(ResultKind.DONE)}, LEASE_MS
    ),
}

CALLS: dict[str, Callable[[Store], object]] = WRITES | {
    "report": lambda store: store.report(Report(GROUP, ())),
    "acquire_lease": lambda store: leases.acquire(TOKEN, REPLICA, LEASE_MS),
    "release_lease": lambda store: leases.release(TOKEN),
    "announce": lambda store: leases.announce("a", "digest", LEASE_MS),
    "replicas": lambda store: store.replicas(),
    "wait_for_notification": lambda store: leases.wait_for_notification(0.05),
    "wait_for_notification at once": lambda store: leases.wait_for_notification(0),
    "notify": lambda store: leases.notify(),
    "last_tick": lambda store: store.last_tick(),
    "first_tick": lambda store: store.first_tick(),
    "ticks_after": lambda store: store.ticks_after(0, 1),
    "newest_ticks": lambda store: store.newest_ticks(1),
    "follow": lambda store: store.follow(0, 0.05),
    "follow at once": lambda store: store.follow(0, 0),
    "submit_request": lambda store: store.submit_request(Request("r", RequestKind.PAUSE, "ada", 0, "why", 1)),
    "cancel_request": lambda store: store.cancel_request("r"),
    "read_request_result": lambda store: store.read_request_result("r"),
    "snapshot": lambda store: store.snapshot(),
    "partitions": lambda store: store.partitions(None, 1),
    "lagging_partitions": lambda store: store.lagging_partitions(0, 1),
    "count_heartbeats": lambda store: store.count_heartbeats({}, success=True),
    "count_tasks": lambda store: store.count_tasks("beat", {}, None, 1),
    "counters": lambda store: store.counters(),
    "mark_task_done": lambda store: store.mark_task_done("id", 1, 1),
    "is_task_done": lambda store: store.is_task_done("id"),
    "now_ms": lambda store: store.now_ms(),
}


def full(store: Store) -> None:
    """A clock in the middle of its life."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE), (PAYMENTS_0, BASE))
    store.publish(TOKEN, chain(0, 2, None))
    store.publish_status(TOKEN, "{}", LEASE_MS)


@pytest.mark.parametrize("write", WRITES)
def test_leader_learns_of_a_flush_by_its_next_write(
    implementation: StoreImplementation, store: Store, write: str
) -> None:
    """The lease has gone with everything else, so no write of the old term can land in the emptied store."""
    full(store)
    implementation.wipe()

    with pytest.raises(LeaseLost):
        WRITES[write](store)

    assert (store.snapshot().parameters, store.last_tick(), store.partitions(None, 9)) == (None, None, [])


def test_new_term_on_an_emptied_store_finds_nothing_of_the_old(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """With a new lease, each step that needs what was lost raises, until it is written again."""
    full(store)
    implementation.wipe()
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)

    with pytest.raises(StoreLost):
        progress(leases)
    with pytest.raises(ChainBroken):
        store.publish(TOKEN, [tick(3, 2)])
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    with pytest.raises(StoreLost):
        progress(leases)
    store.write_roster(TOKEN, ROSTER, 2)
    seen = progress(leases)
    assert (seen.lowest_ms, seen.count, seen.generation, seen.last_tick_ms) == (None, 3, 2, None)


def test_reports_after_a_flush_are_unknown(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """`unknown` and no bounds: so they repeat, and once the roster is back their clocks are."""
    full(store)
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
    full(store)
    implementation.wipe()
    seen = store.snapshot()

    assert (seen.parameters, seen.leader, seen.leader_status, seen.last_tick_ms, seen.slowest) == (
        None,
        None,
        None,
        None,
        (),
    )
    assert (store.first_tick(), store.last_tick(), store.newest_ticks(9)) == (None, None, [])
    assert store.ticks_after(0, 9) == store.follow(BASE, 0.02) == []
    assert store.lagging_partitions(BASE, 9) == []
    assert not leases.wait_for_notification(0.02)


def test_rebuilt_chain_goes_on(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """After the flush the chain is put back from the log, and only its next tick fits."""
    full(store)
    implementation.wipe()
    lead(store, leases)
    store.rebuild(TOKEN, chain(0, 2, None), tick(2, 1).at_ms)

    store.publish(TOKEN, [tick(3, 2)])

    assert store.newest_ticks(9) == chain(0, 3, None)


def test_emptied_store_may_become_another_clusters(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """Marks go with the state that they stood for."""
    full(store)
    implementation.wipe()
    leases.acquire(TOKEN, REPLICA, LEASE_MS)

    store.claim(TOKEN, type(IDENTITY)("cluster-2"), BOUNDS, STARTED + 1)

    assert store.snapshot().started_ms == STARTED + 1


@pytest.fixture(params=["memory", "redis"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store that does not answer, for each implementation: switched off, or no server at the address."""
    if request.param == "memory":
        memory = FaultyStore(CLOCK, SystemTime())
        memory.broken = True
        yield memory
        return
    store = open_redis_store(f"redis://127.0.0.1:{free_ports(1)[0]}/0", CLOCK)
    yield store
    store.close()


@pytest.mark.parametrize("call", CALLS)
def test_unreachable_store_raises_store_unavailable(unreachable: Store, call: str) -> None:
    """Every method raises StoreUnavailable then, and nothing else."""
    with pytest.raises(StoreUnavailable):
        CALLS[call](unreachable)


def test_every_method_of_the_interface_is_called() -> None:
    """The table above leaves out no method but `close`."""
    named = {call.split()[0] for call in CALLS}

    assert named == {name for name in vars(Store) | {"report": None} if not name.startswith("_")} - {"close"}


def test_closing_a_store_that_does_not_answer_is_quiet(unreachable: Store) -> None:
    """Leaving does not block."""
    unreachable.close()
