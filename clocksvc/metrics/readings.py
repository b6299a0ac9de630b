"""The metrics of one clock. They are made at each scrape, so that no series outlives its partition.

If the store does not answer, the metrics that come from the store are absent. The other metrics are not affected.
"""

from collections.abc import Iterator
from typing import Protocol

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.interfaces.store import Store
from clocksvc.metrics.catalogue import (
    DISPATCHER_CHECKPOINT,
    DUE_TICKS,
    GLOBAL_CLOCK,
    HEARTBEAT_EVERY,
    HEARTBEAT_SUCCESS,
    HEARTBEATS,
    HOLD_AFTER,
    HOLDING,
    HOLDING_PARTITION,
    INTERVAL,
    LAST_TICK_EMITTED,
    LATE_RECORDS,
    OUT_OF_ORDERNESS,
    PARTITION_CLOCK,
    PARTITIONS,
    READY,
    REPORTS,
    SCHEDULE_PARTITIONS,
    TASK_DUPLICATES,
    TASKS,
    Reading,
)
from clocksvc.service.heartbeats import OUTCOMES as HEARTBEAT_OUTCOMES
from clocksvc.service.public_state import PublicState

NO_HOLD = "none"
"""The reason of `clocksvc_holding` if the clock does not hold."""
MAX_HOLDING_PARTITIONS = 10
PAGE_SIZE = 500
"""The number of partitions read at once. One page keeps Redis busy for about 2 ms, which delays a leader's round."""


class ClockSource(Protocol):
    """A clock whose metrics are read. `ClockView` implements this interface."""

    @property
    def spec(self) -> ClockSpec:
        """The clock's configuration."""

    @property
    def store(self) -> Store:
        """The clock's store."""

    @property
    def counters(self) -> Counters | None:
        """The counters that were read with the clock's last state; None if the store did not answer."""

    def cached_readiness_error(self) -> str:
        """Return why this replica can't answer for the clock, or "" if it can. Does not block."""


def read(source: ClockSource, state: PublicState, leads: bool) -> Iterator[Reading]:
    """Return the metrics of a clock, without its partition clocks. Does not block.

    Args:
        state: the clock's state.
        leads: whether this process leads the clock. Only the leader exports the store's counts.
    """
    spec = source.spec
    yield from _configured(spec)
    yield Reading(READY, (spec.name,), float(not source.cached_readiness_error()))
    yield from _state(spec.name, state)
    if leads and source.counters is not None and store_answers(state):
        yield from _counters(spec, source.counters)


def store_answers(state: PublicState) -> bool:
    """True if the clock's store answered, and accepts writes."""
    return state.hold is None or state.hold.reason is not Reason.STORE_UNAVAILABLE


def partition_clock_lines(source: ClockSource, state: PublicState) -> list[str]:
    """Return a clock's partition clocks as lines of Prometheus's text format, without unknown and excluded partitions.

    Reads the store only if the clock has more partitions than its state names. The lines are written directly: to
    create 10,000 objects instead would take several times as long.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    counts, clock = state.partitions, source.spec.name
    if counts is not None and counts.known + counts.unknown <= len(state.slowest):
        return [
            _partition_clock_line(clock, one.partition, one.clock_ms)
            for one in state.slowest
            if one.clock_ms is not None
        ]
    parameters = source.store.snapshot().parameters
    if parameters is None:
        return []
    late_ms = parameters.out_of_orderness_ms
    return [
        _partition_clock_line(clock, one.partition, one.raw_ms - late_ms)
        for one in _all_partitions(source.store)
        if one.raw_ms is not None and not one.excluded
    ]


def _partition_clock_line(clock: str, partition: Partition, at_ms: int) -> str:
    # The names of clocks and topics have no character that needs escaping.
    labels = f'clock="{clock}",partition="{partition.number}",topic="{partition.topic}"'
    return f"{PARTITION_CLOCK.name}{{{labels}}} {_seconds(at_ms)}\n"


def _configured(spec: ClockSpec) -> Iterator[Reading]:
    yield Reading(INTERVAL, (spec.name,), spec.interval_ms / 1000)
    yield Reading(HOLD_AFTER, (spec.name,), spec.effective_hold_after_ms / 1000)
    if spec.heartbeat is not None:
        yield Reading(HEARTBEAT_EVERY, (spec.name,), spec.heartbeat.every_ms / 1000)


def _state(clock: str, state: PublicState) -> Iterator[Reading]:
    last, counts = state.last_tick, state.partitions
    if last is not None:
        yield Reading(GLOBAL_CLOCK, (clock,), last.at_ms / 1000)
        yield Reading(LAST_TICK_EMITTED, (clock,), last.emitted_at_ms / 1000)
    if state.max_out_of_orderness_ms is not None:
        yield Reading(OUT_OF_ORDERNESS, (clock,), state.max_out_of_orderness_ms / 1000)
    if state.due_ticks is not None:
        yield Reading(DUE_TICKS, (clock,), state.due_ticks)
    yield from _hold(clock, state.hold)
    if counts is not None:
        yield Reading(PARTITIONS, (clock, "known"), counts.known)
        yield Reading(PARTITIONS, (clock, "unknown"), counts.unknown)
        yield Reading(PARTITIONS, (clock, "excluded"), counts.excluded)
    schedules = state.schedules
    if schedules is not None and schedules.owned is not None:
        yield Reading(SCHEDULE_PARTITIONS, (clock, "owned"), schedules.owned)
        yield Reading(SCHEDULE_PARTITIONS, (clock, "unowned"), schedules.partitions - schedules.owned)


def _hold(clock: str, hold: Hold | None) -> Iterator[Reading]:
    yield Reading(HOLDING, (clock, NO_HOLD if hold is None else str(hold.reason)), float(hold is not None))
    for partition in () if hold is None else hold.partitions[:MAX_HOLDING_PARTITIONS]:
        yield Reading(HOLDING_PARTITION, (clock, partition.topic, str(partition.number)), 1)


def _counters(spec: ClockSpec, counters: Counters) -> Iterator[Reading]:
    clock = spec.name
    for outcome, count in (dict.fromkeys(Outcome, 0) | dict(counters.reports)).items():
        yield Reading(REPORTS, (clock, str(outcome)), count)
    heartbeats = dict(counters.heartbeats)
    if spec.heartbeat is not None:
        heartbeats = dict.fromkeys(HEARTBEAT_OUTCOMES, 0) | heartbeats
    for outcome, count in heartbeats.items():
        yield Reading(HEARTBEATS, (clock, outcome), count)
    yield Reading(LATE_RECORDS, (clock,), counters.late_records)
    if counters.heartbeat_success_ms is not None:
        yield Reading(HEARTBEAT_SUCCESS, (clock,), counters.heartbeat_success_ms / 1000)
    yield from _tasks(clock, counters)


def _tasks(clock: str, counters: Counters) -> Iterator[Reading]:
    for dispatcher, handled in counters.tasks.items():
        for (namespace, queue, outcome), count in handled.items():
            yield Reading(TASKS, (clock, dispatcher, namespace, queue, outcome), count)
    for dispatcher, at_ms in counters.dispatcher_checkpoints_ms.items():
        yield Reading(DISPATCHER_CHECKPOINT, (clock, dispatcher), at_ms / 1000)
    if counters.tasks or counters.task_duplicates:
        yield Reading(TASK_DUPLICATES, (clock,), counters.task_duplicates)


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03}" if at_ms > 0 else "0"


def _all_partitions(store: Store) -> Iterator[PartitionClock]:
    page = store.partitions(None, PAGE_SIZE)
    while page:
        yield from page
        page = store.partitions(page[-1].partition, PAGE_SIZE) if len(page) == PAGE_SIZE else []
