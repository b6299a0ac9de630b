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
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_access import StoreAccess, StoreContent, StoredLog
from clocksvc.memory.store_state import StoredClock
from tests.simulation.defects.defect import Promise, defect, together
from tests.simulation.defects.round_defects import no_generation_and_count_check

Patched = AbstractContextManager[object]

_receive, _replace_roster, _report = StoredClock.receive, StoredClock.replace_roster, MemoryStore.report


@defect(
    "an unreported partition counts as zero",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_unknown_is_not_zero",
)
def zero_for_unknown() -> Patched:
    def lowest(state: StoredClock) -> int | None:
        return min((raw_ms or 0 for partition, raw_ms in state.clocks.items()), default=None)

    def behind(sight: HoldInputs) -> Hold | None:
        last_ms = -1 if sight.state.last_tick_ms is None else sight.state.last_tick_ms
        return None if sight.watermark_boundary_ms > last_ms else Hold(Reason.PARTITION_BEHIND)

    def passed(sight: HoldInputs) -> Hold | None:
        last_ms = -1 if sight.state.last_tick_ms is None else sight.state.last_tick_ms
        return None if sight.wall_clock_boundary_ms > last_ms else Hold(Reason.AHEAD_OF_TIME)

    by_name = {"partition_behind": behind, "ahead_of_time": passed}
    rules = tuple(by_name.get(rule.__name__, rule) for rule in holds.RULES)
    return together(patch.object(StoredClock, "lowest_ms", lowest), patch.object(holds, "RULES", rules))


@defect(
    "the minimum is that of the partitions that were reported",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_unknown_is_not_zero",
)
def unknown_left_out() -> Patched:
    def lowest(state: StoredClock) -> int | None:
        return min((raw_ms for raw_ms in state.clocks.values() if raw_ms is not None), default=None)

    return patch.object(StoredClock, "lowest_ms", lowest)


@defect(
    "a report puts its partition on the roster, which is not checked",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_a_new_partition_holds_until_its_first_report",
)
def roster_of_those_who_report() -> Patched:

    def receive(
        state: StoredClock, reading: PartitionTimestamp, topic_id: str | None, bounds: ClockParameters, now_ms: int
    ) -> Outcome:
        state.clocks.setdefault(reading.partition, None)
        return _receive(state, reading, topic_id, bounds, now_ms)

    def only_reported(state: StoredClock, token: str, roster: Roster, generation: int) -> None:
        _replace_roster(state, token, roster, generation)
        state.clocks = {partition: raw_ms for partition, raw_ms in state.clocks.items() if raw_ms is not None}

    return together(
        patch.object(StoredClock, "receive", receive),
        patch.object(StoredClock, "replace_roster", only_reported),
        no_generation_and_count_check.patch(),
    )


@defect(
    "a lower report lowers its partition (ZADD without GT)",
    Promise.NEVER_BACK,
    "back",
    directed="interfaces/test_store_reports.py::test_each_partition_keeps_its_maximum",
)
def zadd_without_gt() -> Patched:
    def receive(
        state: StoredClock, reading: PartitionTimestamp, topic_id: str | None, bounds: ClockParameters, now_ms: int
    ) -> Outcome:
        outcome = _receive(state, reading, topic_id, bounds, now_ms)
        if outcome is Outcome.UNCHANGED and state.clocks[reading.partition] is not None:
            state.clocks[reading.partition] = reading.timestamp_ms
        return outcome

    return patch.object(StoredClock, "receive", receive)


@defect(
    "a timestamp far ahead is accepted",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_reports.py::test_refused_number_is_forgotten",
)
def far_ahead_accepted_by_the_store() -> Patched:
    return patch.object(
        StoredClock,
        "receive",
        lambda state, reading, topic_id, bounds, now_ms: _receive(
            state, reading, topic_id, replace(bounds, max_future_ms=2**50), now_ms
        ),
    )


@defect(
    "another group's reports are accepted",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_reports.py::test_another_groups_report_is_refused_whole",
)
def foreign_group_accepted() -> Patched:
    def report(store: MemoryStore, given: Report) -> ReportAnswer:
        bounds = store._access.content.clock(store._clock).parameters
        return _report(store, given if bounds is None else replace(given, group=bounds.group))

    return patch.object(MemoryStore, "report", report)


@defect(
    "a recreated topic keeps the partition clocks of the old one",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_recreated_topic_is_unknown_again",
)
def new_topic_keeps_old_clocks() -> Patched:
    def keep(state: StoredClock, token: str, roster: Roster, generation: int) -> None:
        state.topics = dict(roster.topics)
        _replace_roster(state, token, roster, generation)

    return patch.object(StoredClock, "replace_roster", keep)


@defect(
    "a consumer's reports of the old topic count for the recreated one",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_roster.py::test_reports_of_the_old_topic_do_not_count_for_the_recreated_one",
)
def old_topics_numbers_count() -> Patched:
    return patch.object(StoredClock, "_accepted_from", lambda state, roster: {})


@defect(
    "a new roster forgets what was reported",
    Promise.ALIVE,
    "back",
    directed="interfaces/test_store_roster.py::test_partitions_keep_what_was_reported",
)
def roster_forgets_reports() -> Patched:
    def forget(state: StoredClock, token: str, roster: Roster, generation: int) -> None:
        state.clocks = {}
        _replace_roster(state, token, roster, generation)

    return patch.object(StoredClock, "replace_roster", forget)


def _publish_anything(store: MemoryStore, token: str, ticks: Sequence[Tick]) -> int:
    with store._leading(token) as clock:
        clock.ticks.extend(ticks)
        clock.boundary_crossed_at_ms = None
        store._access.add_notice(store._clock)
        return store._access.time.now_ms()


@defect(
    "ticks are appended without a check of the stream's end",
    Promise.NEVER_LOST,
    "broken stream",
    "lost",
    "twice",
    directed="interfaces/test_store_ticks.py::test_broken_chain_is_refused_whole",
)
def publish_without_previous() -> Patched:
    return patch.object(MemoryStore, "publish", _publish_anything)


@contextmanager
def _leading_without_lease(access: StoreAccess, log: int, token: str) -> Iterator[StoreContent]:
    with access.answering() as content:
        yield content


@defect(
    "a process without the lease may write",
    Promise.NEVER_SILENT,
    directed="interfaces/test_leases.py::test_every_write_of_a_leader_checks_its_token",
)
def token_not_checked() -> Patched:
    return patch.object(StoreAccess, "leading", _leading_without_lease)


@defect(
    "the old group's progress counts for the new one",
    Promise.NEVER_EARLY,
    "early",
    directed="interfaces/test_store_group.py::test_another_group_begins_with_unknown_partitions",
)
def old_groups_progress_counts() -> Patched:
    def keep(clock: StoredClock, token: str, roster: Roster, generation: int) -> None:
        clock.roster_group = None if clock.parameters is None else clock.parameters.group
        _replace_roster(clock, token, roster, generation)

    return patch.object(StoredClock, "replace_roster", keep)


@defect(
    "a stream is replaced by staged ticks that end elsewhere",
    Promise.NEVER_BACK,
    "back",
    "lost",
    "broken stream",
    "twice",
    directed="interfaces/test_store_ticks.py::test_staged_ticks_with_another_end_are_not_used",
)
def staged_ticks_not_compared() -> Patched:
    def finish(clock: StoredClock) -> bool:
        clock.ticks, clock.restoring = clock.staged or [], False
        clock.staged = None
        return True

    return patch.object(StoredClock, "finish_restoring", finish)


@defect(
    "a gap in the numbers of notices is not noticed",
    Promise.ALIVE,
    directed="unit/service/test_notice_follower.py::test_a_flushed_store_is_followed_again",
)
def missed_notices_ignored() -> Patched:
    notices_after = StoredLog.notices_after
    return patch.object(StoredLog, "notices_after", lambda log, number: notices_after(log, number) or [])
