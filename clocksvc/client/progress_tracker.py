"""The tracker of all partitions that a consumer reads, and what the store's answers make of them.

No I/O. Every method may be called from any thread: one lock guards all but the tracker that a Reporter raises itself
in its hot path, and is only ever held for a few lines.
"""

import logging
import operator
import threading
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple, SupportsIndex

from clocksvc.client.progress import (
    NONE,
    Progress,
    max_future_ms,
)
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp, rejection_reason
from clocksvc.errors import InvalidValue, ReporterMisuse
from clocksvc.interfaces.store import (
    ClockParameters,
    Report,
    ReportAnswer,
)
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.reporter")


class Selection(Enum):
    """Which tracker a report carries: those past a boundary, those that the store has not kept yet, or all."""

    CROSSED = auto()
    UNSENT = auto()
    ALL = auto()


class ReportItem(NamedTuple):
    """One partition's part of a report."""

    partition: int
    progress: Progress
    timestamp_ms: int


class ProgressTracker:
    """One consumer's progress by partition.

    Args:
        clock: the clock's name, for logs and errors.
        group: the consumer group that processes the records.
        topic: the topic whose partitions are observed; None for that of a clock of one topic.

    Attributes:
        progress: by partition number. It grows and shrinks only here.
        bounds: the clock's; None until the first answer that has them.
        misuse: why nothing may be observed any more; None while it may.
        crossed: the partitions that are past a boundary since they were last selected.
        unknown: whether the last answer knew one of its partitions not.
        store_rejected: whether the last answer refused a number that was good by our clock.
        refusals: what was refused here and is still to be told: the latest of each partition.
    """

    def __init__(self, clock: str, group: str, topic: str | None, time: Time) -> None:
        self.progress: dict[int, Progress] = {}
        self.bounds: ClockParameters | None = None
        self.misuse: str | None = None
        self.crossed: set[int] = set()
        self.unknown = False
        self.store_rejected = False
        self.refusals: dict[int, tuple[int, Outcome]] = {}
        self._late_records = 0
        self._last_tick_ms = 0
        self._clock, self._group = clock, group
        self._given_topic, self._topic = topic, topic
        self._time = time
        self._logged_rejections: set[int] = set()
        self._lock = threading.Lock()

    # -- from the consumer's threads ----------------------------------------------------------------------------------

    def observe_slow_path(self, partition: int, timestamp_ms: int) -> bool:
        """The second look at a record: new partition, boundary crossed, late, refused or doubtful timestamp.

        Returns:
            Whether there is something to send.

        Raises:
            ReporterMisuse: the reporter is used in a way that could make a tick early.
            InvalidValue: not a partition's number, or no integer.
        """
        with self._lock:
            self.raise_if_disabled()
            timestamp_ms = _integer("timestamp_ms", timestamp_ms)
            progress = self.progress.get(partition) or self._add_partition(partition)
            now_ms = self._time.now_ms()
            outcome = rejection_reason(timestamp_ms, now_ms, max_future_ms(self.bounds))
            if outcome is not None:
                self._reject(partition, timestamp_ms, outcome)
                return True
            if timestamp_ms < progress.late_below_ms:
                self._late_records += 1
            crossed = timestamp_ms >= progress.boundary_ms
            progress.add(timestamp_ms, self.bounds, now_ms)
            progress.recompute_thresholds(self.bounds, self._last_tick_ms, now_ms)
            if crossed:
                self.crossed.add(partition)
            return crossed

    def raise_if_disabled(self) -> None:
        """Raise ReporterMisuse once the reporter must not be used any more."""
        if self.misuse is not None:
            raise ReporterMisuse(self.misuse)

    def disable(self, misuse: str) -> None:
        """From now on every observation raises."""
        with self._lock:
            self._disable(misuse)

    def claim_topic(self, topic: str) -> str:
        """The one topic whose messages are observed: the one told or learned, else `topic` from now on."""
        with self._lock:
            if self._topic is None:
                self._topic = topic
            return self._topic

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the tracker of these partitions, as far as they are of this reporter's topic."""
        with self._lock:
            for topic, number in partitions:
                if self._topic is None or self._topic == topic:
                    self.progress.pop(number, None)
                    self.crossed.discard(number)
                    self._logged_rejections.discard(number)

    # -- from the thread that sends -----------------------------------------------------------------------------------

    @property
    def has_unsent(self) -> bool:
        """Whether anything was observed that the store has not kept, or not been told."""
        with self._lock:
            unsettled = any(not progress.stored for progress in self.progress.values())
            return unsettled or bool(self.refusals) or self._late_records > 0

    def select(self, selection: Selection) -> list[ReportItem]:
        """What to report now; nothing before the clock's bounds are known, because only they say what counts."""
        with self._lock:
            if self.bounds is None:
                return []
            chosen = sorted(self.crossed) if selection is Selection.CROSSED else list(self.progress)
            self.crossed.clear()
            self.unknown = self.store_rejected = False
            now_ms = self._time.now_ms()
            items = []
            for partition in chosen:
                progress = self.progress[partition]
                if selection is Selection.ALL or progress.ahead_ms != NONE:
                    self._recheck(partition, progress, self.bounds, now_ms)
                timestamp_ms = progress.timestamp_ms
                if timestamp_ms != NONE and (selection is Selection.ALL or timestamp_ms != progress.accepted_ms):
                    items.append(ReportItem(partition, progress, timestamp_ms))
            return items

    def report(self, items: Sequence[ReportItem]) -> Report | None:
        """These items as a report, with all that was refused here; None when it would say nothing.

        Before the bounds are known: an empty one, which asks for them.
        """
        with self._lock:
            topic = self._topic
            if self.bounds is None or topic is None:
                return Report(self._group, ())
            if not (items or self.refusals or self._late_records):
                return None
            readings = (PartitionTimestamp(Partition(topic, item.partition), item.timestamp_ms) for item in items)
            refusals = (
                (PartitionTimestamp(Partition(topic, partition), timestamp_ms), outcome)
                for partition, (timestamp_ms, outcome) in self.refusals.items()
            )
            return Report(self._group, tuple(readings), tuple(refusals), self._late_records)

    def apply_answer(self, items: Sequence[ReportItem], report: Report, answer: ReportAnswer) -> None:
        """Take the store's answer in."""
        with self._lock:
            self._late_records -= report.late_records
            for (partition, timestamp_ms), outcome in report.rejected:
                if self.refusals.get(partition.number) == (timestamp_ms, outcome):
                    del self.refusals[partition.number]
            for item, outcome in zip(items, answer.outcomes, strict=True):
                if self.progress.get(item.partition) is item.progress:  # else it was forgotten meanwhile
                    self._apply_outcome(item, outcome)
            self._update_parameters(answer)

    # -- with the lock held -------------------------------------------------------------------------------------------

    def _add_partition(self, partition: int) -> Progress:
        number = _integer("partition", partition)
        if number < 0:
            raise InvalidValue("partition", partition, "wanted a partition's number, zero or more")
        progress = self.progress[number] = Progress()
        progress.late_below_ms = self._last_tick_ms
        return progress

    def _reject(self, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        self.refusals[partition] = (timestamp_ms, outcome)
        self._log_rejection(partition, timestamp_ms, outcome)

    def _log_rejection(self, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        if partition not in self._logged_rejections:
            self._logged_rejections.add(partition)
            where = {"clock": self._clock, "topic": self._topic, "partition": partition}
            logger.warning("timestamp refused", extra={**where, "timestamp_ms": timestamp_ms, "outcome": outcome.value})

    def _recheck(self, partition: int, progress: Progress, bounds: ClockParameters, now_ms: int) -> None:
        # Kept before it was known how far is too far. One that was overtaken since is none of the tracker to tell, and
        # must not take with it what is above suspicion, by a clock that was set back meanwhile.
        if progress.high_ms < progress.ahead_ms and progress.ahead_ms > now_ms + bounds.max_future_ms:
            self._reject(partition, progress.ahead_ms, Outcome.TOO_FAR_AHEAD)
            progress.mark_rejected(progress.ahead_ms)
        progress.recompute_thresholds(bounds, self._last_tick_ms, now_ms)

    def _apply_outcome(self, item: ReportItem, outcome: Outcome) -> None:
        partition, progress, timestamp_ms = item
        if outcome in (Outcome.ACCEPTED, Outcome.UNCHANGED):
            progress.mark_accepted(timestamp_ms)
        elif outcome is Outcome.UNKNOWN:
            progress.mark_unknown()
            self.unknown = True
        elif outcome is not Outcome.FOREIGN_GROUP:
            progress.mark_rejected(timestamp_ms)
            self.store_rejected = True
            self.crossed.add(partition)  # what remains has not been told yet
            self._log_rejection(partition, timestamp_ms, outcome)
            progress.recompute_thresholds(self.bounds, self._last_tick_ms, self._time.now_ms())

    def _update_parameters(self, answer: ReportAnswer) -> None:
        bounds, last_tick_ms = answer.parameters, answer.last_tick_ms or 0
        if bounds is None or (bounds == self.bounds and last_tick_ms <= self._last_tick_ms):
            return
        first = self.bounds is None
        if bounds != self.bounds:
            self.bounds = bounds
            self._check_group(bounds)
            self._check_topic(bounds, first)
        self._last_tick_ms = max(self._last_tick_ms, last_tick_ms)
        now_ms = self._time.now_ms()
        for progress in self.progress.values():
            progress.recompute_thresholds(bounds, self._last_tick_ms, now_ms)
        if first:
            self.crossed.update(self.progress)

    def _check_group(self, bounds: ClockParameters) -> None:
        if bounds.group != self._group:
            logger.error(
                "reports refused: clock %s counts the progress of group %r, this reporter's group is %r",
                *(self._clock, bounds.group, self._group),
                extra={"clock": self._clock, "group": self._group},
            )

    def _check_topic(self, bounds: ClockParameters, first: bool) -> None:
        wrong = _topic_error(self._clock, self._given_topic, self._topic, bounds.topics)
        if wrong is not None:
            logger.error("reporter misused: %s", wrong, extra={"clock": self._clock})
            if first:  # a change of configuration later on breaks no consumer that runs
                self._disable(wrong)
        elif first:
            self._topic = self._topic or bounds.topics[0]
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
    """Why the reporter observes the wrong topic; None if it does not. A partition's number alone has no meaning.

    Args:
        given: the topic given to the reporter, if any.
        seen: the topic of the first message, if any; used if no topic is given.
        topics: the clock's topics.
    """
    listed = ", ".join(topics)
    if given is not None:
        return None if given in topics else f"topic {given!r} is not one of clock {clock}: {listed}"
    if len(topics) != 1:
        return f"clock {clock} has several topics ({listed}): wanted Reporter(…, topic=…), one reporter for each topic"
    if seen is not None and seen != topics[0]:
        return f"messages of topic {seen!r} were observed, but clock {clock} has topic {topics[0]!r}"
    return None
