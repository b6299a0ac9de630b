"""Defects of a leader between its steps: its lease, its word on the clock, and requests."""

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from clocksvc.clock.request import RequestResult, ResultKind
from clocksvc.leader import requests
from clocksvc.leader.context import LeaderDependencies, Term
from clocksvc.leader.leader import Leader
from clocksvc.leader.lease import Lease
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


@defect(
    "the lease is kept for ever while Kafka can't be reached",
    Promise.ALIVE,
    "dead",
    directed="unit/leader/test_recovery.py::test_without_kafka_the_lease_goes_to_another",
)
def lease_without_kafka() -> Patched:
    return patch.object(Lease, "is_stuck", lambda lease: False)


@defect(
    "a replica announces its configuration once",
    Promise.NEVER_LOST,
    "dead",
    "conflict",
    directed="unit/leader/test_shape.py::test_a_flush_hides_no_replica_that_disagrees",
)
def announced_once() -> Patched:
    return patch("clocksvc.leader.lease.ANNOUNCE_EVERY_S", float("inf"))


@defect(
    "no hold is published",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/leader/test_leading.py::test_lagging_partitions_are_named_after_a_while",
)
def hold_not_said() -> Patched:
    say = Leader._publish_status
    return patch.object(Leader, "_publish_status", lambda leader, hold: say(leader, None))


@defect(
    "a leader status is published once and not repeated",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/leader/test_leader_status.py::test_a_lasting_hold_is_published_again_before_its_ttl_ends",
)
def verdict_not_repeated() -> Patched:
    say = Leader._publish_status
    said: dict[int, Any] = {}

    def say_once(leader: Leader, hold: Any) -> None:
        if id(leader) not in said or said[id(leader)][1] != hold:
            said[id(leader)] = (leader, hold)
            say(leader, hold)

    return patch.object(Leader, "_publish_status", say_once)


@defect(
    "a hold that is over is still shown",
    Promise.NEVER_SILENT,
    "dead",
    "silent",
    "stale",
    directed="unit/leader/test_leading.py::test_a_new_partition_holds_until_its_first_report",
)
def hold_never_taken_back() -> Patched:
    say = Leader._publish_status

    def stick(leader: Leader, hold: Any) -> None:
        say(leader, leader._hold if hold is None else hold)

    return patch.object(Leader, "_publish_status", stick)


@defect(
    "an exclusion is answered before it is committed",
    Promise.NEVER_LOST,
    "request",
    directed="unit/leader/test_requests.py::test_a_fenced_leader_leaves_the_request_to_the_next",
)
def request_answered_before_the_commit() -> Patched:
    commit = requests._commit

    def answer_first(parts: LeaderDependencies, held: Term, settled: requests.RequestBatch, *rest: Any) -> None:
        requests._answer(
            parts, held, dict.fromkeys((one.id for one in settled.accepted), RequestResult(ResultKind.DONE))
        )
        commit(parts, held, settled, *rest)

    return patch.object(requests, "_commit", answer_first)


@defect(
    "an expired request is granted",
    Promise.NEVER_LOST,
    "request",
    directed="unit/leader/test_requests.py::test_an_unknown_outcome_that_outlasts_the_request",
)
def expired_request_granted() -> Patched:
    settle = requests.apply_requests
    return patch.object(
        requests, "apply_requests", lambda state, asked, roster, now_ms: settle(state, asked, roster, 0)
    )
