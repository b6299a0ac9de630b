"""Defects of the roster: which partitions a leader waits for."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from clocksvc.clock.log_record import ClockState
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader import context, recovery, requests, step
from clocksvc.leader import leader as leading
from clocksvc.leader.context import LeaderDependencies, Term
from clocksvc.leader.leader import Leader, Phase
from tests.simulation.defects.defect import Promise, defect, together
from tests.simulation.defects.step_defects import no_generation_and_count_check

Patched = AbstractContextManager[object]


@defect(
    "a partition that metadata does not show leaves the roster",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_absence_retires_nothing",
)
def absence_retires() -> Patched:
    def read(
        parts: LeaderDependencies, seen: Mapping[str, TopicMetadata], state: ClockState, metadata: ClusterMetadata
    ) -> Roster:
        return Roster(dict(metadata.topics), state.excluded())

    return together(patch.object(leading, "read_roster", read), patch.object(step, "read_roster", read))


@defect(
    "partitions seen in an earlier term of the same process are forgotten",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_metadata_that_lags_after_a_lost_commit_retires_nothing",
)
def seen_roster_forgotten() -> Patched:
    enter = Leader._enter

    def forget(leader: Leader, phase: Phase, wait_s: float) -> float:
        waited_s = enter(leader, phase, wait_s)
        leader._seen = {}
        return waited_s

    return patch.object(Leader, "_enter", forget)


@defect(
    "metadata read by a recovery is forgotten when it fails",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_metadata_of_a_failed_recovery_are_kept",
)
def reading_of_a_failed_recovery_forgotten() -> Patched:
    recover = Leader._recover

    def forget(leader: Leader) -> float:
        before = leader._seen
        try:
            return recover(leader)
        except ClocksvcError:
            leader._seen = before
            raise

    return patch.object(Leader, "_recover", forget)


@defect(
    "a metadata reading counts from when the roster is written, not from when it was read",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_metadata_of_a_term_are_kept_after_it",
)
def reading_of_a_failed_step_forgotten() -> Patched:
    ask_metadata = step.ask_metadata

    def forget(parts: LeaderDependencies, held: Term) -> ClusterMetadata:
        before, metadata = held.seen, ask_metadata(parts, held)
        held.seen = before
        return metadata

    return patch.object(step, "ask_metadata", forget)


@defect(
    "the partition counts in the log are not read by the next leader",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_the_log_wins_over_outdated_metadata_of_a_replica",
)
def roster_of_the_log_forgotten() -> Patched:
    read_roster = recovery.read_roster

    def read(
        parts: LeaderDependencies, seen: Mapping[str, TopicMetadata], state: ClockState, metadata: ClusterMetadata
    ) -> Roster:
        return read_roster(parts, seen, replace(state, topics={}), metadata)

    return together(patch.object(leading, "read_roster", read), patch.object(step, "read_roster", read))


@defect(
    "the roster is written partition by partition, unchecked",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_a_roster_that_was_rolled_back_is_written_again",
)
def roster_one_by_one() -> Patched:
    adopt = context.adopt_roster

    def adopt_slowly(parts: LeaderDependencies, held: Term, roster: Roster) -> None:
        generation = int(parts.new_id()[:12], 16)
        for topic, shape in roster.topics.items():
            for count in range(1, shape.partitions):
                part = replace(roster, topics={topic: shape._replace(partitions=count)})
                parts.store.write_roster(held.token, part, generation)
        adopt(parts, held, roster)

    return together(
        patch.object(leading, "adopt_roster", adopt_slowly),
        patch.object(step, "adopt_roster", adopt_slowly),
        patch.object(requests, "adopt_roster", adopt_slowly),
        no_generation_and_count_check.patch(),
    )
