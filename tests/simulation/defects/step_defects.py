"""Defects of a leader's step: what it reads, and in which order it acts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.leader.step import StepResult

from clocksvc.clock.due_ticks import make_records
from clocksvc.interfaces.store import ProgressReading
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader import leader as leading
from clocksvc.leader import step
from clocksvc.leader.context import LeaderDependencies, LeaderObserver, Term
from tests.simulation.defects.defect import Promise, altered, defect

Patched = AbstractContextManager[object]
_take_step = step.take_step


def _with_parts(alter: Callable[[LeaderDependencies, Term], LeaderDependencies]) -> Patched:
    """Steps that see their keepers through something."""

    def take(
        parts: LeaderDependencies, term: Term, observer: LeaderObserver, waiting: Callable[[], None]
    ) -> StepResult:
        return _take_step(alter(parts, term), term, observer, waiting)

    return patch.object(leading, "take_step", take)


def _with_minimum(alter: Callable[[ProgressReading, Term], ProgressReading]) -> Patched:
    """Steps that get another minimum than the store gave."""

    def alter_parts(parts: LeaderDependencies, term: Term) -> LeaderDependencies:
        def read(token: str, ttl_ms: int) -> ProgressReading:
            return alter(parts.store.read_progress(token, ttl_ms), term)

        return replace(parts, store=altered(parts.store, read_progress=read))

    return _with_parts(alter_parts)


@defect(
    "ticks are shown before the tick log has them",
    Promise.NEVER_EARLY,
    "early",
    "lost",
    "twice",
    directed="unit/leader/test_recovery.py::test_nothing_is_published_before_it_is_committed",
)
def publish_before_commit() -> Patched:
    def tick(parts: LeaderDependencies, term: Term, sight: Any, due: range, *rest: Any) -> None:
        made = make_records(parts.spec.name, sight, due, sight.leader_now_ms, term.config_digest)
        parts.store.publish(term.token, [record.tick for record in made if record.tick is not None])
        parts.ticklog.append(made, rest[-1])
        term.state = made[-1].state

    return patch.object(step, "_tick", tick)


@defect(
    "the minimum of an older roster counts",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_a_roster_that_was_rolled_back_is_written_again",
)
def no_generation_and_count_check() -> Patched:
    return _with_minimum(
        lambda minimum, term: replace(minimum, generation=term.generation, count=term.roster.required_count())
    )


@defect(
    "a store that was rolled back is not noticed by its last tick",
    Promise.ALIVE,
    "lost",
    "dead",
    directed="unit/leader/test_recovery.py::test_a_store_from_an_old_snapshot_gets_what_it_misses",
)
def last_tick_of_the_store_not_compared() -> Patched:
    return _with_minimum(lambda minimum, term: replace(minimum, last_tick_ms=term.state.last_tick_ms))


@defect(
    "metadata is read before the minimum is taken",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_metadata_is_read_after_the_minimum",
)
def metadata_before_the_minimum() -> Patched:
    def ask_first(parts: LeaderDependencies, term: Term) -> LeaderDependencies:
        before = parts.topics.describe(parts.spec.topics)
        return replace(parts, topics=altered(parts.topics, describe=lambda names: before))

    return _with_parts(ask_first)


@defect(
    "metadata is read every 30 s and not once more before a commit",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_metadata_is_read_after_the_minimum",
)
def no_second_metadata_reading() -> Patched:
    read: dict[int, tuple[Term, ClusterMetadata]] = {}
    ask_metadata = step.ask_metadata

    def ask(parts: LeaderDependencies, held: Term) -> ClusterMetadata:
        age_s = parts.time.monotonic() - held.metadata_at
        if id(held) not in read or age_s >= step.METADATA_EVERY_S:
            read[id(held)] = (held, ask_metadata(parts, held))
        return read[id(held)][1]

    return patch.object(step, "ask_metadata", ask)


@defect("the leader steps only when it is notified", Promise.ALIVE, "silent", "dead")
def sleeps_until_woken() -> Patched:
    return patch.object(step, "IDLE_S", 86_400.0)
