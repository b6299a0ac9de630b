"""Observes the committed offsets of all clocks of a process, and reports their progress like consumers do."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.committed.leadership import AWAKE_FOR_S, PartitionLeader
from clocksvc.committed.observed_clock import ObservedClock
from clocksvc.committed.record_reads import read_ahead, read_last_records
from clocksvc.committed.rules import PartitionProgress
from clocksvc.committed.stats import CountedOffsets, ObserverStats
from clocksvc.errors import StoreMismatch, Unavailable
from clocksvc.interfaces.committed_offsets import CommittedOffsets
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.upstreams import UpstreamKey, Upstreams
from clocksvc.runtime.repeated_lines import RepeatedLines

T = TypeVar("T")

SLOW_S = 1.0
"""A request for ends that took longer delays the next poll: that poll must be `AWAKE_FOR_S` after the answer, to know
that the leaders are alive. A call to a store that failed after a longer time is taken for a timeout."""

logger = logging.getLogger(__name__)


class Observer:
    """The observer of all clocks with `source: committed` of a process. Not thread-safe: one thread polls.

    Args:
        specs: the clocks that can be observed.
        offsets: answers from Kafka.
        upstreams: the upstream clocks.
        stores: the stores of the clocks, by name.
        time: wall-clock and monotonic time.
    """

    def __init__(
        self,
        specs: Iterable[ClockSpec],
        *,
        offsets: CommittedOffsets,
        upstreams: Upstreams,
        stores: Mapping[str, Store],
        time: Time,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._offsets = CountedOffsets(offsets)
        self._upstreams, self._stores, self._time = upstreams, stores, time
        self._clocks: dict[str, ObservedClock] = {}
        self._topic_ids: dict[str, str] = {}
        self._leaders: dict[Partition, PartitionLeader] = {}
        self._not_before_s = 0.0
        self._hanging: set[int] = set()
        self._polls, self._poll_seconds, self._store_failures = 0, 0.0, 0
        self._lines = RepeatedLines(logger)

    @property
    def stats(self) -> ObserverStats:
        """What was done since the observer was created."""
        counted = self._offsets.stats()
        failures = counted.failures + self._store_failures
        return replace(counted, polls=self._polls, poll_seconds=self._poll_seconds, failures=failures)

    def poll(self, names: Collection[str]) -> None:
        """Poll those of the clocks that are due. Call it about once a second.

        Blocks for some seconds at most. Clocks that are not in `names` are forgotten. Errors of Kafka, of the store and
        of upstream clocks affect the clocks concerned only, until the next poll.

        Args:
            names: the clocks to observe, all that this process leads.
        """
        began_s = self._time.monotonic()
        self._select(names)
        if began_s < self._not_before_s:
            return
        due = [clock for clock in self._clocks.values() if clock.schedule.is_due(began_s)]
        leaders_only = [clock for clock in self._clocks.values() if clock.schedule.wants_leaders(began_s)]
        if due or leaders_only:
            self._poll(due, leaders_only)
            self._polls += 1
            self._poll_seconds += self._time.monotonic() - began_s

    def _select(self, names: Collection[str]) -> None:
        if self._clocks.keys() == set(names):
            return
        self._clocks = {
            name: self._clocks.get(name) or ObservedClock(self._specs[name], self._stores[name])
            for name in sorted(names)
        }
        used = {partition for clock in self._clocks.values() for partition in clock.partitions}
        self._leaders = {partition: leader for partition, leader in self._leaders.items() if partition in used}

    def _poll(self, due: Collection[ObservedClock], leaders_only: Collection[ObservedClock]) -> None:
        self._hanging.clear()
        ready = [clock for clock in due if self._ask_store(clock, clock.prepare)]
        topics = {topic for clock in ready for topic in clock.spec.topics}
        self._read_topics(ready, topics)
        self._read_upstreams(ready)
        groups: dict[str, set[Partition]] = {}
        for clock in ready:
            groups.setdefault(clock.spec.group, set()).update(clock.partitions)
        committed = self._offsets.committed(groups) if groups else {}
        # The time is read after the committed offsets and before the ends: see `rules`.
        times_ms = self._read_times(ready)
        ready = [clock for clock in ready if clock.spec.name in times_ms]
        at_s = self._read_ends(ready, leaders_only)
        problems = {topic: problem for topic in topics if (problem := self._offsets.problem(topic))}
        for clock in ready:
            offsets = committed.get(clock.spec.group)
            clock.observe(offsets, self._leaders, problems, times_ms[clock.spec.name], at_s)
        self._read_records(ready, times_ms, at_s)
        for clock in ready:
            self._ask_store(clock, partial(clock.publish, self._time.now_ms(), at_s))
        for clock in due:
            clock.schedule.note_poll(at_s, retry=clock not in ready or clock.wants_retry(self._leaders))

    # -- questions to Kafka, the store and upstream clocks, for all clocks together ------------------------------------

    def _read_topics(self, ready: Collection[ObservedClock], topics: Collection[str]) -> None:
        found = self._offsets.topic_ids(topics) if topics else {}
        recreated = {topic for topic, (one, _) in found.items() if self._topic_ids.get(topic, one) != one}
        self._topic_ids |= {topic: topic_id for topic, (topic_id, _) in found.items()}
        if recreated:
            self._leaders = {one: leader for one, leader in self._leaders.items() if one.topic not in recreated}
        for clock in ready:
            clock.note_topics(found, self._time.monotonic())

    def _read_upstreams(self, ready: Collection[ObservedClock]) -> None:
        cursors = {
            clock: {key: clock.upstreams.cursor(key, clock.last_tick_ms) for key in clock.upstreams.keys}
            for clock in ready
        }
        after_ms: dict[UpstreamKey, int] = {}
        newest: dict[UpstreamKey, None] = {}
        for key, cursor_ms in (item for keys in cursors.values() for item in keys.items()):
            if cursor_ms is None:
                newest[key] = None
            else:
                after_ms[key] = min(cursor_ms, after_ms.get(key, cursor_ms))
        # Two reads: a read after the newest tick does not have this tick, whose exclusions a new clock needs.
        later = self._upstreams.read(after_ms) if after_ms else {}
        first = self._upstreams.read(newest) if newest else {}
        for clock, keys in cursors.items():
            found = {key: (first if cursor_ms is None else later).get(key) for key, cursor_ms in keys.items()}
            readings = {key: reading for key, reading in found.items() if reading is not None}
            clock.upstreams.note(readings, clock.last_tick_ms)

    def _read_times(self, ready: Collection[ObservedClock]) -> dict[str, int]:
        """Return the earlier one of the observer's and the store's clocks for each clock, by its name."""
        by_log: dict[int, int | None] = {}
        times_ms: dict[str, int] = {}
        for clock in ready:
            log = log_of(clock.spec.name)
            if by_log.get(log) is None:
                by_log[log] = self._ask_store(clock, clock.store_now_ms)
            store_ms = by_log[log]
            if store_ms is not None:
                times_ms[clock.spec.name] = min(self._time.now_ms(), store_ms)
        return times_ms

    def _read_ends(self, ready: Collection[ObservedClock], leaders_only: Collection[ObservedClock]) -> float:
        """Ask for the ends of partitions. Return the monotonic time after the answer."""
        partitions = {partition for clock in (*ready, *leaders_only) for partition in clock.partitions}
        asked_s = self._time.monotonic()
        ends = self._offsets.ends(partitions) if partitions else {}
        answered_s = self._time.monotonic()
        for partition in partitions:
            self._leaders.setdefault(partition, PartitionLeader()).note(ends.get(partition), asked_s, answered_s)
        for clock in leaders_only:
            clock.schedule.note_leaders(answered_s)
        if answered_s - asked_s > SLOW_S:
            self._not_before_s = answered_s + AWAKE_FOR_S
        return answered_s

    def _read_records(self, ready: Collection[ObservedClock], times_ms: Mapping[str, int], at_s: float) -> None:
        partitions = [item for clock in ready for item in clock.partitions.items()]
        read_ahead(self._offsets, partitions, at_s)
        wanted = [(clock, each) for clock in ready for each in clock.nominations(times_ms[clock.spec.name])]
        nominated: list[tuple[Partition, PartitionProgress, int]] = []
        while wanted:
            thresholds: dict[Partition, int] = {}
            left = []
            for clock, (partition, progress, threshold_ms) in wanted:
                if thresholds.setdefault(partition, threshold_ms) == threshold_ms:
                    continue
                left.append((clock, (partition, progress, threshold_ms)))
            first = self._offsets.offsets_at(thresholds)
            for clock, (partition, progress, threshold_ms) in wanted:
                if thresholds[partition] == threshold_ms and partition in first:
                    below = progress.wants_record()
                    if below is not None and first[partition] < below:
                        nominated.append((partition, progress, times_ms[clock.spec.name]))
            wanted = left
        read_last_records(self._offsets, nominated)

    def _ask_store(self, clock: ObservedClock, call: Callable[[], T]) -> T | None:
        """Return the result of a call to a clock's store; None if it failed.

        The clocks of a log are on one server. If it hangs, each attempt takes as long as the store's timeout, so the
        others are not tried before the next poll.
        """
        log, began_s = log_of(clock.spec.name), self._time.monotonic()
        if log in self._hanging:
            return None
        try:
            return call()
        except (Unavailable, StoreMismatch) as error:
            if self._time.monotonic() - began_s > SLOW_S:
                self._hanging.add(log)
            self._note_failure(clock, error)
            return None

    def _note_failure(self, clock: ObservedClock, error: Exception) -> None:
        self._store_failures += 1
        self._lines.log(
            self._time.monotonic(),
            logging.WARNING,
            type(error).__name__,
            "the progress of clock %s can't be reported: %s",
            clock.spec.name,
            error,
        )
