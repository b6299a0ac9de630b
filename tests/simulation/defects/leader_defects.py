"""Defects of a leader between its rounds: its lease, its status of a clock, and requests."""

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.clock import first_tick
from clocksvc.clock.request import RequestResult, ResultKind
from clocksvc.leader import leader as leading
from clocksvc.leader import lease as leases
from clocksvc.leader import ranking, requests, round
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.lease import Lease
from clocksvc.leader.status import ClockStatus
from tests.simulation.defects.defect import Promise, altered, defect, together
from tests.simulation.defects.seams import with_parts

Patched = AbstractContextManager[object]


@defect(
    "a leader without progress keeps its lease for ever",
    Promise.ALIVE,
    "dead",
    "silent",
    "delayed",
    directed="unit/leader/test_stuck_leader.py::test_a_leader_without_progress_publishes_a_hold_and_releases_its_lease",
)
def stuck_leader_keeps_the_lease() -> Patched:
    return patch.object(Lease, "check_progress", lambda lease: None)


@defect(
    "a replica announces its configuration once",
    Promise.NEVER_LOST,
    "dead",
    "conflict",
    "silent",
    directed="unit/leader/test_shape.py::test_a_flush_hides_no_replica_that_disagrees",
)
def announced_once() -> Patched:
    return patch.object(leases, "ANNOUNCE_EVERY_S", float("inf"))


@defect(
    "no hold is published",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/leader/test_leading.py::test_lagging_partitions_are_named_after_a_while",
)
def hold_not_published() -> Patched:
    note = ClockStatus.note
    return patch.object(ClockStatus, "note", lambda status, hold: note(status, None))


@defect(
    "a leader status is published once and not repeated",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/leader/test_leader_status.py::test_a_lasting_hold_is_published_again_before_its_ttl_ends",
)
def status_not_repeated() -> Patched:
    return patch("clocksvc.leader.status.PUBLISH_STATUS_EVERY_S", float("inf"))


@defect(
    "a hold that is over is still shown",
    Promise.NEVER_SILENT,
    "dead",
    "silent",
    "stale",
    directed="unit/leader/test_leading.py::test_a_new_partition_holds_until_its_first_report",
)
def hold_never_taken_back() -> Patched:
    note = ClockStatus.note
    return patch.object(ClockStatus, "note", lambda status, hold: note(status, hold or status.hold))


@defect(
    "a log is handed over to replicas that are dead",
    Promise.ALIVE,
    "dead",
    "silent",
    directed="unit/leader/test_who_leads.py::test_a_log_is_not_handed_over_to_a_dead_replica",
)
def handed_over_to_the_dead() -> Patched:
    successor = ranking.successor

    def anyone(log: int, replica: str, announcements: Any, ready_before: Any) -> str | None:
        return successor(log, replica, announcements, {})

    return patch.object(leading, "successor", anyone)


@defect(
    "an exclusion is answered before it is committed",
    Promise.NEVER_LOST,
    "request",
    directed="unit/leader/test_requests.py::test_a_fenced_leader_leaves_the_request_to_the_next",
)
def request_answered_before_the_commit() -> Patched:
    apply = requests.apply_requests

    def answer_first(clock: Any, asked: Any, store_now_ms: int, leader_now_ms: int) -> Any:
        batch = apply(clock, asked, store_now_ms, leader_now_ms)
        done = {one.id: RequestResult(ResultKind.DONE) for one in batch.accepted}
        if done:
            clock.store.write_request_results(_token(clock), done, requests.RESULT_TTL_MS)
        return batch

    tokens: dict[int, str] = {}

    def _token(clock: Any) -> str:
        return tokens.get(id(clock.store), "")

    def alter(parts: LeaderDependencies) -> LeaderDependencies:
        def read_round(token: str, *rest: Any) -> Any:
            tokens.update({id(store): token for store in parts.stores.values()})
            return parts.leases.read_round(token, *rest)

        return replace(parts, leases=altered(parts.leases, read_round=read_round))

    return together(with_parts(alter), patch.object(round, "apply_requests", answer_first))


@defect(
    "an expired request is granted",
    Promise.NEVER_LOST,
    "request",
    directed="unit/leader/test_requests.py::test_an_unknown_outcome_that_outlasts_the_request",
)
def expired_request_granted() -> Patched:
    apply = requests.apply_requests

    def grant(clock: Any, asked: Any, store_now_ms: int, leader_now_ms: int) -> Any:
        return apply(clock, [replace(one, expires_ms=2**50) for one in asked], store_now_ms, leader_now_ms)

    return patch.object(round, "apply_requests", grant)


@defect(
    "init accepts a time before ticks that log or store know",
    Promise.NEVER_BACK,
    "back",
    directed="unit/leader/test_init.py::test_never_goes_back_before_a_tick_of_the_store",
)
def init_goes_back() -> Patched:
    def check(spec: Any, state: Any, stored_ms: Any, now_ms: int, last_tick_ms: int, **given: bool) -> None:
        first_tick.check_boundary(spec, last_tick_ms)

    return patch.object(requests, "check_first_tick", check)


@defect(
    "init skips boundaries of a clock whose log lost nothing",
    Promise.NEVER_LOST,
    "lost",
    directed="unit/leader/test_init.py::test_rejects_a_clock_with_ticks",
)
def init_on_a_complete_log() -> Patched:
    check = first_tick.check_first_tick

    def check_less(spec: Any, state: Any, stored_ms: Any, now_ms: int, last_tick_ms: int, **given: bool) -> None:
        check(spec, state, stored_ms, now_ms, last_tick_ms, truncated=True, skip_ticks=True)

    return patch.object(requests, "check_first_tick", check_less)
