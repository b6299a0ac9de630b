"""Which store may lead a log: installations with equal prefixes and tick logs never take each other's ticks, and an
emptied store leads its own log again."""

import json

import pytest
from jsonschema import Draft202012Validator

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_owner import ADOPT, Installation, StoreMark
from clocksvc.clock.logs import log_of
from clocksvc.errors import StoreUnavailable
from clocksvc.leader.leader import Leader, Phase
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.repository import ROOT
from tests.unit.leader.clocks import (
    INSTALLATION,
    another_leader,
    clock_with_ticks,
    detail_of,
    hold_of,
    leases_of,
    logged,
    minutes,
    pass_time,
    phase_of,
    times,
)

pytestmark = pytest.mark.core

_RECORDS = json.loads((ROOT / "docs" / "tick-log-record.schema.json").read_text(encoding="utf-8"))
SCHEMA = Draft202012Validator({"$ref": "#/$defs/installation", "$defs": _RECORDS["$defs"]})
ELSEWHERE = Installation(INSTALLATION.prefix, "elsewhere:6379")


def second_installation(first: FaultyClock, installation: Installation = ELSEWHERE) -> tuple[FaultyClock, Leader]:
    """An installation with an empty store of its own, and the same tick log; its clock has the same name."""
    second = FaultyClock(now="2026-11-22T12:30:00Z")
    second.log = first.log
    return second, another_leader(second, "stranger:2", installation=installation)


def owner(clock: FaultyClock) -> tuple[str, str]:
    """The address and the id of the store in the newest record of the log that names them."""
    body = [
        json.loads(one.message.value or b"") for one in clock.log.committed() if one.message.type == "installation"
    ][-1]
    SCHEMA.validate(body)
    return body["store"], body["store_id"]


def mark(clock: FaultyClock) -> StoreMark | None:
    """The mark in the clock's store."""
    return leases_of(clock).read_mark()


def goes_on(clock: FaultyClock, minute: int) -> bool:
    """True if the clock ticks again: consumers report, and log and store have all ticks up to a minute."""
    clock.report(0, minutes(minute)[0])
    pass_time(clock, 5, clock.leader)
    clock.report(0, minutes(minute)[0])
    return times(clock) == logged(clock) == minutes(*range(1, minute + 1))


def test_the_log_names_the_store_that_leads_it() -> None:
    """With the id with which this store is marked."""
    clock = clock_with_ticks()
    found = mark(clock)

    assert found is not None
    assert owner(clock) == (INSTALLATION.store, found.store_id)


def test_an_equal_prefix_with_another_store_holds() -> None:
    """The second installation names both addresses and what to do. It takes no tick for its own, writes nothing, and
    never fences the first one."""
    first = clock_with_ticks()
    second, stranger = second_installation(first)
    before, epoch = len(first.log.entries), first.log.epoch

    pass_time(second, 60, stranger)

    assert hold_of(second)[0] is Reason.STORE_MISMATCH
    assert all(words in detail_of(second) for words in (ELSEWHERE.store, INSTALLATION.store, ADOPT, "tick_log.topic"))
    assert "has no mark of log" in detail_of(second)
    assert (times(second), mark(second)) == ([], None)
    assert (len(first.log.entries), first.log.epoch) == (before, epoch)
    first.report(0, minutes(4)[0])
    assert times(first) == minutes(1, 2, 3, 4)


def test_the_check_is_repeated_after_the_fence() -> None:
    """Both found the log empty, and the other one was first."""
    first = FaultyClock(now="2026-11-22T12:30:00Z")
    second, stranger = second_installation(first)

    def lead_first(step: str) -> None:
        if step == "fence":
            first.log.at = lambda _: None
            first.report(0, minutes(1)[0])

    second.log.at = lead_first
    pass_time(second, 4, stranger)

    assert owner(first)[0] == INSTALLATION.store
    assert times(first) == minutes(1)
    assert (hold_of(second)[0], times(second)) == (Reason.STORE_MISMATCH, [])


@pytest.mark.parametrize("remembers", [False, True])
def test_an_emptied_store_leads_its_log_again(remembers: bool) -> None:
    """FLUSHALL, also while all replicas are down, needs no operator: the address is the one in the log. A new process
    marks the store with a new id; one that has seen the old one uses it again."""
    clock = clock_with_ticks()
    store, before = owner(clock)
    if not remembers:
        clock.leader.leave()
        clock.leader = clock.new_leader("restarted")
    clock.store_server.wipe()
    pass_time(clock, 5, clock.leader)

    assert goes_on(clock, 4)
    assert owner(clock)[0] == store
    assert mark(clock) == StoreMark(owner(clock)[1])
    assert (owner(clock)[1] == before) is remembers


def test_a_standby_remembers_the_mark() -> None:
    """The leader dies, and the store is emptied. The standby has another address in its configuration, and goes on."""
    clock = clock_with_ticks()
    standby = another_leader(clock, "standby:2", installation=Installation(INSTALLATION.prefix, "alias:6379"))
    pass_time(clock, 1, standby, clock.leader)

    clock.store_server.wipe()
    pass_time(clock, 5, standby)
    clock.leader = standby

    assert goes_on(clock, 4)
    assert owner(clock)[0] == "alias:6379"


def test_a_store_that_moved_with_its_data_goes_on() -> None:
    """Its mark is the one in the log, which gets the new address and, because it could be a copy, a new id."""
    clock = clock_with_ticks()
    before = owner(clock)
    clock.leader.leave()
    clock.leader = another_leader(clock, "moved:2", installation=ELSEWHERE)
    pass_time(clock, 1, clock.leader)

    assert goes_on(clock, 4)
    assert owner(clock)[0] == ELSEWHERE.store
    assert owner(clock)[1] != before[1]
    assert mark(clock) == StoreMark(owner(clock)[1])


def test_a_store_that_moved_goes_on_after_a_crash_before_the_first_round() -> None:
    """The new id is in the log, and no round has marked the store. The mark was written before the commit."""
    clock = clock_with_ticks()
    clock.leader.leave()
    leases = OnceMarkedLeases(clock.store_server.access, log_of(clock.spec.name))
    pass_time(clock, 2, another_leader(clock, "moved:2", installation=ELSEWHERE, leases=leases))
    assert owner(clock)[0] == ELSEWHERE.store
    assert mark(clock) != StoreMark(owner(clock)[1])

    clock.leader = another_leader(clock, "moved:3", installation=ELSEWHERE)
    pass_time(clock, 12, clock.leader)

    assert goes_on(clock, 4)


def test_the_ticks_of_a_copy_of_the_store_are_not_shown() -> None:
    """Another environment's Redis is a copy of this one, with its mark. It leads the log, and this installation holds:
    the ticks of the other one's consumers are not true here."""
    first = clock_with_ticks()
    second = FaultyClock(now="2026-11-22T12:30:00Z")
    second.log, second.topics = first.log, first.topics
    second.store_server.restore(first.store_server.copy_state())
    second.leader = another_leader(second, "copy:2", installation=ELSEWHERE)
    pass_time(second, 20, second.leader)
    assert goes_on(second, 6)

    first.report(0, minutes(4)[0])
    pass_time(first, 12, first.leader)

    assert (hold_of(first)[0], times(first)) == (Reason.STORE_MISMATCH, minutes(1, 2, 3))


def test_a_store_that_was_replaced_by_an_empty_one_waits_for_the_operator() -> None:
    """A new process holds. `clocksvc init --adopt-tick-log` marks the store, then the clock goes on without a restart,
    and a leader with the old store, if one runs after all, holds."""
    clock = clock_with_ticks()
    old, replaced = clock, FaultyClock(now="2026-11-22T12:30:00Z")
    replaced.log = clock.log
    replaced.leader = another_leader(replaced, "new:2", installation=ELSEWHERE)
    pass_time(replaced, 20, replaced.leader)
    assert hold_of(replaced)[0] is Reason.STORE_MISMATCH

    assert leases_of(replaced).adopt(StoreMark("b2", adopts=owner(clock)[1]))
    pass_time(replaced, 12, replaced.leader)

    assert goes_on(replaced, 4)
    assert (owner(replaced), mark(replaced)) == ((ELSEWHERE.store, "b2"), StoreMark("b2"))
    old.report(0, minutes(5)[0])
    pass_time(old, 30, old.leader)
    assert (hold_of(old)[0], times(old)) == (Reason.STORE_MISMATCH, minutes(1, 2, 3))


def test_the_first_of_two_stores_with_the_same_address_holds() -> None:
    """As in two networks. The second, empty one can't be told from an emptied one, and leads the log. The first one's
    leader, its standby and a restarted process find its id in the log, hold, and show none of its ticks."""
    first = clock_with_ticks()
    standby = another_leader(first, "standby:2")
    pass_time(first, 1, standby, first.leader)
    second, stranger = second_installation(first, INSTALLATION)
    second.leader = stranger
    pass_time(second, 4, stranger)
    assert goes_on(second, 5)

    first.report(0, minutes(4)[0])
    epochs = []
    for _ in range(30):
        pass_time(first, 2, first.leader, standby)
        pass_time(second, 2, stranger)
        epochs.append(first.log.epoch)

    assert (hold_of(first)[0], times(first)) == (Reason.STORE_MISMATCH, minutes(1, 2, 3))
    assert "another Redis of the same address" in detail_of(first)
    assert len(set(epochs)) == 1
    assert goes_on(second, 6)
    restarted = another_leader(first, "restarted:3")
    first.leader.leave()
    standby.leave()
    pass_time(first, 10, restarted)
    assert (hold_of(first)[0], times(first)) == (Reason.STORE_MISMATCH, minutes(1, 2, 3))
    assert phase_of(restarted) is not Phase.LEADING


def test_a_store_that_went_back_to_before_it_was_emptied_holds_for_a_new_process() -> None:
    """A process that has seen the newer mark goes on. A new one can't know that it is the same store, and holds until
    the store is emptied once more."""
    clock = clock_with_ticks()
    old = clock.store_server.copy_state()
    clock.leader.leave()
    clock.store_server.wipe()
    clock.leader = clock.new_leader("second")
    pass_time(clock, 5, clock.leader)
    assert goes_on(clock, 4)

    clock.store_server.restore(old)
    pass_time(clock, 8, clock.leader)
    assert goes_on(clock, 5)
    clock.leader.leave()
    clock.store_server.restore(old)
    clock.leader = clock.new_leader("third")
    pass_time(clock, 10, clock.leader)
    assert hold_of(clock)[0] is Reason.STORE_MISMATCH
    assert phase_of(clock.leader) is not Phase.LEADING

    clock.store_server.wipe()
    pass_time(clock, 12, clock.leader)
    assert goes_on(clock, 6)


def test_a_lost_mark_is_written_again() -> None:
    """By the next round, as any other key that Redis has evicted."""
    clock = clock_with_ticks()
    before = mark(clock)
    (log,) = clock.store_server.content.logs.values()
    log.mark = None

    pass_time(clock, 2, clock.leader)

    assert mark(clock) == before is not None


class OnceMarkedLeases(MemoryLeases):
    """Only the first mark is written."""

    marked = False

    def write_mark(self, token: str, mark: StoreMark) -> None:
        if self.marked:
            raise StoreUnavailable("the process ends here")
        self.marked = True
        super().write_mark(token, mark)


class UnmarkedLeases(MemoryLeases):
    """Leases of a store that fails when it is marked."""

    def write_mark(self, token: str, mark: StoreMark) -> None:
        raise StoreUnavailable


def test_nothing_of_the_log_is_in_a_store_without_its_mark() -> None:
    """A leader that dies after it marked the store and before it filled it leaves no ticks without an owner."""
    clock = clock_with_ticks()
    clock.leader.leave()
    clock.store_server.wipe()
    leases = UnmarkedLeases(clock.store_server.access, log_of(clock.spec.name))

    pass_time(clock, 5, another_leader(clock, "second:2", leases=leases))

    assert not clock.store.bounds().written
    assert clock.store.snapshot().parameters is None
