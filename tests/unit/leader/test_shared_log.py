"""Clocks and installations that share a log: one transaction for all of them, an error of one clock delays no other,
and a log has one installation."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_owner import Installation
from clocksvc.clock.log_record import Message, decode_message
from clocksvc.clock.request import Request, RequestKind, ResultKind
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.progress import StoreIdentity
from clocksvc.interfaces.topics import TimestampType
from clocksvc.leader.context import NoObserver
from clocksvc.leader.leader import Phase
from clocksvc.leader.lease import LEASE_MS, STUCK_TIMEOUT_S
from clocksvc.leader.round import PREPARED_PER_ROUND
from clocksvc.memory.store import MemoryStore
from tests.faulty.clock import FaultyClock
from tests.faulty.shared_log import SharedLog
from tests.unit.leader.clocks import (
    another_leader,
    clock_with_ticks,
    detail_of,
    hold_of,
    logged_times,
    minutes,
    pass_time,
    phase_of,
    published_detail,
    published_hold,
    stored_times,
    transactions,
)

pytestmark = pytest.mark.core


def times(shared: SharedLog, clock: str) -> list[str]:
    """The times of a clock's ticks. Log and store must agree."""
    found = stored_times(shared.stores[clock])
    assert logged_times(shared.log, clock) == found
    return found


def hold(shared: SharedLog, clock: str) -> Reason | None:
    """The reason of a clock's published hold."""
    return published_hold(shared.stores[clock])[0]


class Observer(NoObserver):
    """Records when a leader begins and ends to lead, and the latencies of ticks."""

    def __init__(self) -> None:
        self.leads: list[bool] = []
        self.latencies: dict[str, list[float | None]] = defaultdict(list)

    def leading(self, log: int, yes: bool) -> None:
        self.leads.append(yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        self.latencies[clock].append(latency_s)


# -- one round for all ------------------------------------------------------------------------------------------------


def test_due_ticks_of_all_clocks_are_one_transaction() -> None:
    """Three clocks whose boundary is complete in the same round cost one transaction."""
    shared = SharedLog(3)
    shared.add_leader()
    shared.report(minutes(1)[0])

    shared.report(minutes(3)[0])

    assert transactions(shared.log) == [shared.names, [name for name in shared.names for _ in range(2)]]
    assert [times(shared, name) for name in shared.names] == [minutes(1, 2, 3)] * 3


def test_a_live_clock_is_in_the_first_transaction_beside_backlogs() -> None:
    """Two clocks catch up 3,000 ticks each. A third one ticks once, in the round that announces this, before they
    begin. A round has 500 ticks at most, and backlogs get equal shares."""
    shared = SharedLog(3, interval_seconds=1)
    first, second, live = shared.names
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z", [first, second])
    shared.report("2026-11-22T12:29:59Z", [live])
    before = len(transactions(shared.log))

    shared.send("2026-11-22T11:50:00Z", [first, second])
    shared.send("2026-11-22T12:30:00Z", [live])
    shared.settle()

    rounds = transactions(shared.log)[before:]
    assert [len(ticks) for ticks in rounds] == [1] + [500] * 12
    assert rounds[0] == [live]
    assert [(ticks.count(first), ticks.count(second)) for ticks in rounds[1:3]] == [(250, 250), (250, 250)]
    assert [len(times(shared, name)) for name in shared.names] == [3_001, 3_001, 2]


def test_a_live_clock_ticks_between_the_rounds_of_a_backlog() -> None:
    """Its report comes while a backlog of 10 rounds is being committed: the next round has its tick."""
    shared = SharedLog(2, interval_seconds=1)
    backlog, live = shared.names
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z", [backlog])
    shared.report("2026-11-22T12:29:59Z", [live])
    before = len(transactions(shared.log))
    shared.send("2026-11-22T12:23:20Z", [backlog])

    for _ in range(1 + 3):
        shared.leaders["leader"].step()
    shared.send("2026-11-22T12:30:00Z", [live])
    shared.settle()

    rounds = [live in ticks for ticks in transactions(shared.log)[before:]]
    assert (len(rounds), rounds.index(True)) == (11, 3)


def test_more_live_clocks_than_a_round_has_ticks() -> None:
    """The rest ticks in the next round."""
    shared = SharedLog(520)
    shared.add_leader()

    shared.report(minutes(1)[0])

    assert [len(ticks) for ticks in transactions(shared.log)] == [500, 20]
    assert all(times(shared, name) == minutes(1) for name in shared.names)


def test_requests_to_several_clocks_are_one_transaction() -> None:
    """Ten requests to each of three clocks, beside the due tick of a fourth one: one record for each clock."""
    shared = SharedLog(4)
    shared.add_leader()
    shared.report(minutes(1)[0])
    now_ms, before = shared.time.now_ms(), shared.log.end
    *asked, ticking = shared.names
    for number in range(10):
        for name in asked:
            kind = RequestKind.PAUSE if number % 2 == 0 else RequestKind.RESUME
            request = Request(f"{name}-{number}", kind, "ada", now_ms + number, "why", now_ms + 10_000)
            assert shared.stores[name].submit_request(request)
    shared.report(minutes(2)[0], [ticking])

    records = [decode_message(entry.message) for entry in shared.log.committed(before)]
    assert shared.log.end - before == len(records) + 1
    assert [(record.clock, len(record.requests)) for record in records] == [
        *((name, 10) for name in asked),
        (ticking, 0),
    ]
    for name in asked:
        results = [shared.stores[name].read_request_result(f"{name}-{number}") for number in range(10)]
        assert {result and result.kind for result in results} == {ResultKind.DONE}
    assert times(shared, ticking) == minutes(1, 2)


# -- the trouble of one clock -----------------------------------------------------------------------------------------


def _reject(shared: SharedLog, clock: str) -> None:
    shared.log.rejected_keys = {clock.encode()}


def _reject_copies_too(shared: SharedLog, clock: str) -> None:
    shared.log.rejected_keys, shared.log.rejects_copies = {clock.encode()}, True


def _accept(shared: SharedLog, clock: str) -> None:
    shared.log.rejected_keys, shared.log.rejects_copies = set(), False


def _unreadable(shared: SharedLog, clock: str) -> None:
    shared.log.commit([Message(clock.encode(), b'{"format": 99}', "control")])


def _readable(shared: SharedLog, clock: str) -> None:
    entries = [entry.message for entry in shared.log.committed()]
    copy = next(one for one in reversed(entries) if one.key == clock.encode() and b": 99" not in (one.value or b""))
    shared.log.commit([copy._replace(type="snapshot")])


def _foreign_store(shared: SharedLog, clock: str) -> None:
    content = shared.store_server.content.clock(clock)
    content.identity, content.generation = StoreIdentity("another"), None


def _own_store(shared: SharedLog, clock: str) -> None:
    shared.store_server.content.clocks.pop(clock)
    shared.settle()


def _without_permission(shared: SharedLog, clock: str) -> None:
    shared.topics.undescribed[clock] = "not authorized"


def _with_permission(shared: SharedLog, clock: str) -> None:
    shared.topics.undescribed.clear()


def _without_ids(shared: SharedLog, clock: str) -> None:
    shared.topics.without_ids = True


def _missing(shared: SharedLog, clock: str) -> None:
    shared.topics.hide(clock)


def _listed(shared: SharedLog, clock: str) -> None:
    shared.topics.hide(clock, None)


class Case(NamedTuple):
    """A trouble of one clock: how it begins and ends, and the reason of its hold."""

    why: str
    begin: Callable[[SharedLog, str], None]
    end: Callable[[SharedLog, str], None]
    reason: Reason


CASES = [
    Case("its records are rejected", _reject, _accept, Reason.TICKLOG_UNAVAILABLE),
    Case("its records and their copies are rejected", _reject_copies_too, _accept, Reason.TICKLOG_UNAVAILABLE),
    Case("its last record can't be read", _unreadable, _readable, Reason.TICKLOG_UNAVAILABLE),
    Case("its store has another identity", _foreign_store, _own_store, Reason.STORE_MISMATCH),
    Case("its topic may not be described", _without_permission, _with_permission, Reason.METADATA_UNAVAILABLE),
    Case("its topic is missing", _missing, _listed, Reason.TOPIC_MISSING),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_trouble_of_one_clock_delays_no_other(case: Case) -> None:
    """The others tick with each report, in the same terms. The clock in trouble holds by name, and gets every skipped
    tick afterwards."""
    shared = SharedLog(3)
    shared.add_leader()
    shared.report(minutes(1)[0])
    victim, *others = shared.names

    case.begin(shared, victim)
    for minute in range(2, 8):
        shared.report(minutes(minute)[0])
        for other in others:
            assert times(shared, other) == minutes(*range(1, minute + 1))
        shared.run(20)
        for other in others:
            assert hold(shared, other) is None
        assert hold(shared, victim) is case.reason
        assert stored_times(shared.stores[victim]) == minutes(1)
        assert phase_of(shared.leaders["leader"]) is Phase.LEADING

    case.end(shared, victim)
    shared.run(65)
    shared.report(minutes(8)[0])

    assert [times(shared, name) for name in shared.names] == [minutes(*range(1, 9))] * 3
    assert hold(shared, victim) is None


def test_a_clock_that_lost_ticks_delays_no_other() -> None:
    """The store has a tick that the log does not have."""
    shared = SharedLog(2)
    shared.add_leader()
    shared.report(minutes(1)[0])
    victim, other = shared.names
    last = shared.stores[victim].newest_ticks(1)[0]
    shared.store_server.content.clock(victim).ticks.append(
        Tick(victim, last.at_ms + 60_000, last.at_ms, 60_000, last.emitted_at_ms)
    )
    shared.report(minutes(4)[0])
    shared.run(10)

    assert times(shared, other) == minutes(1, 2, 3, 4)
    assert logged_times(shared.log, victim) == minutes(1)
    assert hold(shared, victim) is Reason.TICKLOG_TRUNCATED


@pytest.mark.parametrize("lost", ["last tick", "all ticks", "roster", "everything"])
def test_a_broken_part_of_the_store_is_repaired_beside_live_clocks(lost: str) -> None:
    """A clock's stream or roster is deleted by hand. The other clock ticks in the same round, and the clock gets back
    all of its ticks."""
    shared = SharedLog(2)
    shared.add_leader()
    for minute in (1, 2, 3):
        shared.report(minutes(minute)[0])
    victim, _ = shared.names
    content = shared.store_server.content.clock(victim)
    if lost == "last tick":
        content.ticks.pop()
    elif lost == "all ticks":
        content.ticks.clear()
    elif lost == "roster":
        content.generation = None
    else:
        shared.store_server.content.clocks.pop(victim)

    shared.report(minutes(4)[0])
    shared.report(minutes(4)[0], [victim])

    assert [times(shared, name) for name in shared.names] == [minutes(1, 2, 3, 4)] * 2


def test_attempts_for_a_rejected_clock_become_rare() -> None:
    """Each attempt costs a fence, so the delay doubles: few terms in ten minutes. After a success the next error
    begins with the short delay again."""
    shared = SharedLog(2)
    shared.add_leader()
    shared.report(minutes(1)[0])
    _reject(shared, shared.names[0])
    shared.report(minutes(2)[0])
    epoch = shared.log.epoch

    shared.run(600, step_s=1)
    attempts = shared.log.epoch - epoch
    assert 8 <= attempts <= 15

    _accept(shared, shared.names[0])
    shared.run(61)
    assert times(shared, shared.names[0]) == minutes(1, 2)
    _reject(shared, shared.names[0])
    shared.report(minutes(3)[0])
    epoch = shared.log.epoch
    shared.run(4)
    assert shared.log.epoch - epoch >= 2


def test_a_rejected_clock_is_tried_after_the_others() -> None:
    """When its next attempt is due, the ticks of other clocks are committed and published first, in the same round."""
    shared = SharedLog(2)
    victim, other = shared.names
    shared.add_leader()
    shared.report(minutes(1)[0])
    _reject(shared, victim)
    shared.report(minutes(2)[0])
    epoch = shared.log.epoch
    shared.time.advance(1.0)
    assert shared.leaders["leader"].step() == 0.0  # prepares the clock; the next round tries its record
    shared.send(minutes(3)[0], [other])

    shared.leaders["leader"].step()

    assert times(shared, other) == minutes(1, 2, 3)
    assert hold(shared, victim) is Reason.TICKLOG_UNAVAILABLE
    shared.settle()
    assert shared.log.epoch == epoch + 1


def test_two_rejected_clocks_don_t_keep_each_other() -> None:
    """Records of both are rejected. One of them recovers while the other does not."""
    shared = SharedLog(3)
    shared.add_leader()
    shared.report(minutes(1)[0])
    first, second, healthy = shared.names
    shared.log.rejected_keys = {first.encode(), second.encode()}
    shared.report(minutes(2)[0])
    assert times(shared, healthy) == minutes(1, 2)

    shared.log.rejected_keys = {first.encode()}
    shared.run(61)

    assert times(shared, second) == minutes(1, 2)
    assert hold(shared, first) is Reason.TICKLOG_UNAVAILABLE
    assert times(shared, first) == minutes(1)


def test_clocks_of_one_rejected_batch_don_t_keep_each_other() -> None:
    """The brokers reject the whole batch because of one record, and name all of its clocks. Each is tried alone."""
    shared = SharedLog(3)
    shared.add_leader()
    shared.report(minutes(1)[0])
    bad, *others = shared.names
    shared.log.rejected_keys, shared.log.rejects_batches = {bad.encode()}, True
    shared.report(minutes(2)[0])
    shared.run(10)

    assert [times(shared, name) for name in others] == [minutes(1, 2)] * 2
    assert times(shared, bad) == minutes(1)
    assert hold(shared, bad) is Reason.TICKLOG_UNAVAILABLE


def test_many_clocks_are_prepared_in_several_rounds() -> None:
    """With a slow store, one round for all of them would take longer than the lease."""
    shared = SharedLog(3 * PREPARED_PER_ROUND)
    leader = shared.add_leader(settle=False)
    rosters = []
    for _ in range(12):
        leader.step()
        rosters.append(sum(bool(store.roster_topics()) for store in shared.stores.values()))

    assert sorted(set(rosters)) == [0, PREPARED_PER_ROUND, 2 * PREPARED_PER_ROUND, 3 * PREPARED_PER_ROUND]
    shared.report(minutes(1)[0])
    assert all(times(shared, name) == minutes(1) for name in shared.names)


def slow(monkeypatch: pytest.MonkeyPatch, shared: SharedLog, method: str, seconds: float) -> None:
    """From now on, a method of the stores takes this time."""
    original = getattr(MemoryStore, method)

    def call_slowly(store: MemoryStore, *arguments: Any) -> Any:
        shared.time.advance(seconds)
        return original(store, *arguments)

    monkeypatch.setattr(MemoryStore, method, call_slowly)


def test_a_leader_keeps_its_lease_while_it_writes_the_rosters_of_many_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their topics are recreated, and writing the rosters takes longer than a lease."""
    shared, observer = SharedLog(40), Observer()
    shared.add_leader(observer=observer)
    shared.report(minutes(1)[0])
    for name in shared.names:
        shared.topics.create(name, 2, TimestampType.LOG_APPEND_TIME)
    slow(monkeypatch, shared, "write_roster", 1.5 * LEASE_MS / 1000 / 40)
    shared.run(40)

    assert all(shared.stores[name].snapshot().unknown == 2 for name in shared.names)
    assert observer.leads == [True]


def test_a_slow_store_does_not_make_the_leader_of_many_clocks_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader would be stuck before it has prepared 20 clocks. The round ends earlier, and the next ones go on."""
    shared, observer = SharedLog(2 * PREPARED_PER_ROUND), Observer()
    slow(monkeypatch, shared, "claim", 1.5 * STUCK_TIMEOUT_S / PREPARED_PER_ROUND)
    shared.add_leader(observer=observer)
    shared.report(minutes(1)[0])

    assert all(times(shared, name) == minutes(1) for name in shared.names)
    assert observer.leads == [True]


def test_ticks_are_published_before_other_clocks_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has lost the first clock. Its preparation takes 2 s, and delays the second clock's tick by nothing."""
    shared, observer = SharedLog(2), Observer()
    lost, live = shared.names
    shared.add_leader(observer=observer)
    shared.report(minutes(1)[0])
    slow(monkeypatch, shared, "claim", 2.0)
    shared.store_server.content.clocks.pop(lost)
    shared.report(minutes(2)[0], [live])

    assert times(shared, live) == minutes(1, 2)
    assert observer.latencies[live][-1] == 0.0


def test_brokers_without_topic_ids_hold_only_clocks_that_need_them() -> None:
    """A clock whose configuration accepts topics without ids goes on beside one that does not."""
    shared = SharedLog(2)
    accepting, requiring = shared.names
    shared.specs[accepting] = replace(shared.specs[accepting], require_topic_ids=False)
    shared.add_leader()
    shared.report(minutes(1)[0])

    shared.topics.without_ids = True
    shared.report(minutes(2)[0])
    shared.report(minutes(2)[0])
    shared.run(2)

    assert hold(shared, requiring) is Reason.METADATA_UNAVAILABLE
    assert requiring in published_detail(shared.stores[requiring])
    assert times(shared, requiring) == minutes(1)
    shared.topics.without_ids = False
    shared.run(2)
    assert times(shared, requiring) == minutes(1, 2)


# -- who uses a log ---------------------------------------------------------------------------------------------------


def test_two_installations_on_one_log() -> None:
    """The second one holds and names both. It writes nothing, and never fences the first one."""
    first, second = clock_with_ticks(), FaultyClock(now="2026-11-22T12:30:00Z")
    second.log = first.log
    stranger = another_leader(second, "stranger", installation=Installation("other", "memory"))
    before, epoch = len(first.log.entries), first.log.epoch

    pass_time(second, 60.0, stranger)

    assert hold_of(second)[0] is Reason.STORE_MISMATCH
    assert "'memory'" in detail_of(second)
    assert "'other'" in detail_of(second)
    assert (len(first.log.entries), first.log.epoch) == (before, epoch)
    first.report(0, minutes(4)[0])
    assert logged_times(first.log, first.spec.name) == minutes(1, 2, 3, 4)


def test_a_log_that_another_installation_took_over_is_not_fenced_again() -> None:
    """The topic was recreated, and the other installation was first. This one, which has checked the log before, does
    not disturb it."""
    first, second = clock_with_ticks(), FaultyClock(now="2026-11-22T12:30:00Z")
    second.log = first.log
    stranger = another_leader(second, "stranger", installation=Installation("other", "memory"))
    first.log.recreate()
    pass_time(second, 4.0, stranger)
    assert phase_of(stranger) is Phase.LEADING
    first.report(0, minutes(4)[0])
    epochs = []

    for _ in range(8):
        pass_time(first, 5.0, first.leader)
        pass_time(second, 1.0, stranger)
        epochs.append(first.log.epoch)

    assert hold_of(first)[0] is Reason.STORE_MISMATCH
    assert len(set(epochs[2:])) == 1
    assert phase_of(stranger) is Phase.LEADING
