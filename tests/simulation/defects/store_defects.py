"""Defects of the store: what it keeps of a report, and whom it lets write."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from unittest.mock import patch

from clocksvc.clock import holds
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.clock.roster import Roster
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.memory.store_state import StoreState
from tests.faulty.store import FaultyStore
from tests.simulation.defects.defect import Promise, defect, together
from tests.simulation.defects.step_defects import no_generation_and_count_check

Patched = AbstractContextManager[object]

_receive, _replace_roster, _report = StoreState.receive, StoreState.replace_roster, FaultyStore.report


@defect(
    "an unreported partition counts as zero",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_unknown_is_not_zero",
)
def zero_for_unknown() -> Patched:
    def lowest(state: StoreState) -> int | None:
        return min((raw_ms or 0 for partition, raw_ms in state.clocks.items()), default=None)

    def behind(sight: HoldInputs) -> Hold | None:
        last_ms = -1 if sight.state.last_tick_ms is None else sight.state.last_tick_ms
        return None if sight.watermark_boundary_ms > last_ms else Hold(Reason.PARTITION_BEHIND)

    def passed(sight: HoldInputs) -> Hold | None:
        last_ms = -1 if sight.state.last_tick_ms is None else sight.state.last_tick_ms
        return None if sight.wall_clock_boundary_ms > last_ms else Hold(Reason.AHEAD_OF_TIME)

    by_name = {"partition_behind": behind, "ahead_of_time": passed}
    rules = tuple(by_name.get(rule.__name__, rule) for rule in holds.RULES)
    return together(patch.object(StoreState, "lowest_ms", lowest), patch.object(holds, "RULES", rules))


@defect(
    "the minimum is that of the partitions that were reported",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_unknown_is_not_zero",
)
def unknown_left_out() -> Patched:
    def lowest(state: StoreState) -> int | None:
        return min((raw_ms for raw_ms in state.clocks.values() if raw_ms is not None), default=None)

    return patch.object(StoreState, "lowest_ms", lowest)


@defect(
    "a report puts its partition on the roster, which is not checked",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_a_new_partition_holds_until_its_first_report",
)
def roster_of_those_who_report() -> Patched:

    def receive(state: StoreState, reading: PartitionTimestamp, bounds: ClockParameters, now_ms: int) -> Outcome:
        state.clocks.setdefault(reading.partition, None)
        return _receive(state, reading, bounds, now_ms)

    def only_reported(state: StoreState, roster: Roster, generation: int) -> None:
        _replace_roster(state, roster, generation)
        state.clocks = {partition: raw_ms for partition, raw_ms in state.clocks.items() if raw_ms is not None}

    return together(
        patch.object(StoreState, "receive", receive),
        patch.object(StoreState, "replace_roster", only_reported),
        no_generation_and_count_check.patch(),
    )


@defect(
    "a lower report lowers its partition (ZADD without GT)",
    Promise.NEVER_BACK,
    "back",
    directed="interfaces/test_store_reports.py::test_each_partition_keeps_its_maximum",
)
def zadd_without_gt() -> Patched:
    def receive(state: StoreState, reading: PartitionTimestamp, bounds: ClockParameters, now_ms: int) -> Outcome:
        outcome = _receive(state, reading, bounds, now_ms)
        if outcome is Outcome.UNCHANGED and state.clocks[reading.partition] is not None:
            state.clocks[reading.partition] = reading.timestamp_ms
        return outcome

    return patch.object(StoreState, "receive", receive)


@defect(
    "a timestamp far ahead is accepted",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_reports.py::test_refused_number_is_forgotten",
)
def far_ahead_accepted_by_the_store() -> Patched:
    return patch.object(
        StoreState,
        "receive",
        lambda state, reading, bounds, now_ms: _receive(state, reading, replace(bounds, max_future_ms=2**50), now_ms),
    )


@defect(
    "another group's reports are accepted",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_reports.py::test_another_groups_report_is_refused_whole",
)
def foreign_group_accepted() -> Patched:
    def report(store: FaultyStore, given: Report) -> ReportAnswer:
        bounds = store._state.parameters
        return _report(store, given if bounds is None else replace(given, group=bounds.group))

    return patch.object(FaultyStore, "report", report)


@defect(
    "a recreated topic keeps the partition clocks of the old one",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_recreated_topic_is_unknown_again",
)
def new_topic_keeps_old_clocks() -> Patched:
    def keep(state: StoreState, roster: Roster, generation: int) -> None:
        state.topics = dict(roster.topics)
        _replace_roster(state, roster, generation)

    return patch.object(StoreState, "replace_roster", keep)


@defect(
    "a consumer's reports of the old topic count for the recreated one",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_reports_of_the_old_topic_do_not_count_for_the_recreated_one",
)
def old_topics_numbers_count() -> Patched:
    return patch.object(StoreState, "_accepted_from", lambda state, roster: {})


@defect(
    "a new roster forgets what was reported",
    Promise.ALIVE,
    "back",
    directed="interfaces/test_store_roster.py::test_partitions_keep_what_was_reported",
)
def roster_forgets_reports() -> Patched:
    def forget(state: StoreState, roster: Roster, generation: int) -> None:
        state.clocks = {}
        _replace_roster(state, roster, generation)

    return patch.object(StoreState, "replace_roster", forget)


def _publish_anything(store: FaultyStore, token: str, ticks: Sequence[Tick]) -> int:
    with store._leading(token) as state:
        state.ticks.extend(ticks)
        state.boundary_crossed_at_ms = None
        store._note_crossing(state)
        return store._time.now_ms()


@defect(
    "ticks are appended without a check of the stream's end",
    Promise.NEVER_LOST,
    "the store's stream",
    "lost",
    "twice",
    directed="interfaces/test_store_ticks.py::test_broken_chain_is_refused_whole",
)
def publish_without_previous() -> Patched:
    return patch.object(FaultyStore, "publish", _publish_anything)


@contextmanager
def _leading_without_lease(store: FaultyStore, token: str) -> Iterator[StoreState]:
    with store._answering() as state:
        yield state


@defect(
    "a process without the lease may write",
    Promise.NEVER_SILENT,
    directed="interfaces/test_store_lease.py::test_every_write_of_a_leader_checks_its_token",
)
def token_not_checked() -> Patched:
    return patch.object(FaultyStore, "_leading", _leading_without_lease)
