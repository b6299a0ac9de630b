"""A dispatcher's counts on their way to the store: few writes, nothing lost to an outage, and nobody waits for them."""

import threading
from collections.abc import Mapping

import pytest

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.schedule import (
    EachTick,
    Schedule,
)
from clocksvc.interfaces.store import TaskCounterKey
from clocksvc.jobs.metrics import (
    REPEAT_STEPS,
    Destination,
    DispatcherMetrics,
)
from clocksvc.memory.store import MemoryStore
from clocksvc.testing import ManualTime
from tests.unit.jobs.dispatcher_fixture import (
    START_MIN,
    Bed,
)
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
    TaskCounterKey(*place, outcome): 0 for place in DESTINATIONS.values() for outcome in ("sent", "expired", "rejected")
}


class CountedStore(MemoryStore):
    """Notes how often it is written; `hold` makes it hang."""

    def __init__(self) -> None:
        super().__init__("c", ManualTime(START_MIN * 60))
        self.writes = 0
        self.hold = threading.Event()
        self.hold.set()

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        self.writes += 1
        assert self.hold.wait(30)
        super().count_tasks(dispatcher, handled, at_ms, ttl_ms)


def tally_on(store: MemoryStore) -> DispatcherMetrics:
    return DispatcherMetrics("c", "beat", DESTINATIONS, store)


def test_what_a_sender_does_is_counted_by_where_it_goes() -> None:
    """Sent, stale and refused apart, by namespace and queue, with the position; each counter is there from 0 on."""
    bed, store = Bed(), CountedStore()
    tally = tally_on(store)
    bed.broker.refusing.add("bad")
    bed.tick(0)
    dispatcher = bed.dispatcher([EACH, OLD, BAD], observer=tally)
    bed.run(dispatcher)
    tally.step()
    assert store.counters().tasks == {"beat": ZEROS}
    assert store.counters().dispatcher_checkpoints_ms == {"beat": START_MIN * MINUTE}

    bed.tick(1, 2)
    bed.time.advance(600)
    bed.run(dispatcher)
    tally.step()

    counted = {what: count for what, count in store.counters().tasks["beat"].items() if count}
    assert counted == {
        ("ingest", "fast", "sent"): 2,
        ("ingest", "slow", "expired"): 2,
        ("bills", "fast", "rejected"): 2,
    }
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 2) * MINUTE}
    assert store.writes == 2


def test_without_news_the_store_is_left_alone() -> None:
    """But for the position, now and then: an emptied store knows it again. Without the turn not even that."""
    store = CountedStore()
    tally = tally_on(store)
    tally.step()
    assert store.writes == 0

    tally.checkpoint(START_MIN * MINUTE)
    tally.step()
    store.wipe()
    for _ in range(REPEAT_STEPS):
        tally.step()
    assert store.writes == 2
    assert store.counters().dispatcher_checkpoints_ms == {"beat": START_MIN * MINUTE}

    tally.checkpoint(None)
    for _ in range(3 * REPEAT_STEPS):
        tally.step()
    assert store.writes == 3


def test_what_is_counted_while_the_store_is_away_is_written_later() -> None:
    """Once, with the newest position."""
    store = CountedStore()
    tally = tally_on(store)
    store.broken = True
    for minute in range(3):
        tally.count(EACH, "sent")
        tally.checkpoint((START_MIN + minute) * MINUTE)
        tally.step()
    store.broken = False
    tally.step()
    tally.step()

    assert store.counters().tasks["beat"][TaskCounterKey("ingest", "fast", "sent")] == 3
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 2) * MINUTE}


def test_a_store_that_hangs_holds_no_sender_up() -> None:
    """Its thread waits; the dispatcher goes on, and what was counted meanwhile comes with the end."""
    bed, store = Bed(), CountedStore()
    store.hold.clear()
    tally = tally_on(store)
    tally.start()
    bed.tick(0)
    dispatcher = bed.dispatcher([EACH], observer=tally)
    bed.run(dispatcher)
    eventually(lambda: store.writes == 1, what="a write")

    bed.tick(*range(1, 6))
    bed.run(dispatcher)
    assert bed.broker.due("each") == [1, 2, 3, 4, 5]

    store.hold.set()
    dispatcher.close()
    assert store.counters().tasks["beat"][TaskCounterKey("ingest", "fast", "sent")] == 5
    assert store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 5) * MINUTE}


def test_positions_are_kept_for_longer_than_a_stop() -> None:
    """So that a metric shows how far a dispatcher that is gone is behind."""
    store = CountedStore()
    tally = tally_on(store)
    tally.checkpoint(START_MIN * MINUTE)
    tally.step()
    (_, expires_ms) = store.copy_state().dispatchers["beat"]

    assert expires_ms - store.now_ms() >= 7 * DAY_MS


def test_an_unexpected_exception_does_not_end_the_writing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the store is written after that."""

    class FailsOnce(CountedStore):
        def count_tasks(
            self, sender: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
        ) -> None:
            if not self.writes:
                self.writes = 1
                raise ZeroDivisionError
            super().count_tasks(sender, handled, at_ms, ttl_ms)

    store = FailsOnce()
    tally = tally_on(store)
    tally.checkpoint(START_MIN * MINUTE)
    tally.start()
    eventually(lambda: "unexpected error, the thread continues" in caplog.messages, what="the exception to be logged")
    tally.checkpoint((START_MIN + 1) * MINUTE)

    eventually(
        lambda: store.counters().dispatcher_checkpoints_ms == {"beat": (START_MIN + 1) * MINUTE}, what="the position"
    )
    tally.close()
