"""The process that observes committed offsets: its life, and what it exchanges with its parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.committed.stats import ObserverStats
from clocksvc.interfaces.time import SystemTime
from clocksvc.runtime.backoff import BackoffPolicy
from clocksvc.service import observer_process
from clocksvc.service.observer_child import Assignment, observe
from clocksvc.service.observer_process import STUCK_S, ObserverProcess
from clocksvc.settings import Settings, settings_from
from clocksvc.testing import ManualTime
from tests.process import runs
from tests.waiting import eventually

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the child more often, and start another one at once."""
    monkeypatch.setattr(observer_process, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(observer_process, "CHILD", BackoffPolicy(0.01, 0.01))


def settings() -> Settings:
    """One clock that follows committed offsets. No server answers at these addresses."""
    return settings_from(
        {
            "redis": {"url": "redis://127.0.0.1:1/0"},
            "kafka": {"bootstrap.servers": "127.0.0.1:1"},
            "clocks": {"handled": {"topics": ["handled"], "group": "warehouse", "source": "committed"}},
        }
    )


class FakeChild:
    """A child that runs until a test ends it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        ours, self.theirs = Pipe()
        self.connection = ours

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("child", timeout or 0.0)
        return self.code

    def kill(self) -> None:
        self.code = -signal.SIGKILL

    def received(self) -> list[object]:
        """The messages that it has received since the last call."""
        found: list[object] = []
        while self.theirs.poll():
            found.append(self.theirs.recv())
        return found


class Children:
    """Children that a test controls."""

    def __init__(self) -> None:
        self.started: list[FakeChild] = []

    def start(self) -> tuple[FakeChild, Connection]:
        child = FakeChild(len(self.started) + 1)
        self.started.append(child)
        return child, child.connection

    def number(self, count: int) -> FakeChild:
        """The child with this number, once it was started."""
        return eventually(lambda: self.started[count - 1], what=f"child {count}")


@contextmanager
def running(process: ObserverProcess) -> Iterator[ObserverProcess]:
    process.start()
    try:
        yield process
    finally:
        process.stop()
        assert process.join(10)


def test_the_child_has_the_settings_and_the_logs_of_this_process() -> None:
    """The logs again after each change, and only then."""
    children = Children()
    with running(ObserverProcess(settings(), SystemTime(), children.start)) as process:
        child, got = children.number(1), list[object]()

        def logs() -> list[object]:
            got.extend(child.received())
            return got[1:]

        eventually(lambda: logs() == [frozenset()], what="the first logs")
        process.leading(3, True)
        process.leading(5, True)
        eventually(lambda: logs() and logs()[-1] == {3, 5}, what="two logs")
        process.leading(3, False)
        eventually(lambda: logs()[-1] == {5}, what="one log")

    assert got[0].settings == settings()  # type: ignore[attr-defined]
    assert len(got) <= 5


def test_the_statistics_are_those_of_all_children() -> None:
    """A child begins with 0, and the totals never go back."""
    children = Children()
    with running(ObserverProcess(settings(), SystemTime(), children.start)) as process:
        first = children.number(1)
        first.theirs.send(ObserverStats(polls=5, poll_seconds=1.5, requests={"ends": 10}, record_reads=2))
        eventually(lambda: process.stats().polls == 5, what="the first statistics")
        first.code = -signal.SIGABRT
        second = children.number(2)
        between = process.stats()
        second.theirs.send(ObserverStats(polls=1, poll_seconds=0.5, requests={"ends": 2, "committed": 1}, failures=1))
        eventually(lambda: process.stats().polls == 6, what="the second statistics")
        total = process.stats()

    assert between == ObserverStats(5, 1.5, {"ends": 10}, record_reads=2, restarts=1)
    assert total == ObserverStats(6, 2.0, {"committed": 1, "ends": 12}, record_reads=2, failures=1, restarts=1)


def test_another_child_gets_the_logs_again() -> None:
    """Also when the connection breaks before the end of the process is seen."""
    children = Children()
    with running(ObserverProcess(settings(), SystemTime(), children.start)) as process:
        process.leading(7, True)
        first = children.number(1)
        first.code = -signal.SIGKILL
        first.theirs.close()
        second, got = children.number(2), list[object]()

        def last() -> object:
            got.extend(second.received())
            return got[-1]

        eventually(lambda: last() == {7}, what="the logs")


def test_a_child_that_does_not_work_is_killed() -> None:
    """It runs, but has sent nothing for a minute: for example a call of librdkafka never returns."""
    children, time = Children(), ManualTime()
    with running(ObserverProcess(settings(), time, children.start)) as process:
        child = children.number(1)
        time.advance(STUCK_S - 1)
        child.theirs.send(ObserverStats(polls=1))
        eventually(lambda: process.stats().polls == 1, what="a message in time")
        time.advance(STUCK_S)
        assert child.code is None
        time.advance(1)
        children.number(2)

    assert child.code == -signal.SIGKILL
    assert process.stats().restarts == 1


def test_a_process_that_can_t_be_started_is_tried_again() -> None:
    """The system may have no memory for it. Nothing else is affected."""
    children, failures = Children(), [OSError("no memory"), OSError("no memory")]

    def start() -> tuple[FakeChild, Connection]:
        if failures:
            raise failures.pop()
        return children.start()

    with running(ObserverProcess(settings(), SystemTime(), start)) as process:
        eventually(lambda: process.pid == 1, what="the child")


class Observed:
    """An observer that notes what it polls."""

    def __init__(self) -> None:
        self.polled: list[list[str]] = []
        self.stats = ObserverStats()

    def poll(self, clocks: Collection[str]) -> None:
        self.polled.append(sorted(clocks))
        self.stats = ObserverStats(polls=len(self.polled))


def test_only_clocks_of_the_logs_of_this_process_are_polled() -> None:
    """A change counts at once. The statistics follow each poll."""
    names = ("a", "b", "c")
    observer, assignment, sent = Observed(), Assignment(), list[ObserverStats]()

    def send(stats: ObserverStats) -> None:
        sent.append(stats)
        if len(sent) == 4:
            raise BrokenPipeError

    def loop() -> None:
        with pytest.raises(BrokenPipeError):
            observe(observer, {name: log_of(name) for name in names}, assignment, send, SystemTime())

    thread = threading.Thread(target=loop)
    thread.start()
    for number, logs in enumerate((["a", "b", "c"], ["b"], [], ["c"]), start=1):
        assignment.set(frozenset(map(log_of, logs)))
        eventually(lambda number=number: len(sent) >= number, what="a poll")  # type: ignore[misc]
    thread.join(10)

    assert observer.polled == [["a", "b", "c"], ["b"], [], ["c"]]
    assert [one.polls for one in sent] == [1, 2, 3, 4]


# -- a real child ------------------------------------------------------------------------------------------------------


def pid_of(process: ObserverProcess) -> int:
    """The process id of the running child."""
    assert process.pid is not None
    return process.pid


def test_a_killed_child_is_started_again() -> None:
    """It works although no server answers: it sends statistics. It ends within a second, even if it hangs."""
    with running(ObserverProcess(settings(), SystemTime())) as process:
        process.leading(log_of("handled"), True)
        eventually(lambda: process.stats().polls > 0, within=30, what="a poll")
        first = pid_of(process)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: process.pid not in (None, first), within=30, what="another child")
        second = pid_of(process)
        assert process.stats().restarts == 1
        os.kill(second, signal.SIGSTOP)
        before = SystemTime().monotonic()
        process.stop()
        assert process.join(10)
        took_s = SystemTime().monotonic() - before

    assert not runs(first)
    assert not runs(second)
    assert took_s < 1.0


_PARENT = """
import sys, time
from clocksvc.clock.logs import log_of
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.observer_process import ObserverProcess
from tests.unit.service.test_observer_process import settings
process = ObserverProcess(settings(), SystemTime())
process.leading(log_of("handled"), True)
process.start()
while not process.stats().polls:
    time.sleep(0.01)
print(process.pid, flush=True)
sys.stdin.read()
"""


def test_the_child_ends_with_its_parent() -> None:
    """Even if nothing can tell it: the parent is killed."""
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert runs(child)
        parent.kill()
        eventually(lambda: not runs(child), within=5, what="the end of the child")
