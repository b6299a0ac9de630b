"""The metrics of one clock. They are made at each scrape, so that no series outlives its partition.

If the store does not answer, the metrics that come from the store are absent. The other metrics are not affected.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.spec import ClockSpec, upstream_name
from clocksvc.clock.upstream_hold import last_of_chain
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.observations import PartitionObservation
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.interfaces.store import Store
from clocksvc.metrics.catalogue import (
    DISPATCHER_CHECKPOINT,
    DUE_TICKS,
    GLOBAL_CLOCK,
    GROUP_COMMITTED,
    GROUP_END,
    HEARTBEAT_EVERY,
    HEARTBEAT_SUCCESS,
    HEARTBEATS,
    HOLD_AFTER,
    HOLDING,
    HOLDING_PARTITION,
    HOLDING_UPSTREAM,
    INTERVAL,
    LAST_TICK_EMITTED,
    LATE_RECORDS,
    OBSERVATION,
    OUT_OF_ORDERNESS,
    PARTITION_CLOCK,
    PARTITIONS,
    READY,
    REPORTS,
    SCHEDULE_PARTITIONS,
    SKIPPED_RECORDS,
    STAGE_BEHIND,
    TASK_DUPLICATES,
    TASKS,
    WAITING_PARTITIONS,
    Metric,
    Reading,
)
from clocksvc.metrics.text_format import escaped
from clocksvc.service.heartbeats import OUTCOMES as HEARTBEAT_OUTCOMES
from clocksvc.service.public_state import PublicState

NO_HOLD = "none"
"""The reason of `clocksvc_holding` if the clock does not hold, and that of a stage without a hold."""
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


def read(source: ClockSource, state: PublicState, leads: bool, last_ticks_ms: Mapping[str, int]) -> Iterator[Reading]:
    """Return the metrics of a clock, without those of its partitions. Does not block.

    Args:
        state: the clock's state.
        leads: whether this process leads the clock. Only the leader exports the store's counts.
        last_ticks_ms: the last ticks of this installation's clocks, by their names.
    """
    spec = source.spec
    yield from _configured(spec)
    yield Reading(READY, (spec.name,), float(not source.cached_readiness_error()))
    yield from _state(spec.name, state)
    yield from _stages(state, last_ticks_ms)
    yield from _observer(state, leads)
    if leads and source.counters is not None and store_answers(state):
        yield from _counters(spec, source.counters)


def store_answers(state: PublicState) -> bool:
    """True if the clock's store answered, and accepts writes."""
    return state.hold is None or state.hold.reason is not Reason.STORE_UNAVAILABLE


def partition_lines(source: ClockSource, state: PublicState) -> dict[Metric, list[str]]:
    """Return the metrics of a clock's partitions, as lines of Prometheus's text format.

    They are the partition clocks that are known, and the group's offsets if they are observed. Excluded partitions have
    none. Reads the store only if the clock has more partitions than its state names. The lines are written
    directly: to create 10,000 objects instead would take several times as long.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    counts, lines = state.partitions, _PartitionLines(source.spec)
    if counts is not None and counts.known + counts.unknown <= len(state.slowest):
        for shown in state.slowest:
            lines.add(shown.partition, shown.clock_ms, shown.observed)
        return lines.by_metric
    parameters = source.store.snapshot().parameters
    if parameters is None:
        return {}
    late_ms = parameters.out_of_orderness_ms
    for one in _all_partitions(source.store):
        if not one.excluded:
            lines.add(one.partition, None if one.raw_ms is None else one.raw_ms - late_ms, one.observed)
    return lines.by_metric


class _PartitionLines:
    """The lines of the partitions of one clock, by metric."""

    def __init__(self, spec: ClockSpec) -> None:
        self.by_metric: dict[Metric, list[str]] = {PARTITION_CLOCK: [], GROUP_COMMITTED: [], GROUP_END: []}
        # The names of clocks and topics have no character that needs escaping.
        self._clock = f'clock="{spec.name}"'
        self._group = f'{self._clock},group="{escaped(spec.group)}"'

    def add(self, partition: Partition, at_ms: int | None, observed: PartitionObservation | None) -> None:
        labels = f'partition="{partition.number}",topic="{partition.topic}"'
        if at_ms is not None:
            line = f"{PARTITION_CLOCK.name}{{{self._clock},{labels}}} {_seconds(at_ms)}\n"
            self.by_metric[PARTITION_CLOCK].append(line)
        if observed is None:
            return
        for metric, offset in ((GROUP_COMMITTED, observed.committed), (GROUP_END, observed.end)):
            if offset is not None:
                self.by_metric[metric].append(f"{metric.name}{{{self._group},{labels}}} {offset}\n")


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


def _stages(state: PublicState, last_ticks_ms: Mapping[str, int]) -> Iterator[Reading]:
    """Return how far a clock is behind its upstream clocks, and for which stage it waits."""
    own = state.last_tick
    for upstream in state.after:
        # Of this installation's clocks, this process knows the last tick better than the observer.
        last_ms = upstream.last_tick_ms if upstream.url else last_ticks_ms.get(upstream.clock)
        if own is not None and last_ms is not None:
            labels = state.clock, upstream_name(upstream.clock, upstream.url)
            yield Reading(STAGE_BEHIND, labels, max(0, last_ms - own.at_ms) / 1000)
    if state.hold is not None and state.hold.upstream is not None:
        stage = last_of_chain(state.hold.upstream)
        reason = (stage["hold"] or {}).get("reason", NO_HOLD)
        yield Reading(HOLDING_UPSTREAM, (state.clock, upstream_name(stage["clock"], stage["url"]), reason), 1)


def _observer(state: PublicState, leads: bool) -> Iterator[Reading]:
    observer = state.observer
    if observer is None:
        return
    yield Reading(OBSERVATION, (state.clock,), observer.at_ms / 1000)
    for waits_for, count in observer.waiting.items():
        yield Reading(WAITING_PARTITIONS, (state.clock, waits_for), count)
    if leads:
        yield Reading(SKIPPED_RECORDS, (state.clock,), observer.skipped_records)


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
