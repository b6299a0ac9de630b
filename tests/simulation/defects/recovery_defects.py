"""Defects of a new leader's recovery: what it believes, and what it makes of the store's stream."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from unittest.mock import patch

from clocksvc.clock.log_record import ClockState, Record
from clocksvc.clock.roster import TopicMetadata
from clocksvc.leader import leader as leading
from clocksvc.leader import recovery
from clocksvc.leader.context import LeaderDependencies
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


def _first(topics: Mapping[str, TopicMetadata] = MappingProxyType({})) -> Record:
    """What the end of a log never written says."""
    return Record("any", ClockState(topics=topics))


@defect(
    "a new leader trusts the store's last tick, not the log's",
    Promise.NEVER_LOST,
    "twice",
    "lost",
    "chain",
    directed="unit/leader/test_recovery.py::test_a_store_from_an_old_snapshot_gets_what_it_misses",
)
def recovery_from_the_store() -> Patched:
    read_last = recovery.read_last_record

    def read(parts: LeaderDependencies, waiting: Callable[[], None]) -> Record:
        last, known = read_last(parts, waiting), parts.store.last_tick()
        if known is None:
            return last
        return replace(last, state=replace(last.state, last_tick_ms=known.at_ms, last_emitted_ms=known.emitted_at_ms))

    return patch.object(leading, "read_last_record", read)


@defect(
    "an empty store is taken for a first start, although the log has ticks",
    Promise.REBUILT,
    "chain",
    "twice",
    "lost",
    directed="unit/leader/test_recovery.py::test_a_flushed_store_comes_back_from_log_and_consumers",
)
def first_start_on_an_empty_store() -> Patched:
    read_last = recovery.read_last_record

    def read(parts: LeaderDependencies, waiting: Callable[[], None]) -> Record:
        last = read_last(parts, waiting)
        return _first(last.state.topics) if parts.store.last_tick() is None else last

    return patch.object(leading, "read_last_record", read)


@defect(
    "a log that lost all records is taken for a new one",
    Promise.NEVER_LOST,
    "silent",
    "lost",
    "chain",
    "twice",
    directed="unit/leader/test_recovery.py::test_an_empty_log_below_a_known_tick_is_a_hold",
)
def first_start_on_an_emptied_log() -> Patched:
    return patch.object(
        leading, "read_last_record", lambda parts, waiting: parts.ticklog.tail(waiting).record or _first()
    )


@defect(
    "the log's first offset is ignored: an empty log is a first start",
    Promise.NEVER_LOST,
    "silent",
    "lost",
    "chain",
    directed="unit/leader/test_recovery.py::test_a_log_that_begins_above_zero_is_no_first_start",
)
def first_offset_ignored() -> Patched:
    return patch.object(recovery, "_last_of", lambda clock, tail: tail.record or _first())


@defect(
    "a stream that is ahead of the log is cut back to it",
    Promise.NEVER_BACK,
    "silent",
    "back",
    "twice",
    "chain",
    directed="unit/leader/test_recovery.py::test_an_empty_log_below_a_known_tick_is_a_hold",
)
def later_tick_of_the_store_cut_back() -> Patched:
    def read(parts: LeaderDependencies, waiting: Callable[[], None]) -> Record:
        return recovery._last_of(parts.spec.name, parts.ticklog.tail(waiting))

    return patch.object(leading, "read_last_record", read)


@defect(
    "after a takeover the stream is not compared with the log",
    Promise.ALIVE,
    "silent",
    "dead",
    "lost",
    "the store's stream",
    directed="unit/leader/test_recovery.py::test_a_death_between_commit_and_publish_loses_nothing",
)
def stream_never_reconciled() -> Patched:
    return patch.object(leading, "reconcile", lambda *_: None)


@defect(
    "a rebuilt stream has only the last tick",
    Promise.REBUILT,
    "dead",
    "lost",
    "kept",
    "the store's stream",
    directed="unit/leader/test_recovery.py::test_a_flushed_store_comes_back_from_log_and_consumers",
)
def stream_rebuilt_without_history() -> Patched:
    def rebuild(parts: LeaderDependencies, token: str, state: ClockState, waiting: Callable[[], None]) -> None:
        known = parts.store.last_tick()
        if known is None or known.at_ms != state.last_tick_ms:
            newest = [record.tick for record in parts.ticklog.backwards(waiting) if record.tick is not None][:1]
            parts.store.rebuild(token, newest, state.last_tick_ms)

    return patch.object(leading, "reconcile", rebuild)


@defect(
    "a new leader forgets the pause",
    Promise.REBUILT,
    "paused",
    "request",
    directed="unit/leader/test_requests.py::test_exclusions_and_pauses_outlive_store_and_leader",
)
def pause_forgotten_at_takeover() -> Patched:
    read_last = recovery.read_last_record

    def read(parts: LeaderDependencies, waiting: Callable[[], None]) -> Record:
        last = read_last(parts, waiting)
        return replace(last, state=replace(last.state, pause=None))

    return patch.object(leading, "read_last_record", read)


@defect(
    "a commit that a broker acknowledged and forgot is not repeated",
    Promise.ALIVE,
    "silent",
    "dead",
    directed="unit/leader/test_log_trouble.py::test_ticks_of_a_lost_commit_are_committed_again",
)
def forgotten_commit_not_repeated() -> Patched:
    return patch.object(recovery, "path_to_tick", lambda *_: [])
