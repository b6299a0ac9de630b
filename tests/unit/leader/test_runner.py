"""The leader's thread: how it stops, and that an error does not end it."""

import threading

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.leader.leader import Phase
from clocksvc.leader.runner import LeaderThread
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, leases_of, minutes, pass_time, phase_of, times
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
