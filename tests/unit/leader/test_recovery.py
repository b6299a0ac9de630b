"""A leader after a loss: of the previous leader, the lease, the store, the answer to a commit, or the tick log
itself."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.errors import ChainBroken, Fenced, StoreUnavailable
from clocksvc.leader.leader import Phase
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.commits import CommitFault
from tests.unit.leader.clocks import clock_with_ticks, hold_of, logged, minutes, pass_time, phase_of, times


def test_a_successor_goes_on_where_the_log_ends() -> None:
    """When a leader dies, another one leads after the lease has expired: its first tick names the last one."""
    clock = clock_with_ticks()
    successor = clock.new_leader("successor")

    pass_time(clock, 4, successor)
    clock.leader = successor
    clock.report(0, "2026-11-22T12:04:00Z")

    assert successor.phase is Phase.LEADING
    assert times(clock) == minutes(1, 2, 3, 4)
    assert logged(clock) == minutes(1, 2, 3, 4)


def test_a_stale_leader_can_not_write() -> None:
    """A leader that slept through its lease loses it; none of its pending work gets into log or stream."""
    clock = clock_with_ticks()
    sleeper, successor = clock.leader, clock.new_leader("successor")
    pass_time(clock, 4, successor)

    clock.leader = successor
    clock.report(0, "2026-11-22T12:05:00Z")
    clock.settle(sleeper)

    assert sleeper.phase is Phase.STANDBY
    assert logged(clock) == minutes(1, 2, 3, 4, 5)


def test_a_flushed_store_comes_back_from_log_and_consumers() -> None:
    """After FLUSHALL the stream is rebuilt from the log; there is no tick until the consumers repeat their reports."""
    clock = clock_with_ticks()
    clock.store_server.wipe()
    pass_time(clock, 4, clock.leader)
    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED

    clock.report(0, "2026-11-22T12:05:30Z")

    assert times(clock) == minutes(1, 2, 3, 4, 5)
    assert logged(clock) == minutes(1, 2, 3, 4, 5)


def test_a_store_from_an_old_snapshot_gets_what_it_misses() -> None:
    """A store that comes back in its state of two ticks ago gets the missing ticks, each once."""
    clock = clock_with_ticks(2)
    old = clock.store_server.copy_state()
    clock.report(0, "2026-11-22T12:04:00Z")
    clock.store_server.restore(old)

    pass_time(clock, 4, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
    assert logged(clock) == minutes(1, 2, 3, 4)


@pytest.mark.parametrize("fault", list(CommitFault))
def test_the_log_decides_about_a_commit_without_an_answer(fault: CommitFault) -> None:
    """A commit without an answer is neither repeated nor lost, whether it succeeded or not."""
    clock = clock_with_ticks()
    clock.log.commit_faults.append(fault)

    clock.report(0, "2026-11-22T12:04:00Z")

    assert logged(clock) == minutes(1, 2, 3, 4)
    assert times(clock) == minutes(1, 2, 3, 4)


def test_nothing_is_published_before_it_is_committed() -> None:
    """During the commit the stream does not contain the tick."""
    clock = clock_with_ticks()
    shown: list[list[str]] = []
    clock.log.at = lambda step: shown.append(times(clock)) if step in ("append.sent", "append.done") else None

    clock.report(0, "2026-11-22T12:04:00Z")

    assert shown == [minutes(1, 2, 3), minutes(1, 2, 3)]
    assert times(clock) == minutes(1, 2, 3, 4)


def test_a_death_between_commit_and_publish_loses_nothing() -> None:
    """The next leader appends the ticks of the log that the stream lacks."""
    clock = clock_with_ticks()
    clock.store_server.broken = True

    def break_store(step: str) -> None:
        clock.store_server.broken = step == "append.done"

    clock.log.at = break_store
    clock.store_server.broken = False
    clock.report(0, "2026-11-22T12:04:00Z")
    assert logged(clock) == minutes(1, 2, 3, 4)

    clock.log.at = lambda _: None
    clock.store_server.broken = False
    assert times(clock) == minutes(1, 2, 3)
    successor = clock.new_leader("successor")
    pass_time(clock, 4, successor)

    assert times(clock) == minutes(1, 2, 3, 4)


def test_missing_ticks_are_appended_to_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is not begun again, so readers that follow it see no gap: a publication that failed, and a store that
    lost its last ticks."""
    clock = clock_with_ticks(2)
    monkeypatch.setattr(clock.store, "begin", lambda *_, **__: pytest.fail("the stream was begun again"))
    publish = MemoryLeases.publish

    def fail_once(*_: object) -> object:
        monkeypatch.setattr(MemoryLeases, "publish", publish)
        raise StoreUnavailable

    monkeypatch.setattr(MemoryLeases, "publish", fail_once)
    clock.report(0, "2026-11-22T12:04:00Z")
    pass_time(clock, 1, clock.leader)
    assert times(clock) == minutes(1, 2, 3, 4)
    del clock.store_server.content.clock("clock").ticks[-3:]
    pass_time(clock, 1, clock.leader)

    assert times(clock) == logged(clock) == minutes(1, 2, 3, 4)


def test_a_stream_with_another_last_tick_is_replaced() -> None:
    """It ends at the same time, but its last tick has another `previous`: the log is the source of truth."""
    clock = clock_with_ticks(4)
    ticks = clock.store_server.content.clock("clock").ticks
    ticks[-2:] = [replace(ticks[-1], previous_ms=ticks[-3].at_ms)]
    clock.leader.leave()
    clock.leader = clock.new_leader("next")
    pass_time(clock, 2, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(0, "2026-11-22T12:05:00Z")
    assert [tick.previous_ms for tick in clock.ticks()[1:]] == [tick.at_ms for tick in clock.ticks()[:-1]]


def test_an_empty_log_below_a_known_tick_is_a_hold() -> None:
    """A log that has lost ticks that the store still has is never taken for a first start."""
    clock = clock_with_ticks()
    clock.log.recreate()
    pass_time(clock, 0, clock.new_leader("unused"))
    clock.leader.leave()
    clock.settle()
    clock.report(0, "2026-11-22T12:09:00Z")

    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED
    assert logged(clock) == []


def test_a_log_that_begins_above_zero_is_no_first_start() -> None:
    """Not even with an empty store: records were deleted from the log, so there may have been ticks."""
    clock = clock_with_ticks()
    clock.log.truncate_before(clock.log.end)
    clock.store_server.wipe()
    clock.leader.leave()
    pass_time(clock, 4, clock.leader)
    clock.report(0, "2026-11-22T12:09:00Z")

    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED


def test_a_foreign_open_transaction_is_a_hold_until_it_ends() -> None:
    """While another writer's transaction is open, readers don't know the log's end, so the leader waits."""
    clock = clock_with_ticks()
    clock.leader.leave()
    clock.log.begin_foreign()
    clock.settle()
    assert hold_of(clock)[0] is Reason.TICKLOG_OPEN_TRANSACTION

    clock.log.end_foreign(committed=False)
    pass_time(clock, 4, clock.leader)
    clock.report(0, "2026-11-22T12:04:00Z")

    assert times(clock) == minutes(1, 2, 3, 4)


def test_another_clusters_store_is_a_hold() -> None:
    """A store that another Kafka cluster has claimed is not changed."""
    clock = clock_with_ticks()
    clock.topics.cluster_id = "another"
    clock.leader.leave()
    clock.settle()
    clock.report(0, "2026-11-22T12:09:00Z")

    assert hold_of(clock)[0] is Reason.STORE_MISMATCH
    assert times(clock) == minutes(1, 2, 3)


def test_without_kafka_the_lease_goes_to_another() -> None:
    """A leader that can't reach Kafka for 6 s releases its lease and does not claim it for longer than a lease."""
    clock = clock_with_ticks()
    clock.topics.unavailable = clock.log.unavailable = True
    clock.report(0, "2026-11-22T12:04:00Z")
    assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE

    pass_time(clock, 6.5, clock.leader)
    assert clock.store.snapshot().leader is None
    clock.topics.unavailable = clock.log.unavailable = False
    successor = clock.new_leader("successor")
    pass_time(clock, 1, successor)

    assert successor.phase is Phase.LEADING
    assert times(clock) == minutes(1, 2, 3, 4)


def test_a_fenced_leader_steps_back_and_leads_again() -> None:
    """A leader that was fenced once steps back for longer than a lease, then leads with a new producer."""
    clock = clock_with_ticks()
    clock.log.fence()

    clock.report(0, "2026-11-22T12:04:00Z")
    assert phase_of(clock.leader) is Phase.STANDBY
    pass_time(clock, 5, clock.leader)

    assert phase_of(clock.leader) is Phase.LEADING
    assert times(clock) == minutes(1, 2, 3, 4)


def test_parameters_are_written_again_after_the_store_failed() -> None:
    """The store comes back in the state of a second ago, with the same roster and ticks, but with old parameters."""
    clock = clock_with_ticks()
    content = clock.store_server.content.clock("clock")
    written = content.parameters
    assert written is not None
    clock.store_server.broken = True
    pass_time(clock, 1, clock.leader)
    content.parameters = replace(written, out_of_orderness_ms=10_000)
    clock.store_server.broken = False

    pass_time(clock, 1, clock.leader)

    assert clock.store.snapshot().parameters == written


@pytest.mark.parametrize("error", [ChainBroken, Fenced])
def test_the_stream_never_loses_or_repeats_a_tick(error: Callable[[], Exception]) -> None:
    """An error while publishing leads back to a comparison with the log: each tick is in the stream once."""
    clock = clock_with_ticks()
    publish = MemoryLeases.publish

    def fail_once(_: MemoryLeases, token: str, ticks: Mapping[str, object], *__: object) -> object:
        patch.setattr(MemoryLeases, "publish", publish)
        if error is ChainBroken:
            return dict.fromkeys(ticks, ChainBroken("the stream has changed"))
        raise error()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryLeases, "publish", fail_once)
        clock.report(0, "2026-11-22T12:04:00Z")
        pass_time(clock, 5, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
