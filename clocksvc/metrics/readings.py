"""Reads the metrics of one clock at each scrape, so that no series outlives its partition.

If the store does not answer, the metrics that come from the store are absent. The other metrics are not affected.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Outcome
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import ClocksvcError
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

T = TypeVar("T")

logger = logging.getLogger("clocksvc.metrics")

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

    def state(self) -> PublicState:
        """Return the clock's public state."""

    def readiness_error(self) -> str:
        """Return why this replica can't answer for the clock, or "" if it can."""


class ClockReadings(NamedTuple):
    """The samples of one clock. `partition_clocks` are lines of Prometheus's text format."""

    readings: list[Reading]
    partition_clocks: list[str]


def read(source: ClockSource, leads: bool, per_partition: bool = True) -> ClockReadings:
    """Return all metrics of a clock. Blocks at most for the store's timeout. Outages raise no exception.

    Args:
        leads: whether this process leads the clock. Only the leader exports partition clocks and the store's
            counts.
        per_partition: whether to export partition clocks.
    """
    clock = source.spec.name
    readings = list(_configured(source.spec))
    try:
        readings.append(Reading(READY, (clock,), float(not source.readiness_error())))
        state = source.state()
    except ClocksvcError as error:
        logger.warning("scrape without the clock's state", extra={"clock": clock, "error": str(error)})
        return ClockReadings(readings, [])
    readings += _state(clock, state)
    if not leads or (state.hold is not None and state.hold.reason is Reason.STORE_UNAVAILABLE):
        return ClockReadings(readings, [])
    lines = _all_or_none(source, _partition_clock_lines) if per_partition else []
    return ClockReadings(readings + _all_or_none(source, _counters), lines)


def _all_or_none(source: ClockSource, part: Callable[[ClockSpec, Store], Iterable[T]]) -> list[T]:
    """Return all metrics of one part, or none of them if the store fails, because half of them would be misleading."""
    try:
        return list(part(source.spec, source.store))
    except ClocksvcError as error:
        logger.warning("scrape without the store's metrics", extra={"clock": source.spec.name, "error": str(error)})
        return []


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


def _counters(spec: ClockSpec, store: Store) -> Iterator[Reading]:
    clock, counters = spec.name, store.counters()
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


def _partition_clock_lines(spec: ClockSpec, store: Store) -> Iterator[str]:
    """Return a clock's partition clocks as lines of Prometheus's text format, without unknown and excluded partitions.

    The lines are written directly. To create 10,000 of prometheus_client's objects instead would block the interpreter
    three times as long.
    """
    parameters = store.snapshot().parameters
    if parameters is None:
        return
    # The names of clocks and topics have no character that needs escaping.
    start, late_ms = f'{PARTITION_CLOCK.name}{{clock="{spec.name}",partition="', parameters.out_of_orderness_ms
    for line in _all_partitions(store):
        if line.raw_ms is not None and not line.excluded:
            partition = line.partition
            yield f'{start}{partition.number}",topic="{partition.topic}"}} {_seconds(line.raw_ms - late_ms)}\n'


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03}" if at_ms > 0 else "0"


def _all_partitions(store: Store) -> Iterator[PartitionClock]:
    page = store.partitions(None, PAGE_SIZE)
    while page:
        yield from page
        page = store.partitions(page[-1].partition, PAGE_SIZE) if len(page) == PAGE_SIZE else []
