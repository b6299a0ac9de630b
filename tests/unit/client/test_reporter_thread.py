"""A reporter with its own thread: concurrency, flush, close, forks, and the end of the process."""

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
from tests.unit.client.fake_sink import NOW_MS, TOPIC, AssignedPartition, FakeSink
from tests.waiting import eventually

pytestmark = pytest.mark.core


def reporter_at(sink: FakeSink) -> Reporter:
    """A reporter with a thread. Its wall time stays at NOW_MS; its monotonic time is real."""
    return Reporter("memory://", "checkins", group="workers", topic=TOPIC, sink=sink, time=_FixedWallTime())


class _FixedWallTime(ManualTime):
    def monotonic(self) -> float:
        return time.monotonic()


def test_it_sends_by_itself() -> None:
    """Observing records is enough."""
    sink = FakeSink()
    with reporter_at(sink) as reporter:
        reporter.observe(0, NOW_MS)

        eventually(lambda: sink.last_sent() == {0: NOW_MS})


def test_a_store_that_hangs_blocks_no_consumer() -> None:
    """Records can be observed while a report has no answer; the highest timestamp is sent afterwards."""
    sink = FakeSink()
    with reporter_at(sink) as reporter:
        sink.block()
        for millisecond in range(60_000):
            reporter.observe(millisecond % 8, NOW_MS - 60_000 + millisecond)
        reporter.on_lost(None, [AssignedPartition(7)])

        assert not reporter.flush(0.05)

        sink.unblock()

        assert reporter.flush(10)
        assert sink.last_sent() == {partition: NOW_MS - 8 + partition for partition in range(7)}


def test_a_system_without_threads_breaks_no_consumer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged, and the next call that needs the thread retries."""
    sink = FakeSink()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with reporter_at(sink) as reporter:
        with monkeypatch.context() as exhausted:
            exhausted.setattr(threading.Thread, "start", fail)
            reporter.observe(0, NOW_MS)
        assert caplog.messages == ["reports can't be sent: can't start new thread"]

        assert reporter.flush(10)
        assert sink.last_sent() == {0: NOW_MS}


def test_flush_covers_what_all_threads_observed_before_it() -> None:
    """When it returns, the highest timestamp of each partition is answered, from any thread."""
    sink = FakeSink()
    with reporter_at(sink) as reporter:

        def observe(thread: int) -> None:
            for millisecond in range(thread, 40_000, 4):
                reporter.observe(millisecond % 3, NOW_MS - 40_000 + millisecond)

        threads = [threading.Thread(target=observe, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert reporter.flush(10)
        assert sink.last_sent() == {0: NOW_MS - 1, 1: NOW_MS - 3, 2: NOW_MS - 2}


def test_flush_is_satisfied_with_any_answer() -> None:
    """Also by a rejection, and by `unknown`."""
    for outcome in Outcome:
        sink = FakeSink()
        sink.outcome = _always(outcome)
        with reporter_at(sink) as reporter:
            reporter.observe(0, NOW_MS)

            assert reporter.flush(10)


def test_flush_retries_after_errors() -> None:
    """It returns when the store is available again."""
    sink = FakeSink()
    sink.error = StoreUnavailable()
    with reporter_at(sink) as reporter:
        reporter.observe(0, NOW_MS)

        def recover() -> None:
            eventually(lambda: len(sink.reports) > 2)
            sink.error = None

        threading.Thread(target=recover).start()

        assert reporter.flush(10)


def test_flush_says_when_the_time_was_up() -> None:
    """False for a clock without a leader; True at once if there is nothing to report."""
    sink = FakeSink(parameters=None)
    with reporter_at(sink) as reporter:
        assert reporter.flush(10)

        reporter.observe(0, NOW_MS)

        assert not reporter.flush(0.05)

        sink.parameters = FakeSink().parameters

        assert reporter.flush(10)


def test_close_sends_the_last_timestamp_and_ends_the_thread() -> None:
    """The thread has ended and the sink is closed; a second call does nothing; observing raises from then on."""
    sink = FakeSink()
    reporter = reporter_at(sink)
    reporter.observe(0, NOW_MS)
    reporter.observe(0, NOW_MS + 1)

    assert reporter.close()
    assert reporter.close()
    assert sink.last_sent() == {0: NOW_MS + 1}
    assert sink.closed
    with pytest.raises(ReporterMisuse, match="closed"):
        reporter.observe(0, NOW_MS + 2)
    with pytest.raises(ReporterMisuse, match="closed"):
        reporter.flush()


def test_a_rebalance_after_close_is_no_error() -> None:
    """A consumer that is closed after its reporter still revokes its partitions."""
    reporter = reporter_at(FakeSink())
    reporter.close()
    reporter.on_revoke(None, [AssignedPartition(0)])
    reporter.on_lost(None, [AssignedPartition(0)])
    reporter.on_assign(None, [AssignedPartition(0)])


def test_close_keeps_its_deadline() -> None:
    """Also if the store hangs; it returns False."""
    sink = FakeSink()
    reporter = reporter_at(sink)
    sink.block()
    reporter.observe(0, NOW_MS)

    assert not reporter.close(0.1)

    sink.unblock()
    eventually(lambda: sink.closed)


def test_an_unreferenced_reporter_is_collected_with_its_thread() -> None:
    """It tries once to send what is unsent."""
    sink = FakeSink()
    reporter = reporter_at(sink)
    reporter.observe(0, NOW_MS)
    eventually(lambda: sink.last_sent() == {0: NOW_MS})
    reporter.observe(0, NOW_MS + 1)
    gone = weakref.ref(reporter)
    del reporter
    gc.collect()

    assert gone() is None
    eventually(lambda: sink.closed)
    assert sink.last_sent() == {0: NOW_MS + 1}


_BEGIN = """
import os, sys, time
from clocksvc import Reporter
now_ms = time.time_ns() // 1_000_000
reporter = Reporter(sys.argv[1], "checkins", group="workers")
"""


def run(script: str, url: str) -> None:
    """Run a user's program in its own process; it must end without an error within half a minute."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _BEGIN + script, url],  # 3.12 warns of any fork
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def accepting(asked: Asked) -> Reply:
    """A service that accepts everything."""
    reports = [{**item, "outcome": "accepted"} for item in asked.body["reports"]]
    parameters = {
        "group": "workers",
        "topics": [TOPIC],
        "interval_seconds": 60,
        "max_out_of_orderness_seconds": 0,
        "max_future_seconds": 60,
        "max_drift_seconds": None,
    }
    answer = {"clock": "checkins", "timestamp_seconds": None, "lowest_timestamp_ms": None}
    return Reply(body={**answer, "reports": reports, "bounds": parameters})


def test_a_process_that_ends_sends_the_last_timestamp() -> None:
    """Without `close`, at the end of the interpreter."""
    with HttpStub(accepting) as stub:
        run("reporter.observe(0, now_ms)\nreporter.observe(0, now_ms + 1)\nreporter.observe(1, now_ms + 1)", stub.url)
        last = {item["partition"]: item["timestamp_ms"] for asked in stub.asked for item in asked.body["reports"]}

    assert last.keys() == {0, 1}
    assert last[0] == last[1]


def test_a_process_ends_though_the_store_hangs() -> None:
    """After a few seconds the last timestamp is dropped."""
    never = threading.Event()

    def hang(asked: Asked) -> Reply:
        never.wait(60)
        return Reply(503)

    with HttpStub(hang) as stub:
        run("reporter.observe(0, now_ms)", stub.url)
        never.set()


def test_a_child_after_a_fork_starts_without_progress() -> None:
    """It reports its own partitions over its own connection and thread; the parent continues as before."""
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
