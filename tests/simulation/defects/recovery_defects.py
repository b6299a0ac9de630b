"""Defects of a new leader's recovery: what it believes, and what it makes of the store's stream."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.clock import log_owner, log_state
from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.log_state import LogState
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.leader import recovery, round
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.restoring import Restoration
from clocksvc.leader.term import ClockTerm, Term
from tests.simulation.defects.defect import Promise, altered, defect
from tests.simulation.defects.seams import with_stores, with_terms, with_ticklog

Patched = AbstractContextManager[object]
_read_log_state = log_state.read_log_state
_confirm_store = log_owner.confirm_store


@defect(
    "a new leader trusts the store's last tick, not the log's",
    Promise.NEVER_LOST,
    "twice",
    "lost",
    "chain",
)
def recovery_from_the_store() -> Patched:
    def alter(clock: ClockTerm, term: Term) -> None:
        last = clock.store.bounds().last
        if last is not None:
            clock.state = replace(clock.state, last_tick_ms=last.at_ms, last_emitted_ms=last.emitted_at_ms)

    return with_terms(alter)


@defect(
    "an empty store is taken for a first start, although the log has ticks",
    Promise.REBUILT,
    "chain",
    "twice",
    "lost",
    directed="unit/leader/test_recovery.py::test_a_flushed_store_comes_back_from_log_and_consumers",
)
def first_start_on_an_empty_store() -> Patched:
    def alter(clock: ClockTerm, term: Term) -> None:
        if clock.store.bounds().end_ms is None:
            clock.state = ClockState(topics=clock.state.topics, group=clock.state.group)

    return with_terms(alter)


@defect(
    "the log's first offset is ignored: an empty log is a first start",
    Promise.NEVER_LOST,
    "silent",
    "lost",
    "chain",
    directed="unit/leader/test_recovery.py::test_a_log_that_begins_above_zero_is_no_first_start",
)
def first_offset_ignored() -> Patched:
    def read(*args: Any) -> LogState:
        found = _read_log_state(*args)
        found.complete = True
        return found

    return patch.object(recovery, "read_log_state", read)


@defect(
    "a stream that is ahead of the log is cut back to it",
    Promise.NEVER_BACK,
    "silent",
    "back",
    "twice",
    "chain",
    "lost",
    directed="unit/leader/test_recovery.py::test_an_empty_log_below_a_known_tick_is_a_hold",
)
def later_tick_of_the_store_cut_back() -> Patched:
    def alter(parts: LeaderDependencies, store: Any) -> Any:
        return altered(store, bounds=lambda: StreamBounds(None, None, None, written=False, restoring=False))

    return with_stores(alter)


@defect(
    "after a takeover the stream is not compared with the log",
    Promise.ALIVE,
    "silent",
    "dead",
    "lost",
    "broken stream",
    directed="unit/leader/test_recovery.py::test_a_death_between_commit_and_publish_loses_nothing",
)
def stream_never_compared() -> Patched:
    return patch.object(round, "compare_stream", lambda term, clock: False)


@defect(
    "the history of a lost stream is never restored",
    Promise.REBUILT,
    "dead",
    "lost",
    directed="unit/leader/test_recovery.py::test_a_flushed_store_comes_back_from_log_and_consumers",
)
def history_never_restored() -> Patched:
    return patch.object(Restoration, "is_due", lambda restoration, now: False)


@defect(
    "a history with a gap replaces the stream",
    Promise.NEVER_LOST,
    "broken stream",
    "lost",
    directed="unit/leader/test_restoring.py::test_after_compaction_the_newest_complete_part_is_restored",
)
def history_with_a_gap() -> Patched:
    def alter(parts: LeaderDependencies, store: Any) -> Any:
        def stage(token: str, ticks: Any, *, first: bool) -> None:
            store.stage(token, ticks[::2] if len(ticks) > 4 else ticks, first=first)

        return altered(store, stage=stage)

    return with_stores(alter)


@defect(
    "a new leader forgets the pause",
    Promise.REBUILT,
    "paused",
    "request",
    directed="unit/leader/test_requests.py::test_exclusions_and_pauses_outlive_store_and_leader",
)
def pause_forgotten_at_takeover() -> Patched:
    def alter(clock: ClockTerm, term: Term) -> None:
        clock.state = replace(clock.state, pause=None)

    return with_terms(alter)


@defect(
    "another installation's log is used",
    Promise.NEVER_LOST,
    "foreign",
    "silent",
    "dead",
    directed="unit/leader/test_shared_log.py::test_two_installations_on_one_log",
)
def installation_ignored() -> Patched:
    def read(*args: Any) -> LogState:
        found = _read_log_state(*args)
        found.owner = None
        return found

    return patch.object(recovery, "read_log_state", read)


@defect(
    "another store leads the log of an equal prefix",
    Promise.NEVER_LOST,
    "foreign",
    "silent",
    "dead",
    directed="unit/leader/test_log_owner.py::test_an_equal_prefix_with_another_store_holds",
)
def store_of_the_log_ignored() -> Patched:
    def confirm(log: int, own: Installation, mark: Any, owner: LogOwner | None, *args: Any) -> str | None:
        owner = owner and LogOwner(own if owner.installation.prefix == own.prefix else owner.installation, "any")
        return _confirm_store(log, own, mark, owner, {"any"})

    return patch.object(recovery, "confirm_store", confirm)


@defect(
    "an emptied store keeps its id",
    Promise.NEVER_LOST,
    "foreign",
    directed="unit/leader/test_log_owner.py::test_the_first_of_two_stores_with_the_same_address_holds",
)
def emptied_store_keeps_its_id() -> Patched:
    def confirm(log: int, own: Installation, mark: Any, owner: LogOwner | None, *args: Any) -> str | None:
        found = _confirm_store(log, own, mark, owner, *args)
        return owner.store_id if found is None and owner is not None else found

    return patch.object(recovery, "confirm_store", confirm)


@defect(
    "a new leader goes on with the producer that it had",
    Promise.ALIVE,
    "dead",
    "silent",
    "lost",
    "delayed",
    directed="unit/leader/test_offset_chain.py::test_a_new_fence_follows_each_lease",
)
def fenced_once() -> Patched:
    def alter(parts: LeaderDependencies, ticklog: Any) -> Any:
        fenced = False

        def fence(keep_alive: Any) -> None:
            nonlocal fenced
            if not fenced:
                ticklog.fence(keep_alive)
            fenced = True

        return altered(ticklog, fence=fence)

    return with_ticklog(alter)
