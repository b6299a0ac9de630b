"""Which replica leads: who claims a free lease and when, hand-overs, and replicas that are not ready or stuck."""

from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.leader.leader import Phase
from clocksvc.leader.lease import ANNOUNCE_EVERY_S, ANNOUNCEMENT_TTL_MS, LEASE_MS, STEP_BACK_S
from clocksvc.leader.ranking import HAND_OVER_AFTER_MS, HAND_OVER_EVERY_MS, claim_delay_s
from tests.faulty.commits import CommitFault
from tests.faulty.shared_log import LOG, SharedLog
from tests.unit.leader.clocks import minutes, phase_of, published_detail, published_hold, stored_times

pytestmark = pytest.mark.core

LEASE_S = LEASE_MS / 1000
HANDED_OVER_S = (HAND_OVER_AFTER_MS + LOG * HAND_OVER_EVERY_MS) / 1000


def leader_of(shared: SharedLog) -> str | None:
    """The replica that has the lease."""
    holder = shared.store_server.leases(LOG).read_lease().holder
    return None if holder is None else holder.partition(" ")[0]


def order(shared: SharedLog) -> list[str]:
    """The live replicas in the order in which the log prefers them."""
    announcements = shared.store_server.leases(LOG).read_lease().announcements
    ranked = sorted(announcements, key=lambda one: claim_delay_s(LOG, one.replica, announcements, None))
    return [one.holder for one in ranked]


def with_replicas(count: int = 3, clocks: int = 1) -> SharedLog:
    """A log whose best replica leads, with standbys; all of them have been ready for long, and there is one tick."""
    shared = SharedLog(clocks)
    for number in range(count):
        shared.add_leader(f"replica-{number}")
    shared.run(30)
    assert leader_of(shared) == order(shared)[0]
    shared.report(minutes(1)[0])
    return shared


def seconds_until_led(shared: SharedLog) -> float:
    """Let the replicas step until one of them leads again; the time that this takes."""
    began = shared.time.monotonic()
    shared.run(60, until=lambda: any(phase_of(one) is Phase.LEADING for one in shared.leaders.values()), step_s=0.1)
    return shared.time.monotonic() - began


# -- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crashed", [False, True])
def test_the_best_standby_claims_at_once(crashed: bool) -> None:
    """After a release it leads within 0.5 s, after a crash within a lease and 0.5 s: the others don't wait for the dead
    replica, and the second standby stays behind."""
    shared = with_replicas()
    first, second, _ = order(shared)
    leader = shared.leaders.pop(first)
    if not crashed:
        leader.leave()

    assert seconds_until_led(shared) <= 0.5 + (LEASE_S if crashed else 0)
    assert leader_of(shared) == second


@pytest.mark.parametrize("silent", [1, 2])
def test_a_replica_of_rank_k_claims_after_k_seconds(silent: int) -> None:
    """Better standbys are announced but don't act: they died at the same time as the leader."""
    shared = with_replicas(4)
    ranked = order(shared)
    shared.leaders.pop(ranked[0]).leave()
    for name in ranked[1 : 1 + silent]:
        shared.leaders.pop(name)

    assert silent <= seconds_until_led(shared) <= silent + 0.5
    assert leader_of(shared) == ranked[1 + silent]


def test_the_holder_of_an_expired_lease_comes_last() -> None:
    """It was suspended for longer than its lease and wakes up first. The standbys have had no chance yet: it waits for
    them."""
    shared = with_replicas(2)
    first, second = order(shared)
    shared.time.advance(LEASE_S)
    shared.settle(shared.leaders[first])
    assert leader_of(shared) is None

    assert seconds_until_led(shared) <= 0.5
    assert leader_of(shared) == second


def test_a_single_replica_that_was_suspended_leads_again_at_once() -> None:
    """There is no other replica, so it does not wait."""
    shared = with_replicas(1)
    shared.time.advance(600)
    shared.settle()

    assert phase_of(shared.leaders["replica-0"]) is Phase.LEADING


def test_a_flush_moves_nothing() -> None:
    """The leader retakes its lease at its next step; standbys wait for the announcements of all replicas."""
    shared = with_replicas()
    leader = leader_of(shared)
    for number in range(20):
        shared.store_server.wipe()
        shared.run(0.25 * (number % 8))
        assert leader_of(shared) in (leader, None)
        shared.run(1.25)
        assert leader_of(shared) == leader
    shared.run(5)

    assert leader_of(shared) == leader


def test_a_flush_while_the_leader_dies() -> None:
    """The standbys announce themselves again within 2 s. A lease later, the best one leads."""
    shared = with_replicas()
    first, second, _ = order(shared)
    shared.leaders.pop(first)
    shared.store_server.wipe()

    assert LEASE_S <= seconds_until_led(shared) <= LEASE_S + ANNOUNCE_EVERY_S + 0.5
    assert leader_of(shared) == second


# -- readiness --------------------------------------------------------------------------------------------------------


def test_a_replica_that_is_not_ready_leaves_the_lease_to_ready_ones() -> None:
    """The best standby does not reach Kafka. The second one leads."""
    shared = with_replicas()
    first, second, third = order(shared)
    shared.ready[second] = False
    shared.run(1)
    shared.leaders.pop(first).leave()

    assert seconds_until_led(shared) <= 0.5
    assert leader_of(shared) == third
    shared.run(30)
    assert leader_of(shared) == third


def test_a_replica_that_is_not_ready_leads_if_no_other_one_is() -> None:
    """Two standbys that are not ready: the better one leads, and is ready once it has completed a round."""
    shared = with_replicas()
    first, second, third = order(shared)
    shared.ready[second] = shared.ready[third] = False
    shared.run(1)
    shared.leaders.pop(first).leave()

    assert seconds_until_led(shared) <= 1.5
    shared.report(minutes(2)[0])
    (store,) = shared.stores.values()
    assert stored_times(store) == minutes(1, 2)


# -- hand-overs -------------------------------------------------------------------------------------------------------


def test_a_better_replica_gets_the_log_after_ten_seconds() -> None:
    """Not earlier, by a hand-over without a pause: a tick is due all the time, and none is later than half a second."""
    shared = with_replicas(2)
    best, worse = order(shared)
    shared.leaders.pop(best).leave()
    shared.run(1)
    assert leader_of(shared) == worse
    names = [best, *(f"{best}-{number}" for number in range(8))]
    for name in names:  # a new process has a new id, so its rank is another one
        shared.add_leader(name)
        if order(shared)[0] == name:
            break
        shared.leaders.pop(name).leave()
    else:
        pytest.fail("no replica ranks before the leader")
    came = shared.time.monotonic()
    (store,) = shared.stores.values()

    shared.run(HANDED_OVER_S - 0.5)
    assert leader_of(shared) == worse
    shared.run(4, until=lambda: leader_of(shared) != worse, step_s=0.1)
    assert shared.time.monotonic() - came >= HANDED_OVER_S
    assert seconds_until_led(shared) <= 0.5
    assert leader_of(shared) == name
    shared.report(minutes(2)[0])
    assert stored_times(store) == minutes(1, 2)
    assert published_hold(store)[0] is None


@pytest.mark.parametrize("after_s", [0.0, 0.4, 0.8, 1.2, 1.6])
def test_a_log_is_not_handed_over_to_a_dead_replica(after_s: float) -> None:
    """The announcement of a leader that was killed is valid for some seconds. Its successor keeps the log."""
    shared = with_replicas(2)
    best, worse = order(shared)
    shared.run(15 + after_s, step_s=0.1)
    assert leader_of(shared) == best

    shared.leaders.pop(best)
    epoch = shared.log.epoch
    shared.run(LEASE_S + 0.5, step_s=0.1)
    assert leader_of(shared) == worse
    shared.run(8, step_s=0.1)

    assert leader_of(shared) == worse
    assert shared.log.epoch == epoch + 1


def test_replicas_that_come_and_go_cause_no_ping_pong() -> None:
    """In two minutes without a failure, the lease does not move."""
    shared = with_replicas(3)
    leader, epoch = leader_of(shared), shared.log.epoch

    shared.run(120, step_s=0.5)

    assert leader_of(shared) == leader
    assert shared.log.epoch == epoch


def test_a_rolling_change_that_adds_a_clock() -> None:
    """The new configuration has one clock more. Its replicas get the log and keep it, and the new clock starts when the
    first of them leads; no clock has a conflict."""
    shared = SharedLog(2)
    old, new = shared.names
    before = {old: shared.specs[old]}
    for number in range(3):
        shared.add_leader(f"old-{number}", specs=before)
    shared.run(15)
    shared.report(minutes(1)[0], [old])
    led = []
    for number in range(3):
        shared.add_leader(f"new-{number}")
        for _ in range(30):
            shared.run(0.5)
            led.append(leader_of(shared))
        shared.leaders.pop(f"old-{number}").leave()
        shared.run(2)
    shared.report(minutes(2)[0])

    kinds = [name.partition("-")[0] for name in led if name is not None]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[-1] == "new"
    assert stored_times(shared.stores[old]) == minutes(1, 2)
    assert stored_times(shared.stores[new]) == minutes(2)


def test_replicas_with_different_configurations_don_t_fight() -> None:
    """One replica knows the first clock, the other one the second: the leader stays, whichever it is."""
    shared = SharedLog(2)
    for name in shared.names:
        shared.add_leader(f"only-{name}", specs={name: shared.specs[name]})
    shared.run(15)
    leader, epoch = leader_of(shared), shared.log.epoch

    shared.run(60)

    assert (leader_of(shared), shared.log.epoch) == (leader, epoch)


def test_a_conflict_does_not_move_the_lease() -> None:
    """Two replicas differ about the interval of a clock: it holds, and the lease stays."""
    shared = with_replicas(2)
    epoch = shared.log.epoch
    last = order(shared)[-1]
    shared.leaders.pop(last).leave()
    (name,) = shared.names
    shared.add_leader("other", specs={name: replace(shared.specs[name], interval_ms=300_000)})
    shared.run(5)
    assert published_hold(shared.stores[name])[0] is Reason.CONFIG_CONFLICT

    shared.run(60)

    assert shared.log.epoch - epoch <= 1


# -- replicas without the store ---------------------------------------------------------------------------------------


def test_a_replica_that_lost_the_store_is_ready_ten_seconds_after_its_return() -> None:
    """Its store fails again and again, for longer than a lease. The other replica keeps the log until the first one has
    reached the store for 10 s, so there is no ping-pong."""
    shared = with_replicas(2)
    best, worse = order(shared)
    for _ in range(3):
        shared.without_store = {best}
        shared.run(LEASE_S + 1)
        assert leader_of(shared) == worse
        shared.without_store = set()
        shared.run(HANDED_OVER_S - 1)
        assert leader_of(shared) == worse

    shared.run(5)
    assert leader_of(shared) == best


def test_a_replica_that_lost_the_store_in_a_commit_does_not_fence_its_successor() -> None:
    """It must fence the log before it writes again. But when the store answers again, it does not have the lease."""
    shared = with_replicas(2)
    best, worse = order(shared)

    def lose_store(step: str) -> None:
        if step == "append.sent" and leader_of(shared) == best:
            shared.log.commit_faults = [CommitFault.LOST]
            shared.without_store = {best}

    shared.log.at = lose_store
    shared.send(minutes(2)[0])
    shared.run(LEASE_S + 1)
    assert phase_of(shared.leaders[best]) is Phase.FENCING
    assert leader_of(shared) == worse
    epoch = shared.log.epoch

    shared.without_store = set()
    shared.run(2)
    assert phase_of(shared.leaders[best]) is Phase.STANDBY
    assert leader_of(shared) == worse
    assert shared.log.epoch == epoch


@pytest.mark.parametrize("away_s", [LEASE_S + 1, 30.0])
def test_a_store_that_was_away_moves_nothing(away_s: float) -> None:
    """No replica reached the store, so the leases have expired. The leader acquires its lease again; the standbys wait
    for it. In a long failure, announcements expire, too."""
    shared = with_replicas(3)
    leader, epoch = leader_of(shared), shared.log.epoch
    shared.store_server.broken = True
    shared.run(away_s)
    if away_s > ANNOUNCEMENT_TTL_MS / 1000:
        log = shared.store_server.content.log(LOG)
        log.announcements.clear()
        log.announcements_complete_since_ms = None
    shared.store_server.broken = False
    shared.leaders = dict(sorted(shared.leaders.items(), key=lambda item: item[0] == leader))  # standbys step first

    shared.run(0.5, step_s=0.1)
    assert leader_of(shared) == leader
    shared.run(15)
    assert leader_of(shared) == leader
    assert shared.log.epoch == epoch + 1  # no other replica has led meanwhile


def test_a_leader_that_dies_while_the_store_is_away_is_replaced() -> None:
    """The standbys have seen that the store was away. They wait until all live replicas have announced themselves."""
    shared = with_replicas(3)
    first, second, _ = order(shared)
    shared.store_server.broken = True
    shared.run(LEASE_S + 1)
    shared.leaders.pop(first)
    shared.store_server.broken = False

    assert seconds_until_led(shared) <= LEASE_S + 0.5
    assert leader_of(shared) == second


# -- stuck leaders ----------------------------------------------------------------------------------------------------


def stuck(shared: SharedLog, fault: str) -> None:
    """From now on no round can be completed."""
    if fault == "commits":
        shared.log.commit_faults = [CommitFault.LOST] * 10_000
    elif fault == "brokers":
        shared.log.unavailable = shared.topics.unavailable = True
    elif fault == "metadata":
        shared.topics.unavailable = True
    else:
        shared.log.begin_foreign()


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("commits", {Reason.LEADER_STUCK}),
        ("brokers", {Reason.METADATA_UNAVAILABLE, Reason.TICKLOG_UNAVAILABLE}),
        ("metadata", {Reason.METADATA_UNAVAILABLE}),
        ("open transaction", {Reason.LEADER_STUCK, Reason.TICKLOG_OPEN_TRANSACTION}),
    ],
)
def test_a_stuck_leader_publishes_a_hold_and_releases(fault: str, reasons: set[Reason]) -> None:
    """Within 10 s every clock of the log has a hold, with the best reason that is known, and the lease is free. The
    replica does not claim it for longer than a lease, and says that it is not ready. After the repair, all is well."""
    shared = with_replicas(1, clocks=2)
    stuck(shared, fault)
    shared.send(minutes(2)[0])
    shared.run(10, until=lambda: leader_of(shared) is None)

    assert leader_of(shared) is None
    released = shared.time.monotonic()
    for store in shared.stores.values():
        assert published_hold(store)[0] in reasons
        assert "no round" in published_detail(store)
    shared.run(1)
    (announcement,) = shared.store_server.leases(LOG).read_lease().announcements
    assert announcement.ready_ms is None
    shared.run(10, until=lambda: leader_of(shared) is not None)
    assert shared.time.monotonic() - released >= STEP_BACK_S > LEASE_S

    shared.log.commit_faults, shared.log.unavailable, shared.topics.unavailable = [], False, False
    shared.log.end_foreign(committed=False)
    shared.run(15)
    for store in shared.stores.values():
        assert stored_times(store) == minutes(1, 2)
        assert published_hold(store)[0] is None


def test_a_stuck_leader_leaves_the_log_to_a_standby() -> None:
    """Only the leader's commits fail: another replica emits the ticks within 10 s, and keeps the log."""
    shared = with_replicas(2)
    first, second = order(shared)

    def fail(step: str) -> None:
        if step == "append.sent" and leader_of(shared) == first:
            shared.log.commit_faults = [CommitFault.LOST]

    shared.log.at = fail
    shared.send(minutes(2)[0])
    shared.run(10, until=lambda: leader_of(shared) == second)
    shared.run(2)

    (store,) = shared.stores.values()
    assert stored_times(store) == minutes(1, 2)
    assert published_hold(store)[0] is None


def test_without_the_store_the_leader_leads_again_when_it_is_back() -> None:
    """No other replica can lead either, so it does not step back."""
    shared = with_replicas(1)
    shared.store_server.broken = True
    shared.run(60)
    assert phase_of(shared.leaders["replica-0"]) is Phase.STANDBY
    shared.store_server.broken = False

    assert seconds_until_led(shared) <= 1
    shared.report(minutes(2)[0])
    (store,) = shared.stores.values()
    assert stored_times(store) == minutes(1, 2)
