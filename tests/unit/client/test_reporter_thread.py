"""A reporter with its own thread: many threads, flush and close, forks, and the end of the process."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.errors import ReporterMisuse, StoreUnavailable
from clocksvc.testing import ManualTime
from tests.http_stub import Asked, HttpStub, Reply
from tests.unit.client.report_desk import (
    NOW_MS,
    TOPIC,
    Assigned,
    Desk,
)
from tests.waiting import eventually

pytestmark = pytest.mark.core


def reporter_at(desk: Desk) -> Reporter:
    """One that runs by itself. Its wall time stands still at NOW_MS; waiting is real."""
    return Reporter("memory://", "checkins", group="workers", topic=TOPIC, sink=desk, time=_StandingTime())


class _StandingTime(ManualTime):
    def monotonic(self) -> float:
        return time.monotonic()


def test_it_sends_by_itself() -> None:
    """Nothing but observing is needed."""
    desk = Desk()
    with reporter_at(desk) as reporter:
        reporter.observe(0, NOW_MS)

        eventually(lambda: desk.last() == {0: NOW_MS})


def test_a_store_that_hangs_blocks_no_consumer() -> None:
    """Records go on being observed while a report gets no answer; the newest number goes out afterwards."""
    desk = Desk()
    with reporter_at(desk) as reporter:
        desk.hold()
        for millisecond in range(60_000):
            reporter.observe(millisecond % 8, NOW_MS - 60_000 + millisecond)
        reporter.on_lost(None, [Assigned(7)])

        assert not reporter.flush(0.05)

        desk.release()

        assert reporter.flush(10)
        assert desk.last() == {partition: NOW_MS - 8 + partition for partition in range(7)}


def test_a_system_without_threads_breaks_no_consumer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next call that needs the thread tries again."""
    desk = Desk()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with reporter_at(desk) as reporter:
        with monkeypatch.context() as exhausted:
            exhausted.setattr(threading.Thread, "start", fail)
            reporter.observe(0, NOW_MS)
        assert caplog.messages == ["reports can't be sent: can't start new thread"]

        assert reporter.flush(10)
        assert desk.last() == {0: NOW_MS}


def test_flush_covers_what_all_threads_observed_before_it() -> None:
    """The highest number of each partition has been answered when it returns, whichever thread brought it."""
    desk = Desk()
    with reporter_at(desk) as reporter:

        def observe(thread: int) -> None:
            for millisecond in range(thread, 40_000, 4):
                reporter.observe(millisecond % 3, NOW_MS - 40_000 + millisecond)

        threads = [threading.Thread(target=observe, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert reporter.flush(10)
        assert desk.last() == {0: NOW_MS - 1, 1: NOW_MS - 3, 2: NOW_MS - 2}


def test_flush_is_satisfied_with_any_answer() -> None:
    """Also with a refusal, and with a partition that is not known yet."""
    for outcome in Outcome:
        desk = Desk()
        desk.outcome = _always(outcome)
        with reporter_at(desk) as reporter:
            reporter.observe(0, NOW_MS)

            assert reporter.flush(10)


def test_flush_goes_on_through_trouble() -> None:
    """It is over once the store is back."""
    desk = Desk()
    desk.trouble = StoreUnavailable()
    with reporter_at(desk) as reporter:
        reporter.observe(0, NOW_MS)

        def mend() -> None:
            eventually(lambda: len(desk.reports) > 2)
            desk.trouble = None

        threading.Thread(target=mend).start()

        assert reporter.flush(10)


def test_flush_says_when_the_time_was_up() -> None:
    """False for a clock that no leader has begun, and with nothing to tell True at once."""
    desk = Desk(bounds=None)
    with reporter_at(desk) as reporter:
        assert reporter.flush(10)

        reporter.observe(0, NOW_MS)

        assert not reporter.flush(0.05)

        desk.bounds = Desk().bounds

        assert reporter.flush(10)


def test_close_tells_the_last_number_and_ends_all() -> None:
    """The thread is gone and the sink closed; a second call does nothing; observing is an error from then on."""
    desk = Desk()
    reporter = reporter_at(desk)
    reporter.observe(0, NOW_MS)
    reporter.observe(0, NOW_MS + 1)

    assert reporter.close()
    assert reporter.close()
    assert desk.last() == {0: NOW_MS + 1}
    assert desk.closed
    with pytest.raises(ReporterMisuse, match="closed"):
        reporter.observe(0, NOW_MS + 2)
    with pytest.raises(ReporterMisuse, match="closed"):
        reporter.flush()


def test_a_rebalance_after_close_is_no_error() -> None:
    """A consumer that is closed behind its reporter still revokes."""
    reporter = reporter_at(Desk())
    reporter.close()
    reporter.on_revoke(None, [Assigned(0)])
    reporter.on_lost(None, [Assigned(0)])
    reporter.on_assign(None, [Assigned(0)])


def test_close_keeps_its_deadline() -> None:
    """Whatever the store does; and says that not all was answered."""
    desk = Desk()
    reporter = reporter_at(desk)
    desk.hold()
    reporter.observe(0, NOW_MS)

    assert not reporter.close(0.1)

    desk.release()
    eventually(lambda: desk.closed)


def test_a_reporter_that_nobody_holds_is_gone_with_its_thread() -> None:
    """What it had not sent yet is tried once more."""
    desk = Desk()
    reporter = reporter_at(desk)
    reporter.observe(0, NOW_MS)
    eventually(lambda: desk.last() == {0: NOW_MS})
    reporter.observe(0, NOW_MS + 1)
    gone = weakref.ref(reporter)
    del reporter
    gc.collect()

    assert gone() is None
    eventually(lambda: desk.closed)
    assert desk.last() == {0: NOW_MS + 1}


_BEGIN = """
import os, sys, time
from clocksvc import Reporter
now_ms = time.time_ns() // 1_000_000
reporter = Reporter(sys.argv[1], "checkins", group="workers")
"""


def run(script: str, url: str) -> None:
    """A program of a user's, in a process of its own, that must end well within half a minute."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _BEGIN + script, url],  # 3.12 warns of any fork
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def accepting(asked: Asked) -> Reply:
    """The service, content with all."""
    reports = [{**item, "outcome": "accepted"} for item in asked.body["reports"]]
    bounds = {
        "group": "workers",
        "topics": [TOPIC],
        "interval_seconds": 60,
        "max_out_of_orderness_seconds": 0,
        "max_future_seconds": 60,
    }
    return Reply(body={"clock": "checkins", "timestamp_seconds": None, "reports": reports, "bounds": bounds})


def test_a_process_that_ends_tells_the_last_number() -> None:
    """Without `close`, when the interpreter ends."""
    with HttpStub(accepting) as stub:
        run("reporter.observe(0, now_ms)\nreporter.observe(0, now_ms + 1)\nreporter.observe(1, now_ms + 1)", stub.url)
        last = {item["partition"]: item["timestamp_ms"] for asked in stub.asked for item in asked.body["reports"]}

    assert last.keys() == {0, 1}
    assert last[0] == last[1]


def test_a_process_ends_though_the_store_hangs() -> None:
    """After a few seconds the last number is given up."""
    never = threading.Event()

    def hang(asked: Asked) -> Reply:
        never.wait(60)
        return Reply(503)

    with HttpStub(hang) as stub:
        run("reporter.observe(0, now_ms)", stub.url)
        never.set()


def test_a_child_after_a_fork_starts_anew() -> None:
    """It reports its own partitions by its own connection and thread; the parent goes on as before."""
    script = """
reporter.observe(0, now_ms)
assert reporter.flush(10)
child = os.fork()
reporter.observe(1 if child else 2, now_ms)
assert reporter.close(10)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    with HttpStub(accepting) as stub:
        run(script, stub.url)
        sent = [{item["partition"] for item in asked.body["reports"]} for asked in stub.asked]

    assert {0} in sent
    assert {1} in sent
    assert {2} in sent  # alone: what the parent knew of partition 0 is the parent's


def _always(outcome: Outcome) -> Callable[[PartitionTimestamp], Outcome]:
    return lambda reading: outcome
