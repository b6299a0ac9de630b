"""A worker thread: it survives unexpected exceptions, ends promptly, and does not exist after a fork."""

import logging
import os
import threading
import time

import pytest

from clocksvc.runtime import backoff
from clocksvc.runtime.worker_thread import WorkerThread
from tests.waiting import eventually

pytestmark = pytest.mark.core

LOG = logging.getLogger("clocksvc.test")


class Body:
    """Counts its calls and raises in the first ones."""

    def __init__(self, failures: int = 0, wait_s: float | None = 0.001) -> None:
        self.calls = 0
        self._failures, self._wait_s = failures, wait_s

    def __call__(self) -> float | None:
        self.calls += 1
        if self.calls <= self._failures:
            raise ZeroDivisionError
        return self._wait_s


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an exception the thread continues within milliseconds."""
    monkeypatch.setattr("clocksvc.runtime.worker_thread.CRASH", backoff.BackoffPolicy(0.001, 0.002))


@pytest.mark.usefixtures("quick_retries")
def test_an_unexpected_exception_is_logged_and_counted_and_the_thread_continues(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log line carries the traceback, the thread's name and the given fields; `on_crash` runs each time."""
    body, resets = Body(failures=3), Body()
    thread = WorkerThread("work", body, log=LOG, extra={"clock": "c"}, on_crash=lambda: void(resets()))
    thread.start()

    eventually(lambda: body.calls > 5, what="calls after the exceptions")
    thread.stop()

    assert thread.join(10)
    assert (thread.crashes, resets.calls) == (3, 3)
    lines = [record for record in caplog.records if record.name == "clocksvc.test"]
    assert [line.getMessage() for line in lines] == ["unexpected error, the thread continues"] * 3
    assert all(line.exc_info is not None and line.exc_info[0] is ZeroDivisionError for line in lines)
    assert [(vars(line)["worker"], vars(line)["clock"], vars(line)["crashes"]) for line in lines] == [
        ("work", "c", 1),
        ("work", "c", 2),
        ("work", "c", 3),
    ]


@pytest.mark.usefixtures("quick_retries")
def test_exceptions_while_it_resets_or_ends_are_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    """They end nothing either."""
    body = Body(failures=1)
    thread = WorkerThread(
        "work", body, log=LOG, on_crash=lambda: void(Body(1)()), finish=lambda: void(Body(failures=1)())
    )
    thread.start()

    eventually(lambda: body.calls > 2, what="calls after the exceptions")
    thread.stop()

    assert thread.join(10)
    assert thread.crashes == 3
    assert caplog.messages.count("unexpected error while the thread was reset or ended") == 2


def test_exceptions_in_a_row_are_retried_less_and_less_often() -> None:
    """The back-off begins at one second and is ended by `stop` alone, not by `wake`."""
    wake, body = threading.Event(), Body(failures=100)
    thread = WorkerThread("work", body, log=LOG, wake=wake)
    thread.start()
    eventually(lambda: thread.crashes == 1, what="the first exception")
    wake.set()
    time.sleep(0.1)
    calls = body.calls
    began = time.monotonic()
    thread.stop()

    assert calls == 1
    assert thread.join(10)
    assert time.monotonic() - began < 0.4


def test_stop_ends_a_long_wait_at_once_and_finish_runs_in_the_thread() -> None:
    """`finish` is the last thing that the thread does."""
    names: list[str] = []
    body = Body(wait_s=1e9)
    thread = WorkerThread("work", body, log=LOG, finish=lambda: names.append(threading.current_thread().name))
    thread.start()
    eventually(lambda: body.calls == 1, what="the first call")
    began = time.monotonic()
    thread.stop()

    assert thread.join(10)
    assert time.monotonic() - began < 5
    assert names == ["work"]


def test_wake_ends_a_wait_early() -> None:
    """The next call comes at once."""
    wake, body = threading.Event(), Body(wait_s=60)
    thread = WorkerThread("work", body, log=LOG, wake=wake)
    thread.start()
    eventually(lambda: body.calls == 1, what="the first call")
    wake.set()
    eventually(lambda: body.calls == 2, what="the second call")
    thread.stop()

    assert thread.join(10)


def test_a_body_that_returns_none_ends_the_thread() -> None:
    """Its work is done."""
    body = Body(wait_s=None)
    thread = WorkerThread("work", body, log=LOG)
    thread.start()

    assert thread.join(10)
    assert body.calls == 1


def test_join_has_a_deadline() -> None:
    """A body that blocks makes `join` return False; a thread that was never started has ended."""
    called, released = threading.Event(), threading.Event()

    def block() -> float:
        called.set()
        released.wait(20)
        return 0.0

    thread = WorkerThread("work", block, log=LOG)

    assert thread.join(0)

    thread.start()
    assert called.wait(10)
    thread.stop()
    joined = thread.join(0.05)
    released.set()

    assert not joined
    assert thread.join(10)


def test_a_child_process_has_no_running_thread() -> None:
    """After a fork `join` returns at once, and a new thread runs as in any process."""
    thread = WorkerThread("work", Body(wait_s=60), log=LOG)
    thread.start()
    child = os.fork()
    if child == 0:
        new = WorkerThread("work", Body(wait_s=None), log=LOG)
        new.start()
        os._exit(0 if thread.join(0) and new.join(10) else 1)
    _, status = os.waitpid(child, 0)
    thread.stop()

    assert status == 0
    assert thread.join(10)


def void(_: object) -> None:
    """For callbacks whose value nothing uses."""
