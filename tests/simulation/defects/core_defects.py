"""Defects of the core: what counts as reached, and which ticks are due."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from clocksvc.clock import boundary, holds, log_record
from clocksvc.clock.holds import HoldInputs
from clocksvc.clock.tick import Tick
from tests.simulation.defects.defect import Promise, defect, together

Patched = AbstractContextManager[object]


def _without(rule: object) -> Patched:
    return patch.object(holds, "RULES", tuple(each for each in holds.RULES if each is not rule))


@defect(
    "the out-of-orderness is not subtracted",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_out_of_orderness_is_subtracted_to_compare",
)
def out_of_orderness_not_subtracted() -> Patched:
    def reached(sight: HoldInputs) -> int:
        return boundary.floor(sight.lowest_ms or 0, sight.interval_ms)

    return patch.object(HoldInputs, "watermark_boundary_ms", property(reached))


@defect(
    "only the store's clock must have passed a boundary",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/clock/test_due_ticks.py::test_the_verdict",
)
def leaders_clock_not_compared() -> Patched:
    return patch.object(
        HoldInputs,
        "wall_clock_boundary_ms",
        property(lambda sight: boundary.floor(sight.store_now_ms, sight.interval_ms)),
    )


@defect(
    "only the leader's clock must have passed a boundary",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/clock/test_due_ticks.py::test_the_verdict",
)
def stores_clock_not_compared() -> Patched:
    return patch.object(
        HoldInputs,
        "wall_clock_boundary_ms",
        property(lambda sight: boundary.floor(sight.leader_now_ms, sight.interval_ms)),
    )


@defect(
    "replicas with different configurations go on ticking",
    Promise.NEVER_LOST,
    "conflict",
    "lost",
    "early",
    directed="unit/leader/test_leading.py::test_replicas_with_different_configurations_hold_the_clock",
)
def config_conflict_ignored() -> Patched:
    return _without(holds.config_conflict)


@defect(
    "a store that lost the replicas' announcements is trusted at once",
    Promise.NEVER_LOST,
    "conflict",
    "early",
    directed="unit/leader/test_shape.py::test_a_flush_hides_no_replica_that_disagrees",
)
def unheard_replicas_ignored() -> Patched:
    return _without(holds.announcements_incomplete)


@defect(
    "a topic that Kafka does not list holds nothing",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_absence_retires_nothing",
)
def missing_topic_ignored() -> Patched:
    return _without(holds.topic_missing)


@defect(
    "a paused clock goes on",
    Promise.NEVER_EARLY,
    "paused",
    directed="unit/clock/test_due_ticks.py::test_the_verdict",
)
def pause_ignored() -> Patched:
    return _without(holds.paused)


@defect(
    "a clock begins however far back its first tick is",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/clock/test_due_ticks.py::test_the_verdict",
)
def first_tick_too_far_back() -> Patched:
    return _without(holds.too_far_back)


@defect(
    "skipped boundaries get no tick: only the last one does",
    Promise.NEVER_LOST,
    "lost",
    "chain",
    directed="unit/leader/test_leading.py::test_skipped_boundaries_are_ticked_one_by_one",
)
def skipped_boundaries_left_out() -> Patched:
    span = boundary.boundaries_between
    return patch.object(boundary, "boundaries_between", lambda *args: span(*args)[-1:])


@defect(
    "after a change the next tick is the last one plus the new interval",
    Promise.NEVER_LOST,
    "interval",
    "lost",
    directed="unit/leader/test_leading.py::test_replicas_with_different_configurations_hold_the_clock",
)
def interval_added_to_the_last_tick() -> Patched:
    def span(after_ms: int, upto_ms: int, interval_ms: int, limit: int) -> range:
        return range(after_ms + interval_ms, min(upto_ms, after_ms + limit * interval_ms) + 1, interval_ms)

    return patch.object(boundary, "boundaries_between", span)


@defect(
    "a tick does not name the excluded partitions",
    Promise.NEVER_SILENT,
    "excluded",
    directed="unit/clock/test_tick.py::test_a_tick_on_the_wire",
)
def exclusions_not_named() -> Patched:
    to_wire = Tick.to_wire
    return patch.object(Tick, "to_wire", lambda tick: to_wire(tick) | {"excluded": []})


@defect(
    "a record of the log loses the exclusions",
    Promise.REBUILT,
    "excluded",
    "dead",
    directed="unit/clock/test_log_record.py::test_a_record_in_the_log",
)
def exclusions_lost_in_the_log() -> Patched:

    state_to_wire = log_record._state_to_wire
    return together(patch.object(log_record, "_state_to_wire", lambda state: state_to_wire(state) | {"exclusions": []}))
