"""Defects that an audit of the first edition found, as far as no other module has them. They break no promise that the
simulation watches, so directed tests find them."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from clocksvc.client import progress_tracker
from clocksvc.client.reporter import Reporter
from clocksvc.errors import ReporterMisuse
from clocksvc.leader import restoring
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_state import StoredClock
from clocksvc.service.tick_feed import TickFeed
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


@defect(
    "the complete history of a stream is read at once",
    Promise.REBUILT,
    directed="unit/leader/test_rebuild_memory.py::test_a_restoration_takes_bounded_memory",
)
def history_read_at_once() -> Patched:
    return patch.object(restoring, "CHUNK", 10**9)


@defect(
    "an unknown partition is repeated with all others only",
    Promise.ALIVE,
    directed="unit/client/test_unknown_repeats.py::test_an_unknown_partition_is_repeated_after_a_second_beside_busy_ones",
)
def unknown_partition_repeated_late() -> Patched:
    return patch.object(progress_tracker, "REPEAT_UNKNOWN_S", 10.0)


@defect(
    "a configuration that does not fit a reporter raises in its consumer's loop",
    Promise.ALIVE,
    directed="unit/client/test_configuration_change.py"
    "::test_a_restarted_consumer_never_crashes_because_the_clock_got_a_topic",
)
def misuse_raised_in_a_running_consumer() -> Patched:
    observe = Reporter.observe

    def observe_strictly(reporter: Reporter, partition: int, timestamp_ms: int) -> None:
        parameters = reporter._senders.first.parameters
        if parameters is not None and len(parameters.topics) > 1:
            raise ReporterMisuse
        observe(reporter, partition, timestamp_ms)

    return patch.object(Reporter, "observe", observe_strictly)


@defect(
    "a live subscriber before the first tick does not know where the clock begins",
    Promise.NEVER_LOST,
    directed="unit/api/test_stream_after_init.py::test_a_live_subscriber_before_the_first_tick_gets_that_tick",
)
def beginning_not_known() -> Patched:
    return patch.object(TickFeed, "beginning_ms", property(lambda feed: None, lambda feed, value: None), create=True)


@defect(
    "the report that completes a boundary does not notify the leader",
    Promise.ALIVE,
    directed="unit/leader/test_tick_latency.py::test_the_report_that_completes_a_boundary_notifies_the_leader",
)
def crossing_never_cleared() -> Patched:
    def update(store: MemoryStore, clock: StoredClock) -> None:
        if clock.boundary_crossed_at_ms is None and clock.boundary_waits():
            clock.boundary_crossed_at_ms = store._time.now_ms()
            store._access.notify(store._log)

    return patch.object(MemoryStore, "_update_crossing", update)
