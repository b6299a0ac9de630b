"""What a scrape reads of one clock: plain readings, made anew each time, so that no series outlives its partition.

A part that does not answer leaves its readings out; it fails nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Outcome
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.store import (
    Counters,
    Store,
)
from clocksvc.metrics import partition_clocks
from clocksvc.metrics.catalogue import (
    DISPATCHER_CHECKPOINT,
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
    PARTITIONS,
    READY,
    REPORTS,
    TASK_DUPLICATES,
    TASKS,
    Metric,
)
from clocksvc.service import heartbeats as heartbeat
from clocksvc.service.public_state import PublicState

T = TypeVar("T")

logger = logging.getLogger("clocksvc.metrics")

HOLDERS_NAMED = 10


class View(Protocol):
    """A clock as this replica sees it."""

    @property
    def spec(self) -> ClockSpec:
        """The clock's configuration."""

    @property
    def store(self) -> Store:
        """The clock's store."""

    def state(self) -> PublicState:
        """The clock's public state."""

    def readiness_error(self) -> str:
        """Why this replica can't answer for the clock; "" where it can."""


class Reading(NamedTuple):
    """One sample: the labels' values in the catalogue's order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


class Page(NamedTuple):
    """One clock's part of a scrape: its readings, and the samples of its partition clocks as lines of text."""

    readings: list[Reading]
    partition_clocks: list[str]


def read(view: View, leads: bool, per_partition: bool = True) -> Page:
    """Everything that is known of a clock now; what only the leader exports where this process leads."""
    clock = view.spec.name
    readings = list(_configured(view.spec))
    try:
        readings.append(Reading(READY, (clock,), float(not view.readiness_error())))
        state = view.state()
    except ClocksvcError as error:
        logger.warning("scrape without a clock's state", extra={"clock": clock, "error": str(error)})
        return Page(readings, [])
    readings += _state(clock, state)
    if not leads or (state.hold is not None and state.hold.reason is Reason.STORE_UNAVAILABLE):
        return Page(readings, [])
    lines = _if_answered(view, partition_clocks.lines) if per_partition else []
    return Page(readings + _if_answered(view, _counters), lines)


def _if_answered(view: View, part: Callable[[str, Store], Iterable[T]]) -> list[T]:
    """All of a part or none: half of it would make a wrong minimum."""
    clock = view.spec.name
    try:
        return list(part(clock, view.store))
    except ClocksvcError as error:
        logger.warning("scrape without what the store knows", extra={"clock": clock, "error": str(error)})
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
    yield from _hold(clock, state.hold)
    if counts is not None:
        yield Reading(PARTITIONS, (clock, "known"), counts.known)
        yield Reading(PARTITIONS, (clock, "unknown"), counts.unknown)
        yield Reading(PARTITIONS, (clock, "excluded"), counts.excluded)


def _hold(clock: str, hold: Hold | None) -> Iterator[Reading]:
    reason = None if hold is None else str(hold.reason)
    # A newer version's leader may give a reason that is not known here: it holds the clock all the same.
    for one in dict.fromkeys([*map(str, Reason), *([] if reason is None else [reason])]):
        yield Reading(HOLDING, (clock, one), float(one == reason))
    for partition in () if hold is None else hold.partitions[:HOLDERS_NAMED]:
        yield Reading(HOLDING_PARTITION, (clock, partition.topic, str(partition.number)), 1)


def _counters(clock: str, store: Store) -> Iterator[Reading]:
    counters = store.counters()
    for outcome, count in (dict.fromkeys(Outcome, 0) | dict(counters.reports)).items():
        yield Reading(REPORTS, (clock, str(outcome)), count)
    for outcome, count in (dict.fromkeys(heartbeat.OUTCOMES, 0) | dict(counters.heartbeats)).items():
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
    yield Reading(TASK_DUPLICATES, (clock,), counters.task_duplicates)
