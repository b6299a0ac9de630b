"""Every operation of each Redis user, once, so that any missing permission shows."""

from collections.abc import Callable, Iterator

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.overrides import Exclusion
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.counters import TaskCounterKey
from clocksvc.interfaces.hold_history import HoldChange, StatusUpdate
from clocksvc.interfaces.leases import Announcement, Leases
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.redis.store_server import RedisStoreServer
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    GROUP,
    IDENTITY,
    LOG,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    RECENTLY,
    REPLICA,
    ROSTER,
    STARTED,
    TOKEN,
    answer,
    chain,
    send,
    tick,
)

LEASE_MS = 60_000
GONE = Partition("nowhere", 0)

Step = Callable[[], object]


def errors(steps: Iterator[Step]) -> list[str]:
    """The errors of all steps that fail."""
    found = []
    for step in steps:
        try:
            step()
        except ClocksvcError as error:
            found.append(str(error))
    return found


def raise_error(found: object) -> None:
    """Raise the error of a clock that was not read."""
    if isinstance(found, ClocksvcError):
        raise found


def a_service(server: RedisStoreServer, now_ms: int) -> Iterator[Step]:
    """The operations of a leader, a feed and the API, on an empty store."""
    store, leases, notices = server.store(CLOCK), server.leases(LOG), server.notices([CLOCK])
    reads = server.clock_reads()
    excluded = [Exclusion(ORDERS_1, "ann", now_ms, "broken disk")]
    late = Request("r1", RequestKind.PAUSE, "ann", now_ms, "a migration", now_ms + MINUTE)
    status = StatusUpdate('{"hold": null}', [HoldChange(0, None)])
    old = chain(1, 3, None, RECENTLY - 30 * 24 * 60 * MINUTE)
    yield lambda: notices.read(0)
    yield lambda: leases.announce(Announcement("replica-a", {CLOCK: "digest"}, 0), LEASE_MS, {"digest": "{}"})
    yield lambda: leases.announce(Announcement("replica-b", {}, None), 1, {})
    yield lambda: leases.configs()
    yield lambda: leases.read_lease()
    yield lambda: leases.acquire(TOKEN, REPLICA, LEASE_MS)
    yield lambda: leases.read_lease()
    yield lambda: leases.adopt(StoreMark("b2", adopts="a1"))
    yield lambda: leases.write_mark(TOKEN, StoreMark("b2"))
    yield lambda: leases.read_mark()
    yield lambda: store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    yield lambda: store.begin(TOKEN, BASE + 3 * MINUTE, restoring=True)
    yield lambda: store.stage(TOKEN, old, first=True)
    yield lambda: store.finish_restoring(TOKEN)
    yield lambda: store.bounds()
    yield lambda: store.roster_topics()
    yield lambda: store.write_roster(TOKEN, ROSTER, 1)
    yield lambda: store.write_roster(TOKEN, ROSTER, 2, excluded)
    yield from a_reporter(store)
    yield lambda: store.write_roster(TOKEN, ROSTER, 3)
    yield lambda: leases.read_round(TOKEN, LEASE_MS, [CLOCK])
    yield lambda: store.publish(TOKEN, [tick(4, 3, excluded=[ORDERS_1])])
    yield lambda: leases.publish_statuses(TOKEN, {CLOCK: status}, LEASE_MS)
    yield lambda: leases.publish_statuses(TOKEN, {CLOCK: status}, LEASE_MS)
    yield lambda: store.hold_history(None, 10)
    yield lambda: store.submit_request(late)
    yield lambda: leases.read_round(TOKEN, LEASE_MS, [CLOCK])
    yield lambda: store.write_request_results(TOKEN, {"r1": RequestResult(ResultKind.DONE)}, LEASE_MS)
    yield lambda: store.read_request_result("r1")
    yield lambda: store.cancel_request("r1")
    yield lambda: leases.notify()
    yield lambda: leases.wait_for_notification(0)
    yield lambda: leases.wait_for_notification(0.01)
    yield lambda: store.snapshot()
    yield lambda: raise_error(reads.read([CLOCK])[CLOCK])
    yield lambda: raise_error(reads.tails({CLOCK: None}, 1)[CLOCK])
    yield lambda: store.partitions(None, 10)
    yield lambda: store.lagging_partitions(now_ms, 10)
    yield lambda: store.newest_ticks(10)
    yield lambda: store.ticks_after(BASE, 10)
    yield lambda: notices.read(0)
    yield lambda: notices.read(0.01)
    yield lambda: store.counters()
    yield from a_worker(store, leases)
    yield from a_duplicate_check(store)
    yield lambda: store.counters()
    yield lambda: leases.release(TOKEN)


def a_reporter(store: Store) -> Iterator[Step]:
    """A consumer's reports: accepted, rejected, of an unknown partition, and across a boundary."""
    late = Report(GROUP, (), ((PartitionTimestamp(ORDERS_0, -1), Outcome.NO_TIMESTAMP),), 1)
    yield lambda: send(store, (GONE, BASE))
    yield lambda: send(store, (ORDERS_0, RECENTLY + 10 * MINUTE))
    yield lambda: store.report(late)
    yield lambda: answer(store, *((one, BASE + 10 * MINUTE) for one in (ORDERS_0, ORDERS_1, PAYMENTS_0)))


def a_worker(store: Store, leases: Leases) -> Iterator[Step]:
    """The operations of a round of heartbeats, and of a task dispatcher."""
    sent = {TaskCounterKey("billing", "billing", "sent"): 1}
    yield lambda: leases.read_mark()
    yield lambda: store.now_ms()
    yield lambda: store.count_heartbeats({"delivered": 3}, success=True)
    yield lambda: store.count_tasks("gone", sent, BASE, 0)
    yield lambda: store.count_tasks("beat", sent, BASE, LEASE_MS)


def a_duplicate_check(store: Store) -> Iterator[Step]:
    """The operations of a worker that recognises duplicates; more tasks are done than are remembered."""
    yield lambda: store.mark_task_done("one", LEASE_MS, 1)
    yield lambda: store.mark_task_done("other", LEASE_MS, 1)
    yield lambda: store.is_task_done("other")
