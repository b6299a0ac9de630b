"""The history of clocks after the store was lost: live ticks first, older ones in chunks, in any circumstances."""

from collections.abc import Callable, Sequence

import pytest

from clocksvc.clock.log_record import LogEntry
from clocksvc.clock.tick import Tick
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.leader import restoring as restoring_module
from clocksvc.leader.leader import Phase
from tests.faulty.shared_log import SharedLog
from tests.faulty.tick_log import FaultyTickLog
from tests.unit.leader.clocks import logged_ticks, logged_times, phase_of, stored_times

pytestmark = pytest.mark.core

COUNT = 351
FIRST, LAST, NEXT = "2026-11-22T11:00:00Z", "2026-11-22T11:05:50Z", "2026-11-22T11:05:51Z"
CHUNK = 100


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks make the tests fast."""
    assert restoring_module.CHUNK == 1_000
    monkeypatch.setattr(restoring_module, "CHUNK", CHUNK)


class ReadLog(FaultyTickLog):
    """A tick log that records how many offsets each read asks for, and that can fail to read.

    Attributes:
        sizes: the size of each read.
        failing: reads raise TickLogUnavailable.
    """

    failing = False

    def __init__(self, shared: SharedLog) -> None:
        super().__init__(shared.log)
        self.sizes: list[int] = []

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        if self.failing:
            raise TickLogUnavailable("segment not readable")
        self.sizes.append(end - start)
        return super().read(start, end, keep_alive)


def with_history(count: int = 1) -> tuple[SharedLog, ReadLog]:
    """Clocks of 1 s with 351 ticks each."""
    shared = SharedLog(count, interval_seconds=1)
    log = ReadLog(shared)
    shared.add_leader(ticklog=log)
    shared.report(FIRST)
    shared.report(LAST)
    assert {len(stored_times(store)) for store in shared.stores.values()} == {COUNT}
    return shared, log


def restoring(shared: SharedLog) -> bool:
    """True while a clock's history is being restored."""
    return any(store.bounds().restoring for store in shared.stores.values())


def step_until(shared: SharedLog, condition: Callable[[], bool], round_s: float = 0.0) -> None:
    """Step all leaders, without waiting for the end of a restoration, until a condition is true. A step takes
    `round_s`."""
    for _ in range(1_000):
        if condition():
            return
        shared.time.advance(max(round_s, min(leader.step() for leader in shared.leaders.values())))
    pytest.fail("the condition did not become true")


def lose_store(shared: SharedLog) -> None:
    """FLUSHALL, until the leader has begun to restore."""
    shared.store_server.wipe()
    step_until(shared, lambda: restoring(shared))


def assert_restored(shared: SharedLog, count: int) -> None:
    """Log and store of each clock have the same complete chain."""
    for name in shared.names:
        ticks = logged_ticks(shared.log, name)
        assert shared.stores[name].ticks_after(0, 1_000_000) == ticks
        assert len(ticks) == count
        assert [tick.previous_ms for tick in ticks[1:]] == [tick.at_ms for tick in ticks[:-1]]
    assert not restoring(shared)


def test_live_ticks_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumers report again while the history is restored: the next tick is published as soon as all replicas have
    announced themselves, and readers see that older ones are missing."""
    monkeypatch.setattr(restoring_module, "CHUNK", 10)
    shared, _ = with_history()
    (store,) = shared.stores.values()
    lose_store(shared)
    shared.send(NEXT)
    began = shared.time.monotonic()

    step_until(shared, lambda: stored_times(store) == [NEXT], round_s=0.25)
    assert shared.time.monotonic() - began < 4
    assert restoring(shared)
    step_until(shared, lambda: not restoring(shared))

    assert_restored(shared, COUNT + 1)


def test_history_is_read_and_staged_in_chunks() -> None:
    """No read and no write is longer than a chunk, for three clocks with 1,053 ticks."""
    shared, log = with_history(3)
    staged: list[int] = []

    def record(stage: Callable[..., None]) -> Callable[..., None]:
        def wrapper(token: str, ticks: Sequence[Tick], *, first: bool) -> None:
            staged.append(len(ticks))
            stage(token, ticks, first=first)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for store in shared.stores.values():
            patch.setattr(store, "stage", record(store.stage))
        shared.store_server.wipe()
        step_until(shared, lambda: phase_of(shared.leaders["leader"]) is Phase.LEADING and restoring(shared))
        log.sizes.clear()
        step_until(shared, lambda: not restoring(shared))

    assert_restored(shared, COUNT)
    assert sum(staged) == 3 * COUNT
    assert max(staged) <= CHUNK
    assert max(log.sizes) <= CHUNK
    assert len(log.sizes) >= 10


def test_the_other_clocks_streams_are_not_touched() -> None:
    """One clock's keys are deleted. Only its ticks are staged, and the other clock ticks meanwhile."""
    shared, _ = with_history(2)
    lost, kept = shared.names
    shared.store_server.content.clocks.pop(lost)
    step_until(shared, lambda: shared.stores[lost].bounds().restoring)

    assert not shared.stores[kept].bounds().restoring
    shared.send(NEXT, [kept])
    step_until(shared, lambda: stored_times(shared.stores[kept])[-1] == NEXT)
    assert shared.stores[lost].bounds().restoring
    step_until(shared, lambda: not restoring(shared))
    assert len(stored_times(shared.stores[lost])) == COUNT
    assert len(stored_times(shared.stores[kept])) == COUNT + 1


@pytest.mark.parametrize("what", ["flush", "store", "leader", "brokers", "fence", "one clock"])
@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_an_interrupted_restoration_begins_again(what: str, chunks: int) -> None:
    """After any interruption, with a new tick between, all ticks are in the store."""
    shared, log = with_history(2)
    lose_store(shared)
    for _ in range(chunks):
        shared.leaders["leader"].step()
    if what == "flush":
        shared.store_server.wipe()
    elif what == "store":
        shared.store_server.broken = True
        shared.run(2)
        shared.store_server.broken = False
    elif what == "leader":
        shared.leaders.clear()
        shared.add_leader("next")
    elif what == "brokers":
        shared.log.unavailable = True
        shared.run(2)
        shared.log.unavailable = False
    elif what == "fence":
        shared.log.fence()
    else:
        shared.store_server.content.clocks.pop(shared.names[0])

    shared.send(NEXT)
    shared.run(20)
    shared.report(NEXT)
    shared.run(5)

    assert_restored(shared, COUNT + 1)
    assert log.sizes


def test_old_records_that_can_not_be_read_delay_no_tick() -> None:
    """Ticks go on in the same term, without a hold; when the records can be read, the history is restored."""
    shared, log = with_history()
    (store,) = shared.stores.values()
    lose_store(shared)
    log.failing = True
    epoch = shared.log.epoch
    shared.run(4)

    for second in range(51, 60):
        shared.report(f"2026-11-22T11:05:{second}Z")
        shared.run(1)
        assert stored_times(store)[-1] == f"2026-11-22T11:05:{second}Z"
    assert (shared.log.epoch, phase_of(shared.leaders["leader"])) == (epoch, Phase.LEADING)
    assert restoring(shared)
    log.failing = False
    shared.run(6)

    assert_restored(shared, COUNT + 9)


def test_a_clock_without_ticks_has_nothing_to_restore() -> None:
    """Its empty stream is complete at once."""
    shared = SharedLog(1)
    shared.add_leader()
    shared.store_server.wipe()
    shared.run(4)

    (store,) = shared.stores.values()
    bounds = store.bounds()
    assert (bounds.written, bounds.restoring, bounds.end_ms) == (True, False, None)


def test_of_a_history_that_is_too_old_the_last_tick_is_restored() -> None:
    """All ticks are older than `recent_ticks`. The last one is kept, as by trimming, so readers still see the clock."""
    shared, _ = with_history()
    (name,), (store,) = shared.names, shared.stores.values()
    last_ms = store.newest_ticks(1)[0].at_ms
    shared.leaders.clear()
    shared.time.advance(8 * 86_400)
    shared.store_server.wipe()
    shared.add_leader("next")
    shared.run(4)

    bounds = store.bounds()
    assert (bounds.end_ms, bounds.restoring) == (last_ms, False)
    assert [tick.at_ms for tick in store.newest_ticks(1)] == [last_ms]
    shared.report(NEXT)
    assert [tick.previous_ms for tick in store.newest_ticks(1)] == [last_ms]
    assert logged_times(shared.log, name)[-1] == NEXT


def test_only_recent_ticks_are_restored() -> None:
    """The older half was emitted before `recent_ticks`: the stream begins with the first recent tick."""
    shared, _ = with_history()
    (store,) = shared.stores.values()
    shared.run(1)
    shared.time.advance(6 * 86_400)
    shared.report("2026-11-22T11:05:55Z")
    shared.time.advance(2 * 86_400)
    shared.store_server.wipe()
    shared.run(6)

    assert not restoring(shared)
    assert stored_times(store) == [f"2026-11-22T11:05:{second}Z" for second in range(51, 56)]


def test_after_compaction_the_newest_complete_part_is_restored() -> None:
    """A record in the middle is gone: only the ticks after the gap are restored, never a chain with a gap."""
    shared, _ = with_history()
    (store,) = shared.stores.values()
    gone = [entry.offset for entry in shared.log.committed() if b"11:05:00Z" in (entry.message.value or b"")]
    shared.log.compact(set(gone[:1]))
    shared.store_server.wipe()
    shared.run(6)

    restored = stored_times(store)
    assert (restored[0], restored[-1], len(restored)) == ("2026-11-22T11:05:01Z", LAST, 50)
    assert not restoring(shared)
