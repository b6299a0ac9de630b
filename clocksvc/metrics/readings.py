"""What a scrape reads of one clock: plain readings, made anew each time, so that no series outlives its partition.

A part that does not answer leaves its readings out; it fails nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import parse_timestamp
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

    def state(self) -> Mapping[str, Any]:
        """What `GET /v1/clocks/{clock}` answers."""

    def unready(self) -> str:
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
        readings.append(Reading(READY, (clock,), float(not view.unready())))
        state = view.state()
    except ClocksvcError as error:
        logger.warning("scrape without a clock's state", extra={"clock": clock, "error": str(error)})
        return Page(readings, [])
    readings += _state(clock, state)
    if not leads or _reason(state) == Reason.STORE_UNAVAILABLE:
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


def _reason(state: Mapping[str, Any]) -> str | None:
    hold = state.get("hold")
    return None if hold is None else str(hold["reason"])


def _state(clock: str, state: Mapping[str, Any]) -> Iterator[Reading]:
    if state.get("timestamp_seconds") is not None:
        yield Reading(GLOBAL_CLOCK, (clock,), state["timestamp_seconds"])
    last = state.get("last_tick")
    if last is not None:
        yield Reading(LAST_TICK_EMITTED, (clock,), parse_timestamp("emitted_at", last["emitted_at"]) / 1000)
    if state.get("max_out_of_orderness_seconds") is not None:
        yield Reading(OUT_OF_ORDERNESS, (clock,), state["max_out_of_orderness_seconds"])
    yield from _hold(clock, state)
    for name, count in (state.get("partitions") or {}).items():
        if count is not None:
            yield Reading(PARTITIONS, (clock, name), count)


def _hold(clock: str, state: Mapping[str, Any]) -> Iterator[Reading]:
    reason = _reason(state)
    # A newer version's leader may give a reason that is not known here: it holds the clock all the same.
    for one in dict.fromkeys([*map(str, Reason), *([] if reason is None else [reason])]):
        yield Reading(HOLDING, (clock, one), float(one == reason))
    named = [] if reason is None else state["hold"]["partitions"]
    for one in named[:HOLDERS_NAMED]:
        yield Reading(HOLDING_PARTITION, (clock, one["topic"], str(one["partition"])), 1)


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
