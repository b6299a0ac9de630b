"""The leader's thread: how it stops, and that an error does not end it."""

import threading
import time

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.leader.leader import MAX_GATHER_S, Phase
from clocksvc.leader.runner import LeaderThread
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.faulty.shared_log import LOG, SharedLog
from tests.unit.leader.clocks import clock_with_ticks, leases_of, minutes, pass_time, phase_of, times, transactions
from tests.waiting import eventually

pytestmark = pytest.mark.core


def started(clock: FaultyClock) -> LeaderThread:
    """A thread in which the clock's leader leads."""
    thread = LeaderThread(log_of(clock.spec.name), clock.leader, leases_of(clock))
    thread.start()
    eventually(lambda: phase_of(clock.leader) is Phase.LEADING, what="the leader to lead")
    return thread


def test_a_stopped_leader_releases_the_lease() -> None:
    """`join` waits for that, and another replica leads at its next steps."""
    clock = FaultyClock()
    thread = started(clock)
    successor = clock.new_leader("successor")

    thread.stop()
    assert thread.join(10)
    clock.settle(successor)

    assert successor.phase is Phase.LEADING


def test_stop_does_not_wait_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer does not delay the stop of the next log."""
    clock = FaultyClock()
    thread = started(clock)
    answers, answered = threading.Event(), threading.Event()

    def black_hole(_: MemoryLeases) -> None:
        answers.wait(20)
        answered.set()

    monkeypatch.setattr(MemoryLeases, "notify", black_hole)
    thread.stop()
    left = thread.join(10)
    unanswered = not answered.is_set()
    answers.set()

    assert left
    assert unanswered
    assert answered.wait(10)


def test_a_defect_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is logged with its traceback, and the leader starts again with the lease."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    read_round = MemoryLeases.read_round

    def fail_once(*_: object) -> object:
        monkeypatch.setattr(MemoryLeases, "read_round", read_round)
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryLeases, "read_round", fail_once)
    thread = LeaderThread(log_of(clock.spec.name), clock.leader, leases_of(clock))
    thread.start()
    eventually(lambda: "unexpected error, the thread continues" in caplog.messages, what="the defect to be logged")
    clock.time.advance(10)
    eventually(lambda: phase_of(clock.leader) is Phase.LEADING, what="the leader to lead again")
    thread.stop()

    assert thread.join(10)


def test_a_leader_that_starts_over_forgets_its_term_even_if_the_release_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The term is discarded before the lease is released, and later ticks come as usual."""
    clock = clock_with_ticks(2)

    def fail(_: MemoryLeases, token: str) -> None:
        raise ZeroDivisionError(token)

    with monkeypatch.context() as broken:
        broken.setattr(MemoryLeases, "release", fail)
        with pytest.raises(ZeroDivisionError):
            clock.leader.start_over()
    phase = phase_of(clock.leader)
    pass_time(clock, 8, clock.leader)
    clock.report(0, minutes(3)[0])

    assert phase is Phase.STANDBY
    assert times(clock) == minutes(1, 2, 3)


def test_clocks_that_are_due_together_share_rounds() -> None:
    """Forty clocks of a log reach the same boundary one after the other, within 40 ms. The first one ticks at once, and
    the others need few transactions."""
    shared = SharedLog(40)
    leader = shared.add_leader()
    shared.report(minutes(1)[0])
    thread = LeaderThread(LOG, leader, shared.store_server.leases(LOG))
    before = len(transactions(shared.log))
    shared.time.advance(60)
    thread.start()

    for name in shared.names:
        shared.send(minutes(2)[0], [name])
        time.sleep(0.001)
    eventually(lambda: sum(map(len, transactions(shared.log)[before:])) == 40, what="all ticks")
    thread.stop()

    assert thread.join(10)
    assert len(transactions(shared.log)) - before <= 8


def test_a_log_of_one_clock_waits_for_nothing() -> None:
    """Its next tick needs no other clock. With several clocks, a step after a step with ticks waits a little, and after
    a while it does not."""
    alone, shared = SharedLog(1), SharedLog(200)
    for one in (alone, shared):
        one.add_leader()
        one.report(minutes(1)[0])

    assert alone.leaders["leader"].gather_s() == 0
    assert shared.leaders["leader"].gather_s() == pytest.approx(MAX_GATHER_S)
    shared.time.advance(MAX_GATHER_S)
    assert shared.leaders["leader"].gather_s() == 0
