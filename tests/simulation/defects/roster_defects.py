"""Defects of the roster: which partitions a leader waits for."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.leader import round
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.round import Round
from clocksvc.leader.term import ClockTerm, Term
from tests.simulation.defects.defect import Promise, altered, defect, together
from tests.simulation.defects.round_defects import no_generation_and_count_check
from tests.simulation.defects.seams import with_stores, with_terms

Patched = AbstractContextManager[object]


@defect(
    "a partition that metadata does not show leaves the roster",
    Promise.NEVER_EARLY,
    "early",
    "uncommitted",
    directed="unit/leader/test_leading.py::test_absence_retires_nothing",
)
def absence_retires() -> Patched:
    def merge(
        remembered: Mapping[str, TopicMetadata],
        listed: Mapping[str, TopicMetadata],
        configured: Collection[str],
        excluded: Collection[Partition] = (),
    ) -> Roster:
        return Roster(dict(listed), frozenset(excluded))

    return patch.object(round, "merge_metadata", merge)


@defect(
    "the partition counts in the log are not read by the next leader",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_the_log_wins_over_outdated_metadata_of_a_replica",
)
def roster_of_the_log_forgotten() -> Patched:
    def alter(clock: ClockTerm, term: Term) -> None:
        clock.state = replace(clock.state, topics={})

    def alter_store(parts: LeaderDependencies, store: Any) -> Any:
        return altered(store, roster_topics=dict)

    return together(with_terms(alter), with_stores(alter_store))


@defect(
    "a roster that grew goes to the store before it is committed",
    Promise.NEVER_EARLY,
    "uncommitted",
    "early",
    directed="unit/leader/test_roster_commit.py::test_the_log_has_it_before_the_store",
)
def roster_written_before_commit() -> Patched:
    adopt = Round._adopt_metadata

    def write_first(self: Round, work: Any, roster: Roster) -> None:
        if work.clock.prepared and roster.topics != work.clock.roster.topics:
            self._write_roster(work.clock, roster)
        adopt(self, work, roster)

    return patch.object(Round, "_adopt_metadata", write_first)


@defect(
    "a roster that grew is not committed",
    Promise.NEVER_EARLY,
    "uncommitted",
    "early",
    directed="unit/leader/test_roster_failover.py::test_a_partition_on_any_roster_is_never_forgotten",
)
def growth_not_committed() -> Patched:
    adopt = Round._adopt_metadata

    def adopt_alone(self: Round, work: Any, roster: Roster) -> None:
        adopt(self, work, roster)
        if work.clock.state.topics and work.clock.state.group == work.clock.spec.group:
            work.control = None

    return patch.object(Round, "_adopt_metadata", adopt_alone)


@defect(
    "the roster is written partition by partition, unchecked",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_a_roster_that_was_rolled_back_is_written_again",
)
def roster_one_by_one() -> Patched:
    def alter(parts: LeaderDependencies, store: Any) -> Any:
        def write_roster(token: str, roster: Roster, generation: int, *rest: Any) -> None:
            for topic, shape in roster.topics.items():
                for count in range(1, shape.partitions):
                    part = replace(roster, topics={topic: shape._replace(partitions=count)})
                    store.write_roster(token, part, int(parts.new_id()[:12], 16))
            store.write_roster(token, roster, generation, *rest)

        return altered(store, write_roster=write_roster)

    return together(with_stores(alter), no_generation_and_count_check.patch())
