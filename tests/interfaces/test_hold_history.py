"""The store, history of holds: changes in order, one hold for one reason, gaps without a leader, and what is kept."""

import pytest

from clocksvc.clock.holds import Hold, Reason
from clocksvc.errors import LeaseLost
from clocksvc.interfaces.hold_history import (
    MAX_CHANGES,
    RETENTION_MS,
    HoldChange,
    HoldHistory,
    NoLeaderGap,
    PastHold,
    StatusUpdate,
    shortened,
)
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import CLOCK, LEASE_MS, ORDERS_0, OTHER_TOKEN, PAYMENTS_0, TOKEN, lead
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually

TTL_MS = 30_000
BEHIND = Hold(Reason.PARTITION_BEHIND, (ORDERS_0,), "the slowest partition: «ä» % 1 2")
PAUSED = Hold(Reason.PAUSED, detail="paused by ann")
NO_LEADER = Hold(Reason.NO_LEADER, detail="no process led this clock")
GAP = NoLeaderGap(60_000, NO_LEADER)


def publish(
    leases: Leases,
    *changes: tuple[int, Hold | None],
    gap: NoLeaderGap | None = None,
    token: str = TOKEN,
    ttl_ms: int = TTL_MS,
) -> None:
    """Publish changes: how many ms ago, and the hold."""
    update = StatusUpdate("{}", [HoldChange(*change) for change in changes], gap)
    leases.publish_statuses(token, {CLOCK: update}, ttl_ms)


def history(store: Store, limit: int = 100) -> HoldHistory:
    """The newest page."""
    return store.hold_history(None, limit)


def holds(store: Store) -> list[Hold]:
    """The holds of the history, the oldest one first."""
    return [past.hold for past in history(store).holds][::-1]


def spans(store: Store) -> list[tuple[str, int, int | None]]:
    """Reason, and beginning and end in minutes before now, the oldest hold first."""
    now_ms = store.now_ms()

    def ago(at_ms: int | None) -> int | None:
        return None if at_ms is None else round((now_ms - at_ms) / 60_000)

    return [(str(past.hold.reason), ago(past.began_ms) or 0, ago(past.ended_ms)) for past in history(store).holds][::-1]


def test_a_new_store_has_no_history(store: Store) -> None:
    """No holds, and no time since which there were none."""
    assert history(store) == HoldHistory((), None, None)


def test_the_history_begins_with_the_first_status(store: Store, leases: Leases) -> None:
    """A clock that ticks has no holds since then."""
    lead(store, leases)
    before_ms = store.now_ms()
    publish(leases, (0, None))
    found = history(store)

    assert found.holds == ()
    assert found.kept_since_ms is not None
    assert before_ms <= found.kept_since_ms <= store.now_ms()


def test_a_hold_lasts_until_the_next_change(store: Store, leases: Leases) -> None:
    """It has no end until then, and it is what was published, with every character."""
    lead(store, leases)
    before_ms = store.now_ms()
    publish(leases, (0, BEHIND))
    (lasting,) = history(store).holds
    publish(leases, (0, None))
    (ended,) = history(store).holds

    assert lasting == PastHold(BEHIND, lasting.began_ms, None)
    assert before_ms <= lasting.began_ms <= store.now_ms()
    assert ended.ended_ms is not None
    assert ended == PastHold(BEHIND, lasting.began_ms, ended.ended_ms)
    assert lasting.began_ms < ended.ended_ms


def test_each_reason_has_its_own_beginning(store: Store, leases: Leases) -> None:
    """One hold ends when the next one begins, the newest is listed first."""
    lead(store, leases)
    publish(leases, (120_000, None))
    publish(leases, (0, BEHIND))
    publish(leases, (0, PAUSED))
    newest, older = history(store).holds

    assert (newest.hold, older.hold) == (PAUSED, BEHIND)
    assert newest.ended_ms is None
    assert older.ended_ms == newest.began_ms > older.began_ms


def test_another_detail_is_no_other_hold(store: Store, leases: Leases) -> None:
    """The partitions and the detail that were published last are kept."""
    lead(store, leases)
    publish(leases, (0, BEHIND))
    began_ms = history(store).holds[0].began_ms
    later = Hold(Reason.PARTITION_BEHIND, (PAYMENTS_0,), "check that a consumer reads them")
    publish(leases, (0, later))

    assert history(store).holds == (PastHold(later, began_ms, None),)


def test_changes_that_a_leader_could_not_publish_are_added_later(store: Store, leases: Leases) -> None:
    """With their ages, in order."""
    lead(store, leases)
    publish(leases, (9 * 60_000, BEHIND), (6 * 60_000, PAUSED), (4 * 60_000, None))

    assert spans(store) == [("partition_behind", 9, 6), ("paused", 6, 4)]


def test_what_another_leader_published_meanwhile_counts(store: Store, leases: Leases) -> None:
    """A change from before the last status is not added, unless it is the present hold. That one begins after it."""
    lead(store, leases)
    publish(leases, (0, None))
    publish(leases, (9 * 60_000, BEHIND), (6 * 60_000, PAUSED))
    (present,) = history(store).holds

    assert present.hold == PAUSED
    assert spans(store) == [("paused", 0, None)]


def test_no_two_changes_begin_at_the_same_time(store: Store, leases: Leases) -> None:
    """So a cursor is exact, also in a store that is faster than its clock."""
    lead(store, leases)
    publish(leases, *((0, (BEHIND, PAUSED)[number % 2]) for number in range(40)))
    began = [past.began_ms for past in history(store).holds]

    assert len(began) == 40
    assert began == sorted(set(began), reverse=True)


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages(store: Store, leases: Leases, limit: int) -> None:
    """Pages of any size have each hold once; only the last one has no cursor."""
    lead(store, leases)
    publish(leases, *((minute * 60_000, BEHIND if minute % 2 else None) for minute in range(13, -1, -1)))
    everything = history(store).holds

    found: list[PastHold] = []
    page = store.hold_history(None, limit)
    while True:
        assert len(page.holds) <= limit
        found += page.holds
        if page.next_before_ms is None:
            break
        page = store.hold_history(page.next_before_ms, limit)

    assert len(everything) == 7
    assert tuple(found) == everything


def pass_ms(store: Store, duration_ms: int) -> int:
    """Wait until the store's clock has advanced; returns how far it has."""
    from_ms = store.now_ms()
    return eventually(lambda: max(0, store.now_ms() - from_ms - duration_ms + 1), what="time to pass") + duration_ms - 1


@pytest.mark.parametrize("after", [None, PAUSED])
def test_a_time_without_a_leader_is_noted(store: Store, leases: Leases, after: Hold | None) -> None:
    """From the last status to the first one after it."""
    lead(store, leases)
    publish(leases, (0, None))
    passed_ms = pass_ms(store, 30)
    publish(leases, (0, after), gap=NoLeaderGap(20, NO_LEADER))
    gap = history(store).holds[-1]

    assert gap.hold == NO_LEADER
    assert gap.ended_ms is not None
    assert passed_ms - 1 <= gap.ended_ms - gap.began_ms < passed_ms + 1_000
    assert holds(store) == [NO_LEADER] + ([] if after is None else [after])


def test_a_failover_is_not_noted(store: Store, leases: Leases) -> None:
    """Nor is the time before the first status of all."""
    lead(store, leases)
    publish(leases, (0, None), gap=GAP)
    publish(leases, (0, None), gap=GAP)

    assert history(store).holds == ()


def test_a_hold_counts_until_its_status_expires(store: Store, leases: Leases) -> None:
    """Readers see it as long. Only the time after it is without a leader."""
    lead(store, leases)
    publish(leases, (0, BEHIND), ttl_ms=20)
    pass_ms(store, 60)
    publish(leases, (0, BEHIND), gap=NoLeaderGap(10, NO_LEADER), ttl_ms=20)
    publish(leases, (0, BEHIND))
    again, gap, before = history(store).holds

    assert [past.hold for past in (before, gap, again)] == [BEHIND, NO_LEADER, BEHIND]
    assert before.ended_ms == gap.began_ms == before.began_ms + 20
    assert gap.ended_ms == again.began_ms


def test_a_change_that_was_not_published_fills_the_gap(store: Store, leases: Leases) -> None:
    """The leader that was cut off from the store knows why."""
    lead(store, leases)
    publish(leases, (0, None))
    passed_ms = pass_ms(store, 30)
    publish(leases, (passed_ms - 1, BEHIND), (0, None), gap=NoLeaderGap(20, NO_LEADER))

    assert holds(store) == [BEHIND]


def test_only_the_leader_writes(store: Store, leases: Leases) -> None:
    """The history keeps what it had."""
    lead(store, leases)
    publish(leases, (0, BEHIND))
    with pytest.raises(LeaseLost):
        publish(leases, (0, None), token=OTHER_TOKEN)

    assert history(store).holds[0].ended_ms is None


def test_without_a_valid_status_a_hold_ends_with_its_last_one(store: Store, leases: Leases) -> None:
    """It may have ended since."""
    lead(store, leases)
    publish(leases, (0, BEHIND), ttl_ms=20)
    began_ms = history(store).holds[0].began_ms
    pass_ms(store, 30)

    assert history(store).holds == (PastHold(BEHIND, began_ms, began_ms),)


def test_the_history_outlives_the_leader(store: Store, leases: Leases) -> None:
    """The next leader continues the same hold."""
    lead(store, leases)
    publish(leases, (0, BEHIND))
    before = history(store)
    leases.release(TOKEN)
    assert leases.acquire(OTHER_TOKEN, "b", LEASE_MS)
    publish(leases, (0, BEHIND), gap=GAP, token=OTHER_TOKEN)

    assert history(store) == before


def test_a_lost_store_begins_a_new_history(implementation: StoreImplementation, store: Store, leases: Leases) -> None:
    """It says since when."""
    lead(store, leases)
    publish(leases, (3_600_000, BEHIND))
    implementation.wipe()
    lead(store, leases)
    before_ms = store.now_ms()
    publish(leases, (0, None))
    found = history(store)

    assert found.holds == ()
    assert (found.kept_since_ms or 0) >= before_ms


def test_the_number_of_changes_is_bounded(store: Store, leases: Leases) -> None:
    """The oldest ones are dropped, and the history begins with the oldest one that is kept."""
    lead(store, leases)
    publish(leases, *((age_ms, BEHIND if age_ms % 2 else None) for age_ms in range(MAX_CHANGES + 99, -1, -1)))
    found = history(store, MAX_CHANGES)

    assert len(found.holds) == MAX_CHANGES // 2
    assert found.kept_since_ms == found.holds[-1].began_ms


def test_a_week_is_kept(store: Store, leases: Leases) -> None:
    """What ended before is dropped. What lasted into it is kept, with its own beginning."""
    lead(store, leases)
    day = RETENTION_MS // 7
    publish(leases, (12 * day, PAUSED), (11 * day, None), (9 * day, BEHIND), (2 * day, None), (day, PAUSED))
    publish(leases, (0, PAUSED))
    found = history(store)

    assert [past.hold.reason for past in found.holds] == [Reason.PAUSED, Reason.PARTITION_BEHIND]
    assert abs(store.now_ms() - found.holds[1].began_ms - 9 * day) < 60_000
    assert abs(store.now_ms() - (found.kept_since_ms or 0) - RETENTION_MS) < 60_000


def test_a_kept_hold_is_bounded() -> None:
    """Ten partitions, and a detail of a thousand characters."""
    long = Hold(Reason.PARTITION_BEHIND, (ORDERS_0,) * 100, "x" * 5_000)

    assert (len(shortened(long).partitions), len(shortened(long).detail)) == (10, 1_000)


def test_statuses_of_several_clocks_are_one_write(
    implementation: StoreImplementation, store: Store, leases: Leases
) -> None:
    """Each clock gets its own status and changes, and another token writes none of them."""
    lead(store, leases)
    second = "c8"  # of the same log
    other = implementation.server.store(second)
    updates = {
        CLOCK: StatusUpdate('{"n": 1}', [HoldChange(5_000, BEHIND), HoldChange(0, None)], GAP),
        second: StatusUpdate('{"n": 2}', [HoldChange(0, PAUSED)]),
    }

    with pytest.raises(LeaseLost):
        leases.publish_statuses(OTHER_TOKEN, updates, TTL_MS)
    assert (store.snapshot().leader_status, holds(store)) == (None, [])
    leases.publish_statuses(TOKEN, updates, TTL_MS)

    assert (store.snapshot().leader_status, other.snapshot().leader_status) == ('{"n": 1}', '{"n": 2}')
    assert (holds(store), holds(other)) == ([BEHIND], [PAUSED])
