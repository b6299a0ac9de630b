"""DispatcherMetrics: few writes to the store, no counts lost in an outage, and the dispatcher never waits."""

import threading
from collections.abc import Mapping

import pytest

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.counters import TaskCounterKey
from clocksvc.interfaces.schedule import EachTick, Schedule
from clocksvc.jobs.metrics import REPEAT_STEPS, Destination, DispatcherMetrics
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.unit.jobs.dispatcher_fixture import START_MIN, DispatcherFixture
from tests.unit.jobs.test_due_tasks import MINUTE
from tests.waiting import eventually

EACH = Schedule("each", EachTick())
OLD = Schedule("old", EachTick(), max_age_ms=1)
BAD = Schedule("bad", EachTick())
DESTINATIONS = {
    "each": Destination("ingest", "fast"),
    "old": Destination("ingest", "slow"),
    "bad": Destination("bills", "fast"),
}
ZEROS = {
    TaskCounterKey(*labels, outcome): 0
    for labels in DESTINATIONS.values()
    for outcome in ("sent", "expired", "rejected")
}


class CountingStore(FaultyStore):
    """Counts the writes. Blocks while `unblocked` is not set."""

    def __init__(self) -> None:
        super().__init__("c", ManualTime(START_MIN * 60))
        self.writes = 0
        self.unblocked = threading.Event()
        self.unblocked.set()

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        self.writes += 1
        assert self.unblocked.wait(30)
        super().count_tasks(dispatcher, handled, at_ms, ttl_ms)


def metrics_on(store: CountingStore) -> DispatcherMetrics:
    return DispatcherMetrics("c", "beat", DESTINATIONS, store)


def test_outcomes_are_counted_by_namespace_and_queue() -> None:
    """The checkpoint is written too. Every counter exists from the beginning, with 0."""
    fixture, store = DispatcherFixture(), CountingStore()
    metrics = metrics_on(store)
    fixture.queue.rejecting.add("bad")
    fixture.tick(0)
    dispatcher = fixture.dispatcher([EACH, OLD, BAD], observer=metrics)
    fixture.run(dispatcher)
    metrics.step()
    assert store.counters().tasks == {"beat": ZEROS}
    assert store.counters().dispatcher_checkpoints_ms == {"beat": START_MIN * MINUTE}

    fixture.tick(1, 2)
    fixture.time.advance(600)
    fixture.run(dispatcher)
    metrics.step()

    counted = {what: count for what, count in store.counters().tasks["beat"].items() if count}
    assert counted == {
        ("ingest", "fast", "sent"): 2,
        ("ingest", "slow", "expired"): 2,
        ("bills", "fast", "rejected"): 2,
    }
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 2) * MINUTE}
    assert store.writes == 2


def test_nothing_is_written_without_a_change() -> None:
    """Except for the checkpoint, at times: the store may have lost it. A process without assignment writes nothing."""
    store = CountingStore()
    metrics = metrics_on(store)
    metrics.step()
    assert store.writes == 0

    metrics.checkpoint(START_MIN * MINUTE)
    metrics.step()
    store.server.wipe()
    for _ in range(REPEAT_STEPS):
        metrics.step()
    assert store.writes == 2
    assert store.counters().dispatcher_checkpoints_ms == {"beat": START_MIN * MINUTE}

    metrics.checkpoint(None)
    for _ in range(3 * REPEAT_STEPS):
        metrics.step()
    assert store.writes == 3


def test_counts_of_an_outage_are_written_later() -> None:
    """Once, with the newest checkpoint."""
    store = CountingStore()
    metrics = metrics_on(store)
    store.server.broken = True
    for minute in range(3):
        metrics.count(EACH, "sent")
        metrics.checkpoint((START_MIN + minute) * MINUTE)
        metrics.step()
    store.server.broken = False
    metrics.step()
    metrics.step()

    assert store.counters().tasks["beat"][TaskCounterKey("ingest", "fast", "sent")] == 3
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 2) * MINUTE}


def test_a_blocked_store_does_not_delay_the_dispatcher() -> None:
    """Only the thread waits; `close` writes what was counted meanwhile."""
    fixture, store = DispatcherFixture(), CountingStore()
    store.unblocked.clear()
    metrics = metrics_on(store)
    metrics.start()
    fixture.tick(0)
    dispatcher = fixture.dispatcher([EACH], observer=metrics)
    fixture.run(dispatcher)
    eventually(lambda: store.writes == 1, what="a write")

    fixture.tick(*range(1, 6))
    fixture.run(dispatcher)
    assert fixture.queue.due("each") == [1, 2, 3, 4, 5]

    store.unblocked.set()
    dispatcher.close()
    assert store.counters().tasks["beat"][TaskCounterKey("ingest", "fast", "sent")] == 5
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 5) * MINUTE}


def test_the_checkpoint_is_kept_for_a_week() -> None:
    """So the metrics show how far behind a stopped dispatcher is."""
    store = CountingStore()
    metrics = metrics_on(store)
    metrics.checkpoint(START_MIN * MINUTE)
    metrics.step()
    (_, expires_ms) = store.server.content.clock("c").dispatchers["beat"]

    assert expires_ms - store.now_ms() >= 7 * DAY_MS


def test_an_unexpected_exception_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the thread writes again."""

    class FailsOnce(CountingStore):
        def count_tasks(
            self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
        ) -> None:
            if not self.writes:
                self.writes = 1
                raise ZeroDivisionError
            super().count_tasks(dispatcher, handled, at_ms, ttl_ms)

    store = FailsOnce()
    metrics = metrics_on(store)
    metrics.checkpoint(START_MIN * MINUTE)
    metrics.start()
    eventually(lambda: "unexpected error, the thread continues" in caplog.messages, what="the exception to be logged")
    metrics.checkpoint((START_MIN + 1) * MINUTE)

    eventually(
        lambda: store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 1) * MINUTE}, what="the checkpoint"
    )
    metrics.close()
