"""The progress of all partitions of one consumer, and the effect of the store's answers on it.

No I/O. All methods are thread-safe. One lock protects everything except `high_ms`, which the Reporter increases without
the lock in its hot path. No call that can block is made while a thread has the lock.
"""

import logging
import operator
import threading
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple, SupportsIndex

from clocksvc.client.progress import NONE, Progress, max_future_ms
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp, rejection_reason
from clocksvc.errors import InvalidValue, ReporterMisuse
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.reporter")


class Selection(Enum):
    """The partitions in a report: those that crossed a boundary, those that the store has not accepted yet, or all."""

    CROSSED = auto()
    UNSENT = auto()
    ALL = auto()


class PendingTimestamp(NamedTuple):
    """The timestamp of one partition in a report."""

    partition: int
    progress: Progress
    timestamp_ms: int


class ProgressTracker:
    """The progress of one consumer, by partition.

    Args:
        clock: the clock's name, for logs and errors.
        group: the consumer group that processes the records.
        topic: the topic of the observed partitions; None for the only topic of the clock.

    Attributes:
        progress: the progress by partition number. Only this class adds and removes entries.
        parameters: the parameters of the clock; None until an answer contains them.
        misuse: the reason why `observe` raises ReporterMisuse; None while it does not.
        crossed: the partitions that crossed a boundary since they were last selected.
        unknown: True if the last answer had the outcome `unknown` for any partition.
        store_rejected: True if the store rejected a timestamp that passed the local checks, in its last answer.
        rejected: for each partition, the last timestamp that was rejected locally, if this is not reported yet.
    """

    def __init__(self, clock: str, group: str, topic: str | None, time: Time) -> None:
        self.progress: dict[int, Progress] = {}
        self.parameters: ClockParameters | None = None
        self.misuse: str | None = None
        self.crossed: set[int] = set()
        self.unknown = False
        self.store_rejected = False
        self.rejected: dict[int, tuple[int, Outcome]] = {}
        self._late_records = 0
        self._last_tick_ms = 0
        self._clock, self._group = clock, group
        self._given_topic, self._topic = topic, topic
        self._time = time
        self._logged_rejections: set[int] = set()
        self._lock = threading.Lock()

    # -- called by the consumer's threads -----------------------------------------------------------------------------

    def observe_slow_path(self, partition: int, timestamp_ms: int) -> bool:
        """Observe a record that needs more than a comparison.

        Such records are the first record of a partition, and records that cross a boundary, are late, or have a
        timestamp that may be rejected.

        Returns:
            True if a report is due.

        Raises:
            ReporterMisuse: the reporter is closed, or observes the wrong topic.
            InvalidValue: an argument is not an integer, or is not a partition number.
        """
        with self._lock:
            self.raise_if_disabled()
            timestamp_ms = _integer("timestamp_ms", timestamp_ms)
            progress = self.progress.get(partition) or self._add_partition(partition)
            now_ms = self._time.now_ms()
            outcome = rejection_reason(timestamp_ms, now_ms, max_future_ms(self.parameters))
            if outcome is not None:
                self._reject(partition, timestamp_ms, outcome)
                return True
            if timestamp_ms < progress.late_below_ms:
                self._late_records += 1
            crossed = timestamp_ms >= progress.boundary_ms
            progress.add(timestamp_ms, self.parameters, now_ms)
            progress.recompute_thresholds(self.parameters, self._last_tick_ms, now_ms)
            if crossed:
                self.crossed.add(partition)
            return crossed

    def raise_if_disabled(self) -> None:
        """Raise ReporterMisuse if the reporter must not be used any more."""
        if self.misuse is not None:
            raise ReporterMisuse(self.misuse)

    def disable(self, misuse: str) -> None:
        """Make every later observation raise ReporterMisuse."""
        with self._lock:
            self._disable(misuse)

    def claim_topic(self, topic: str) -> str:
        """Set the observed topic, unless it is set already. Return the observed topic."""
        with self._lock:
            if self._topic is None:
                self._topic = topic
            return self._topic

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop these partitions, if they belong to the observed topic."""
        with self._lock:
            for topic, number in partitions:
                if self._topic is None or self._topic == topic:
                    self.progress.pop(number, None)
                    self.crossed.discard(number)
                    self._logged_rejections.discard(number)

    # -- called by the sending thread ---------------------------------------------------------------------------------

    @property
    def has_unsent(self) -> bool:
        """True if something was observed that the store has not accepted or counted yet."""
        with self._lock:
            unstored = any(not progress.stored for progress in self.progress.values())
            return unstored or bool(self.rejected) or self._late_records > 0

    def select(self, selection: Selection) -> list[PendingTimestamp]:
        """Return the items to report now; [] until the clock's parameters are known, which decide what counts."""
        with self._lock:
            if self.parameters is None:
                return []
            chosen = sorted(self.crossed) if selection is Selection.CROSSED else list(self.progress)
            self.crossed.clear()
            self.unknown = self.store_rejected = False
            now_ms = self._time.now_ms()
            items = []
            for partition in chosen:
                progress = self.progress[partition]
                if selection is Selection.ALL or progress.ahead_ms != NONE:
                    self._recheck(partition, progress, self.parameters, now_ms)
                timestamp_ms = progress.timestamp_ms
                if timestamp_ms != NONE and (selection is Selection.ALL or timestamp_ms != progress.accepted_ms):
                    items.append(PendingTimestamp(partition, progress, timestamp_ms))
            return items

    def report(self, items: Sequence[PendingTimestamp]) -> Report | None:
        """Return a report of these items and of all local rejections; None if it would be empty.

        Until the clock's parameters are known, an empty report is returned, because its answer contains them.
        """
        with self._lock:
            topic = self._topic
            if self.parameters is None or topic is None:
                return Report(self._group, ())
            if not (items or self.rejected or self._late_records):
                return None
            timestamps = (PartitionTimestamp(Partition(topic, item.partition), item.timestamp_ms) for item in items)
            rejected = (
                (PartitionTimestamp(Partition(topic, partition), timestamp_ms), outcome)
                for partition, (timestamp_ms, outcome) in self.rejected.items()
            )
            return Report(self._group, tuple(timestamps), tuple(rejected), self._late_records)

    def apply_answer(self, items: Sequence[PendingTimestamp], report: Report, answer: ReportAnswer) -> None:
        """Apply the store's answer to a report of these items."""
        with self._lock:
            self._late_records -= report.late_records
            for (partition, timestamp_ms), outcome in report.rejected:
                if self.rejected.get(partition.number) == (timestamp_ms, outcome):
                    del self.rejected[partition.number]
            for item, outcome in zip(items, answer.outcomes, strict=True):
                if self.progress.get(item.partition) is item.progress:  # else it was forgotten meanwhile
                    self._apply_outcome(item, outcome)
            self._update_parameters(answer)

    # -- called with the lock ------------------------------------------------------------------------------------------

    def _add_partition(self, partition: int) -> Progress:
        number = _integer("partition", partition)
        if number < 0:
            raise InvalidValue("partition", partition, "wanted a partition's number, zero or more")
        progress = self.progress[number] = Progress()
        progress.late_below_ms = self._last_tick_ms
        return progress

    def _reject(self, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        self.rejected[partition] = (timestamp_ms, outcome)
        self._log_rejection(partition, timestamp_ms, outcome)

    def _log_rejection(self, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        if partition not in self._logged_rejections:
            self._logged_rejections.add(partition)
            where = {"clock": self._clock, "topic": self._topic, "partition": partition}
            logger.warning(
                "timestamp rejected", extra={**where, "timestamp_ms": timestamp_ms, "outcome": outcome.value}
            )

    def _recheck(self, partition: int, progress: Progress, parameters: ClockParameters, now_ms: int) -> None:
        # `ahead_ms` may have been set before `max_future` was known, so it is dropped if it is too far ahead. If it is
        # below `high_ms`, it is not reported and is kept. If it were rejected after the local clock was set back, a
        # valid `high_ms` would be dropped, too.
        if progress.high_ms < progress.ahead_ms and progress.ahead_ms > now_ms + parameters.max_future_ms:
            self._reject(partition, progress.ahead_ms, Outcome.TOO_FAR_AHEAD)
            progress.mark_rejected(progress.ahead_ms)
        progress.recompute_thresholds(parameters, self._last_tick_ms, now_ms)

    def _apply_outcome(self, item: PendingTimestamp, outcome: Outcome) -> None:
        partition, progress, timestamp_ms = item
        if outcome in (Outcome.ACCEPTED, Outcome.UNCHANGED):
            progress.mark_accepted(timestamp_ms)
        elif outcome is Outcome.UNKNOWN:
            progress.mark_unknown()
            self.unknown = True
        elif outcome is not Outcome.FOREIGN_GROUP:
            progress.mark_rejected(timestamp_ms)
            self.store_rejected = True
            self.crossed.add(partition)  # the remaining timestamp is not reported yet
            self._log_rejection(partition, timestamp_ms, outcome)
            progress.recompute_thresholds(self.parameters, self._last_tick_ms, self._time.now_ms())

    def _update_parameters(self, answer: ReportAnswer) -> None:
        parameters, last_tick_ms = answer.parameters, answer.last_tick_ms or 0
        if parameters is None or (parameters == self.parameters and last_tick_ms <= self._last_tick_ms):
            return
        first = self.parameters is None
        if parameters != self.parameters:
            self.parameters = parameters
            self._check_group(parameters)
            self._check_topic(parameters, first)
        self._last_tick_ms = max(self._last_tick_ms, last_tick_ms)
        now_ms = self._time.now_ms()
        for progress in self.progress.values():
            progress.recompute_thresholds(parameters, self._last_tick_ms, now_ms)
        if first:
            self.crossed.update(self.progress)

    def _check_group(self, parameters: ClockParameters) -> None:
        if parameters.group != self._group:
            logger.error(
                "reports rejected: clock %s counts the progress of group %r, but this reporter has group %r",
                *(self._clock, parameters.group, self._group),
                extra={"clock": self._clock, "group": self._group},
            )

    def _check_topic(self, parameters: ClockParameters, first: bool) -> None:
        wrong = _topic_error(self._clock, self._given_topic, self._topic, parameters.topics)
        if wrong is not None:
            logger.error("reporter misused: %s", wrong, extra={"clock": self._clock})
            if first:  # later: the configuration was changed, which must not break a running consumer
                self._disable(wrong)
        elif first:
            self._topic = self._topic or parameters.topics[0]
            logger.info("reporting", extra={"clock": self._clock, "topic": self._topic, "group": self._group})

    def _disable(self, misuse: str) -> None:
        self.misuse = misuse
        self.progress.clear()
        self.crossed.clear()


def _integer(field: str, value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidValue(field, value, "wanted an integer") from None


def _topic_error(clock: str, given: str | None, seen: str | None, topics: Sequence[str]) -> str | None:
    """Return why the reporter's topic is wrong; None if it is right. The topic must be known, because a
    partition number alone does not identify a partition.

    Args:
        given: the topic given to the reporter, if any.
        seen: the topic of the first message, if any; used if no topic is given.
        topics: the clock's topics.
    """
    listed = ", ".join(topics)
    if given is not None:
        return None if given in topics else f"topic {given!r} is not a topic of clock {clock}, which has {listed}"
    if len(topics) != 1:
        return f"clock {clock} has several topics ({listed}): create one Reporter(…, topic=…) for each topic"
    if seen is not None and seen != topics[0]:
        return f"messages of topic {seen!r} were observed, but clock {clock} has topic {topics[0]!r}"
    return None
