"""The thread of a partition runs its steps, closes it at the end, and shows what is wrong with them."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats
from clocksvc.scheduler.partition_thread import STALLED_AFTER_S, PartitionThread
from clocksvc.testing import ManualTime
from tests.waiting import eventually

pytestmark = pytest.mark.core


class Stepped:
    """A partition whose steps a test controls.

    Attributes:
        gate: a step waits until it is set.
        error: what steps raise.
        calls: the names of the methods that were called, but `step`.
    """

    number = 3

    def __init__(self) -> None:
        self.wake, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.state = PartitionState.LOADED
        self.stats = PartitionStats(self.state)
        self.error: Exception | None = None
        self.steps = 0
        self.calls: list[str] = []
        self.threads: set[str] = set()

    def step(self) -> float:
        self.gate.wait()
        self.steps += 1
        self.threads.add(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        return 60.0

    def acquire(self) -> None:
        self.calls.append("acquire")

    def release(self) -> None:
        self.calls.append("release")

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.calls.append("close")


@pytest.fixture
def stepped() -> Stepped:
    """The partition."""
    return Stepped()


@pytest.fixture
def time() -> ManualTime:
    """The time of the thread."""
    return ManualTime()


@pytest.fixture
def thread(stepped: Stepped, time: ManualTime) -> Iterator[PartitionThread]:
    """The thread of that partition."""
    made = PartitionThread(cast(SchedulePartition, stepped), "checkins", time)
    yield made
    stepped.gate.set()
    made.close()
    eventually(lambda: made.closed, what="the thread to end")


def test_steps_are_done_when_the_partition_is_woken(stepped: Stepped, thread: PartitionThread) -> None:
    """Before the time that the last step returned."""
    eventually(lambda: stepped.steps == 1, what="the first step")
    stepped.wake.set()

    eventually(lambda: stepped.steps == 2, what="the second step")
    assert (thread.state, thread.stats) == (stepped.state, stepped.stats)


def test_the_partition_is_closed_by_its_thread(stepped: Stepped, thread: PartitionThread) -> None:
    """After the present step. Until then the thread is not closed."""
    stepped.gate.clear()
    stepped.wake.set()
    thread.close()
    assert not thread.closed
    stepped.gate.set()

    eventually(lambda: thread.closed, what="the thread to end")
    assert stepped.calls == ["close"]
    assert stepped.threads == {"clocksvc-schedules-checkins-3"}


def test_a_step_that_takes_too_long_is_a_problem(stepped: Stepped, thread: PartitionThread, time: ManualTime) -> None:
    """Only while it lasts. A problem that the partition has itself is shown instead."""
    eventually(lambda: stepped.steps == 1, what="the first step")
    stepped.gate.clear()
    stepped.wake.set()
    eventually(lambda: not stepped.wake.is_set(), what="the second step to begin")
    time.advance(STALLED_AFTER_S - 1)
    assert thread.stats.problem is None
    time.advance(1)
    eventually(lambda: thread.stats.problem == "a step has not ended for 20 s", what="the problem")
    stepped.stats = replace(stepped.stats, problem="Kafka does not answer")
    assert thread.stats.problem == "Kafka does not answer"
    stepped.stats = replace(stepped.stats, problem=None)
    stepped.gate.set()

    eventually(lambda: thread.stats.problem is None, what="the step to end")


def test_an_unexpected_error_makes_the_partition_a_standby(stepped: Stepped, thread: PartitionThread) -> None:
    """It is a problem until a step succeeds, and the thread continues."""
    eventually(lambda: stepped.steps == 1, what="the first step")
    stepped.error = RuntimeError("a defect")
    stepped.wake.set()
    eventually(lambda: stepped.calls == ["release"], what="the release")
    assert "unexpected" in (thread.stats.problem or "")
    stepped.error = None

    eventually(lambda: thread.stats.problem is None, what="the next step")


def test_requests_are_passed_on(stepped: Stepped, thread: PartitionThread) -> None:
    """The partition does not block."""
    thread.acquire()
    thread.release()

    assert stepped.calls == ["acquire", "release"]
