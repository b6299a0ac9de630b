"""The store, tasks by the clock: what dispatchers did and their checkpoints, and which tasks have been run."""

from clocksvc.clock.spec import DAY_MS
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.store import Store
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.testing import ManualTime
from tests.interfaces.store_examples import BASE, CLOCK, MINUTE
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually

SENT = TaskCounterKey("ingest", "ingest-slow", "sent")
ODD = TaskCounterKey('na"me: spaced', "", "expired")
MOST = 1_000


def test_tasks_add_up_by_sender_and_by_what_was_done(store: Store) -> None:
    """With any characters in the names; adding zero creates a counter."""
    store.count_tasks("beat", {SENT: 2, ODD: 0}, None, DAY_MS)
    store.count_tasks("beat", {SENT: 3}, None, DAY_MS)
    store.count_tasks("other:beat", {SENT: 1}, None, DAY_MS)

    assert store.counters() == Counters(tasks={"beat": {SENT: 5, ODD: 0}, "other:beat": {SENT: 1}})


def test_a_sender_stands_where_it_got_furthest(store: Store) -> None:
    """One that was asleep and tells an older position changes nothing; nor does one that tells none."""
    store.count_tasks("beat", {}, BASE + MINUTE, DAY_MS)
    store.count_tasks("beat", {}, BASE, DAY_MS)
    store.count_tasks("beat", {SENT: 1}, None, DAY_MS)
    store.count_tasks("other", {}, BASE, DAY_MS)

    assert store.counters().dispatcher_checkpoints_ms == {"beat": BASE + MINUTE, "other": BASE}


def test_a_sender_that_is_silent_for_long_is_forgotten(store: Store) -> None:
    """Its position alone, at its own time; what it counted stays."""
    store.count_tasks("gone", {SENT: 1}, BASE, 50)
    store.count_tasks("beat", {}, BASE, DAY_MS)
    eventually(lambda: store.counters().dispatcher_checkpoints_ms == {"beat": BASE}, what="gone to be forgotten")
    store.count_tasks("beat", {}, BASE + MINUTE, 50)

    eventually(lambda: store.counters().dispatcher_checkpoints_ms == {}, what="beat to be forgotten")
    store.count_tasks("gone", {}, BASE - MINUTE, DAY_MS)
    assert store.counters().dispatcher_checkpoints_ms == {"gone": BASE - MINUTE}
    assert store.counters().tasks == {"gone": {SENT: 1}}


def test_a_finished_task_is_known_again(store: Store) -> None:
    """As often as it comes; each time counts. Another one is not known, and is not counted."""
    store.mark_task_done("a", DAY_MS, MOST)
    store.mark_task_done("a", DAY_MS, MOST)

    assert [store.is_task_done(one) for one in ("a", "b", "a")] == [True, False, True]
    assert store.counters() == Counters(task_duplicates=2)


def test_a_finished_task_is_forgotten_in_time(store: Store) -> None:
    """And others that are kept for longer are not."""
    store.mark_task_done("short", 50, MOST)
    store.mark_task_done("long", DAY_MS, MOST)

    eventually(lambda: not store.is_task_done("short"), what="short to be forgotten")
    assert store.is_task_done("long")


def test_no_more_tasks_are_remembered_than_told(store: Store) -> None:
    """The oldest are forgotten first."""
    for number in range(5):
        store.mark_task_done(str(number), DAY_MS + number, 3)

    assert [store.is_task_done(str(number)) for number in range(5)] == [False, False, True, True, True]


def test_a_flush_forgets_finished_tasks(implementation: StoreImplementation, store: Store) -> None:
    """Then a redelivery is not recognised: it is run again, never dropped."""
    store.mark_task_done("a", DAY_MS, MOST)
    implementation.wipe()

    assert not store.is_task_done("a")
    assert store.counters() == Counters()


def test_the_memory_store_forgets_by_its_own_clock() -> None:
    """Nothing is kept beyond its TTL, also in simulated time."""
    time = ManualTime(BASE // 1000)
    store = MemoryStoreServer(time).store(CLOCK)
    store.mark_task_done("a", DAY_MS, MOST)
    store.count_tasks("beat", {}, BASE, DAY_MS)
    time.advance(DAY_MS // 1000)

    assert not store.is_task_done("a")
    assert store.counters() == Counters()
