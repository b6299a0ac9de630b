"""The store, requests: submitted by any replica, read by the leader alone, cancelled only before that."""

from dataclasses import replace

import pytest

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult, ResultKind
from clocksvc.clock.roster import Roster
from clocksvc.errors import LeaseLost
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.requests import MAX_PENDING_REQUESTS
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BOUNDS,
    IDENTITY,
    LEASE_MS,
    ORDERS_0,
    ORDERS_1,
    OTHER_TOKEN,
    ROSTER,
    STARTED,
    TOKEN,
    lead,
    progress,
)
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually

TTL_MS = 60_000
DONE = RequestResult(
    ResultKind.DONE, (Exclusion(ORDERS_0, "ada", 1_000, "Ärger mit \U0001f4be"),), Pause("bob", 2_000, "why")
)
REFUSED = RequestResult(ResultKind.REJECTED, field="partition", value=7, wanted="wanted 0 to 3")


def request(store: Store, id: str = "r1", *, lasts_ms: int = 60_000, partition: Partition = ORDERS_0) -> Request:
    """A request made now."""
    now_ms = store.now_ms()
    return Request(id, RequestKind.EXCLUDE, "ada", now_ms, f"Ärger, {id} %s 1 0", now_ms + lasts_ms, partition)


def seen(leases: Leases, token: str = TOKEN) -> tuple[Request, ...]:
    """The requests that a round returns."""
    return progress(leases, token).requests


def test_a_request_notifies_the_leader_and_is_in_its_round(store: Store, leases: Leases) -> None:
    """With the minimum, no further question; again and again until it is answered."""
    lead(store, leases)
    while leases.wait_for_notification(0):
        pass
    left = request(store)
    assert seen(leases) == ()

    assert store.submit_request(left)

    assert leases.wait_for_notification(0)
    assert seen(leases) == seen(leases) == (left,)


def test_requests_are_handed_out_in_order(store: Store, leases: Leases) -> None:
    """In the order of their times, not of their submission."""
    lead(store, leases)
    first = request(store, "b")
    second = replace(first, id="a", at_ms=first.at_ms + 1)
    store.submit_request(second)
    store.submit_request(first)

    assert seen(leases) == (first, second)


def test_what_no_leader_has_seen_can_be_withdrawn(store: Store, leases: Leases) -> None:
    """And then no leader ever sees it."""
    lead(store, leases)
    store.submit_request(request(store))

    assert store.cancel_request("r1")

    assert seen(leases) == ()
    assert not store.cancel_request("r1")


def test_what_a_leader_has_seen_can_not_be_withdrawn(store: Store, leases: Leases) -> None:
    """It may be about to commit it; the next leader sees it too."""
    lead(store, leases)
    left = request(store)
    store.submit_request(left)
    seen(leases)

    assert not store.cancel_request("r1")
    leases.release(TOKEN)
    assert leases.acquire(OTHER_TOKEN, "b", LEASE_MS)
    store.claim(OTHER_TOKEN, IDENTITY, BOUNDS, STARTED)
    assert seen(leases, OTHER_TOKEN) == (left,)


def test_an_answer_takes_the_requests_place(store: Store, leases: Leases) -> None:
    """It can be read more than once."""
    lead(store, leases)
    for id in ("r1", "r2", "r3"):
        store.submit_request(request(store, id))
    assert store.read_request_result("r1") is None
    assert len(seen(leases)) == 3

    store.write_request_results(TOKEN, {"r1": DONE, "r2": REFUSED}, TTL_MS)

    assert store.read_request_result("r1") == store.read_request_result("r1") == DONE
    assert (store.read_request_result("r2"), store.read_request_result("r3")) == (REFUSED, None)
    assert [one.id for one in seen(leases)] == ["r3"]
    assert not store.cancel_request("r1")


def test_only_the_leader_answers(store: Store, leases: Leases) -> None:
    """Another's result is rejected, and the request stays."""
    lead(store, leases)
    store.submit_request(request(store))

    with pytest.raises(LeaseLost):
        store.write_request_results(OTHER_TOKEN, {"r1": DONE}, TTL_MS)

    assert store.read_request_result("r1") is None
    assert len(seen(leases)) == 1


def test_an_expired_request_is_not_returned(store: Store, leases: Leases) -> None:
    """By the store's clock; it can still be withdrawn: nothing has come of it."""
    lead(store, leases)
    left = request(store, lasts_ms=40)
    assert store.submit_request(left)

    eventually(lambda: store.now_ms() >= left.expires_ms, what="the request to expire")

    assert seen(leases) == ()
    assert store.cancel_request("r1")


def test_what_a_leader_had_seen_stays_after_its_end(store: Store, leases: Leases) -> None:
    """So that the next leader can say what became of it; whether to do it is its own question."""
    lead(store, leases)
    left = request(store, lasts_ms=200)
    store.submit_request(left)
    assert seen(leases) == (left,)

    eventually(lambda: store.now_ms() >= left.expires_ms, what="the request to expire")

    assert seen(leases) == (left,)


def test_an_expired_request_is_not_left(store: Store, leases: Leases) -> None:
    """One that came too late, out of a queue somewhere, must not wait for a leader."""
    lead(store, leases)

    assert not store.submit_request(request(store, lasts_ms=0))
    assert seen(leases) == ()


def test_an_answer_expires(store: Store, leases: Leases) -> None:
    """Its time over, it is gone, while others stay."""
    lead(store, leases)
    store.write_request_results(TOKEN, {"r1": DONE}, 50)
    store.write_request_results(TOKEN, {"r2": REFUSED}, TTL_MS)

    eventually(lambda: store.read_request_result("r1") is None, what="the answer to go")

    assert store.read_request_result("r2") == REFUSED


def test_leaving_it_twice_leaves_it_once(store: Store, leases: Leases) -> None:
    """A repeat neither makes a request that a leader has seen withdrawable, nor one that is answered wait again."""
    lead(store, leases)
    left = request(store)
    store.submit_request(left)
    seen(leases)

    assert store.submit_request(left)
    assert not store.cancel_request("r1")
    store.write_request_results(TOKEN, {"r1": DONE}, TTL_MS)
    assert store.submit_request(left)

    assert seen(leases) == ()
    assert store.read_request_result("r1") == DONE


def test_only_so_many_wait(store: Store, leases: Leases) -> None:
    """A client that asks in a loop fills no memory; once some are gone there is room again."""
    lead(store, leases)
    for number in range(MAX_PENDING_REQUESTS):
        assert store.submit_request(request(store, f"r{number}"))

    assert not store.submit_request(request(store, "one more"))
    assert store.cancel_request("r5")
    assert store.submit_request(request(store, "one more"))
    assert len(seen(leases)) == MAX_PENDING_REQUESTS


def test_all_of_it_can_be_lost(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """After a flush there is no request, no result, and nothing to cancel: `cancel_request` returns False."""
    lead(store, leases)
    store.submit_request(request(store, "r1"))
    store.write_request_results(TOKEN, {"r2": DONE}, TTL_MS)
    implementation.wipe()

    assert not store.cancel_request("r1")
    assert store.read_request_result("r2") is None
    lead(store, leases)
    assert seen(leases) == ()


def test_readers_see_who_excluded_and_paused(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """Who, when, why: written with the roster, so it outlives the leader, and not a flush."""
    assert (store.snapshot().exclusions, store.snapshot().pause) == ((), None)
    lead(store, leases)
    exclusions = (Exclusion(ORDERS_1, "ada", 1_000, "Ärger"), Exclusion(Partition("gone", 3), "bob", 2_500, "x"))
    pause = Pause("bob", 2_000, "planned work")
    store.write_roster(TOKEN, Roster(ROSTER.topics, frozenset({ORDERS_1})), 2, exclusions, pause)
    leases.release(TOKEN)

    assert (store.snapshot().exclusions, store.snapshot().pause) == (exclusions, pause)
    assert leases.acquire(TOKEN, "a", LEASE_MS)
    store.write_roster(TOKEN, ROSTER, 3)
    assert (store.snapshot().exclusions, store.snapshot().pause) == ((), None)
    store.write_roster(TOKEN, ROSTER, 4, (), pause)
    implementation.wipe()
    assert (store.snapshot().exclusions, store.snapshot().pause) == ((), None)


def test_a_request_to_init_keeps_its_time(store: Store, leases: Leases) -> None:
    """The time that will be `previous` in the next tick."""
    lead(store, leases)
    now_ms = store.now_ms()
    init = Request("i", RequestKind.INIT, "ada", now_ms, "moved here", now_ms + 60_000, last_tick_ms=60_000)
    store.submit_request(init)

    assert seen(leases) == (init,)
