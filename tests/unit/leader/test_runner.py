"""The thread in which a leader steps: how it ends, and that trouble does not end it."""

import threading

import pytest

from clocksvc.leader.leader import Phase
from clocksvc.leader.runner import LeaderThread
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.unit.leader.looks import (
    a_clock_with_ticks,
    minutes,
    pass_time,
    phase_of,
    times,
)
from tests.waiting import eventually

pytestmark = pytest.mark.core


def started(clock: FaultyClock) -> LeaderThread:
    """The clock's leader, leading in a thread."""
    thread = LeaderThread("clock", clock.leader, clock.store)
    thread.start()
    eventually(lambda: phase_of(clock.leader) is Phase.LEADING, what="the leader to lead")
    return thread


def test_a_leader_that_is_told_to_stop_gives_the_lease_up() -> None:
    """`join` says so, and another replica leads at its next steps."""
    clock = FaultyClock()
    thread = started(clock)
    successor = clock.new_leader("successor")

    thread.stop()
    assert thread.join(10)
    clock.settle(successor)

    assert successor.phase is Phase.LEADING


def test_stopping_waits_for_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer does not keep the next clock from being told."""
    clock = FaultyClock()
    thread = started(clock)
    answers, answered = threading.Event(), threading.Event()

    def black_hole(_: FaultyStore) -> None:
        answers.wait(20)
        answered.set()

    monkeypatch.setattr(FaultyStore, "notify", black_hole)
    thread.stop()
    left = thread.join(10)
    unanswered = not answered.is_set()
    answers.set()

    assert left
    assert unanswered
    assert answered.wait(10)


def test_a_defect_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw is logged with its traceback, and the leader begins anew, with the lease."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    read_progress = clock.store.read_progress

    def fail_once(token: str, ttl_ms: int) -> object:
        monkeypatch.setattr(clock.store, "read_progress", read_progress)
        raise ZeroDivisionError

    monkeypatch.setattr(clock.store, "read_progress", fail_once)
    thread = LeaderThread("clock", clock.leader, clock.store)
    thread.start()
    eventually(lambda: "unexpected error, the thread continues" in caplog.messages, what="the defect to be logged")
    clock.time.advance(10)
    eventually(lambda: phase_of(clock.leader) is Phase.LEADING, what="the leader to lead again")
    thread.stop()

    assert thread.join(10)


def test_a_leader_that_starts_over_has_nothing_in_hand_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the lease can be given up: what was known of the term is gone first, and later ticks come as ever."""
    clock = a_clock_with_ticks(2)

    def fail(token: str) -> None:
        raise ZeroDivisionError(token)

    with monkeypatch.context() as broken:
        broken.setattr(clock.store, "release_lease", fail)
        with pytest.raises(ZeroDivisionError):
            clock.leader.start_over()
    phase = phase_of(clock.leader)
    pass_time(clock, 8, clock.leader)
    clock.report(0, minutes(3)[0])

    assert phase is Phase.STANDBY
    assert times(clock) == minutes(1, 2, 3)
