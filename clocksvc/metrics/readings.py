"""What a scrape reads of one clock: plain readings, made anew each time, so that no series outlives its partition.

A part that does not answer leaves its readings out; it fails nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from clocksvc import heartbeat
from clocksvc.clock.hold import Reason
from clocksvc.clock.partition import Outcome
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import ClocksvcError
from clocksvc.metrics.catalogue import (
    GLOBAL_CLOCK,
    HEARTBEAT_SUCCESS,
    HEARTBEATS,
    HOLDING,
    LATE_RECORDS,
    PARTITION_CLOCK,
    PARTITIONS,
    REPORTS,
    SENDER_POSITION,
    TASK_DOUBLES,
    TASKS,
    Metric,
)
from clocksvc.store import Counters, PartitionClock, Store

logger = logging.getLogger("clocksvc.metrics")

PAGE = 2_000


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


class Reading(NamedTuple):
    """One sample: the labels' values in the catalogue's order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def read(view: View, leads: bool) -> list[Reading]:
    """Everything that is known of a clock now; what only the leader exports where this process leads."""
    clock = view.spec.name
    try:
        state = view.state()
    except ClocksvcError as error:
        logger.warning("scrape without a clock's state", extra={"clock": clock, "error": str(error)})
        return []
    readings = list(_state(clock, state))
    if leads and _reason(state) != Reason.STORE_UNAVAILABLE:
        readings += _if_answered(clock, view.store, _partition_clocks)
        readings += _if_answered(clock, view.store, _counters)
    return readings


def _if_answered(clock: str, store: Store, part: Callable[[str, Store], Iterable[Reading]]) -> list[Reading]:
    """All of a part's readings or none: half of them would make a wrong minimum."""
    try:
        return list(part(clock, store))
    except ClocksvcError as error:
        logger.warning("scrape without what the store knows", extra={"clock": clock, "error": str(error)})
        return []


def _reason(state: Mapping[str, Any]) -> str | None:
    hold = state.get("hold")
    return None if hold is None else str(hold["reason"])


def _state(clock: str, state: Mapping[str, Any]) -> Iterator[Reading]:
    if state.get("timestamp_seconds") is not None:
        yield Reading(GLOBAL_CLOCK, (clock,), state["timestamp_seconds"])
    reason = _reason(state)
    # A newer version's leader may give a reason that is not known here: it holds the clock all the same.
    for one in dict.fromkeys([*map(str, Reason), *([] if reason is None else [reason])]):
        yield Reading(HOLDING, (clock, one), float(one == reason))
    for name, count in (state.get("partitions") or {}).items():
        if count is not None:
            yield Reading(PARTITIONS, (clock, name), count)


def _partition_clocks(clock: str, store: Store) -> Iterator[Reading]:
    bounds = store.snapshot().bounds
    if bounds is None:
        return
    for line in _all_partitions(store):
        if line.raw_ms is not None and not line.excluded:
            seconds = max(0, line.raw_ms - bounds.out_of_orderness_ms) / 1000
            yield Reading(PARTITION_CLOCK, (clock, line.partition.topic, str(line.partition.number)), seconds)


def _all_partitions(store: Store) -> Iterator[PartitionClock]:
    page = store.partitions(None, PAGE)
    while page:
        yield from page
        page = store.partitions(page[-1].partition, PAGE) if len(page) == PAGE else []


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
    for sender, handled in counters.tasks.items():
        for (namespace, queue, outcome), count in handled.items():
            yield Reading(TASKS, (clock, sender, namespace, queue, outcome), count)
    for sender, at_ms in counters.sender_positions_ms.items():
        yield Reading(SENDER_POSITION, (clock, sender), at_ms / 1000)
    yield Reading(TASK_DOUBLES, (clock,), counters.task_doubles)
