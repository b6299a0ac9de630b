"""The progress of all partitions of one consumer, and the effect of the store's answers on it.

No I/O. All methods are thread-safe. One lock protects everything except `high_ms`, which the Reporter increases without
the lock in its hot path. No call that can block is made while a thread has the lock.
"""

import operator
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import SupportsIndex

from clocksvc.client.drift import Drift, ReadPosition
from clocksvc.client.due_times import NOW, DueTimes
from clocksvc.client.local_rejections import LocalRejections, PendingRejection
from clocksvc.client.observed_topic import ObservedTopic
from clocksvc.client.progress import NONE, Progress, max_future_ms
from clocksvc.client.report_content import PendingTimestamp, make_report
from clocksvc.clock.partition import Outcome, Partition, rejection_reason
from clocksvc.errors import InvalidValue, ReporterMisuse
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.interfaces.time import Time

REPEAT_UNKNOWN_S = 1.0
"""When a partition is reported again after the outcome `unknown`."""
AFTER_REJECTION_S = 0.1
"""The pause of a partition after the store rejected a timestamp that was valid locally. Without it, each record could
cause a report."""
MAX_PARTITION = 2**31 - 1
ACCEPTED = frozenset({Outcome.ACCEPTED, Outcome.UNCHANGED})

_CLOSED = "this reporter is closed"


class ProgressTracker:
    """The progress of one consumer, by partition.

    Each partition has a due time. It is due at once when it crosses a boundary, 1 s after the outcome `unknown`, and at
    the next repetition of all partitions after it was taken for a report.

    Args:
        clock: the clock's name, for logs and errors.
        group: the consumer group that processes the records.
        topic: the topic of the observed partitions; None for the only topic of the clock.

    Attributes:
        progress: the progress by partition number. Only this class adds and removes entries.
        parameters: the parameters of the clock; None until an answer contains them.
        closed: True if the reporter is closed.
    """

    def __init__(self, clock: str, group: str, topic: str | None, time: Time) -> None:
        self.progress: dict[int, Progress] = {}
        self.parameters: ClockParameters | None = None
        self.closed = False
        self._due = DueTimes()
        self._drift: Drift[int] = Drift()
        self._rejections = LocalRejections(clock, time)
        self._late_records = 0
        self._last_tick_ms = 0
        self._clock, self._group = clock, group
        self._member_of = self._selected_for = group
        self._topic = ObservedTopic(clock, group, topic)
        self._time = time
        self._lock = threading.Lock()

    # -- called by the consumer's threads -----------------------------------------------------------------------------

    def observe_slow_path(self, partition: int, timestamp_ms: int, timestamp_type: int | None = None) -> bool:
        """Observe a record that needs more than a comparison.

        Such records are the first record of a partition, and records that cross a boundary, are late, have another
        timestamp type than the record before, or have a timestamp that may be rejected.

        Args:
            timestamp_type: the record's timestamp type as confluent-kafka gives it; None if only the number of the
                partition is known.

        Returns:
            True if the time of the next report may be earlier than before.

        Raises:
            ReporterMisuse: the reporter is closed.
            InvalidValue: an argument is not an integer, or is not a partition number.
        """
        with self._lock:
            self.raise_if_closed()
            partition, timestamp_ms = _integer("partition", partition), _integer("timestamp_ms", timestamp_ms)
            if timestamp_type is None and self._topic.use_number(partition):
                self._compare_topic()
            progress = self.progress.get(partition) or self._add_partition(partition)
            now_ms = self._time.now_ms()
            outcome = rejection_reason(timestamp_ms, now_ms, max_future_ms(self.parameters))
            if outcome is not None:
                self._reject(partition, timestamp_ms, outcome)
                return True
            if timestamp_type is not None:
                progress.set_timestamp_type(timestamp_type)
            if timestamp_ms < self._last_tick_ms:
                self._late_records += 1
            crossed = timestamp_ms >= progress.boundary_ms
            progress.add(timestamp_ms, self.parameters, now_ms)
            progress.recompute_thresholds(self.parameters, self._last_tick_ms, now_ms)
            return crossed and self._due.advance(partition, progress.paused_until)

    def raise_if_closed(self) -> None:
        """Raise ReporterMisuse if the reporter is closed."""
        if self.closed:
            raise ReporterMisuse(_CLOSED)

    def close(self) -> None:
        """Make every later observation raise ReporterMisuse."""
        with self._lock:
            self.closed = True
            self._clear()

    def claim_topic(self, topic: str) -> str:
        """Set the observed topic, unless it is known already. Return the observed topic."""
        with self._lock:
            if self._topic.claim(topic):
                self._clear()  # what was observed before is of a topic that is not known
                self._compare_topic()
            return self._topic.name or topic

    def reject_other_topic(self, topic: str, partition: int, timestamp_ms: int) -> None:
        """Reject a message of another topic. It is logged once for each topic."""
        with self._lock:
            self._topic.log_other_topic(topic, self.parameters)
            self._rejections.add(PendingRejection(partition, timestamp_ms, Outcome.FOREIGN_TOPIC, topic))

    def reject_number(self, partition: int, timestamp_ms: int) -> None:
        """Reject the number of a partition, because messages of several topics are observed. It is logged once.

        Raises:
            ReporterMisuse, InvalidValue: as for `observe_slow_path`.
        """
        with self._lock:
            self.raise_if_closed()
            partition, timestamp_ms = _integer("partition", partition), _integer("timestamp_ms", timestamp_ms)
            self._topic.log_number()
            self._rejections.add(PendingRejection(partition, timestamp_ms, Outcome.FOREIGN_TOPIC))

    def drop_numbers(self) -> None:
        """Start without progress if numbers of partitions were observed, because their topic is not sure any more."""
        with self._lock:
            if self._topic.used:
                self._clear()

    @property
    def is_assigned_several(self) -> bool:
        """True if the consumer was assigned partitions of several topics."""
        return self._topic.is_assigned_several

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Start these partitions without progress, and learn the topics that the consumer reads."""
        with self._lock:
            if self._topic.assign(partitions):
                self._clear()
            self._compare_topic()
            self._forget(partitions)

    def join(self, group: str) -> None:
        """Start without progress, because the consumer is a member of this group. The store must reject another one."""
        with self._lock:
            self._member_of = group
            self._clear()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop these partitions, if they belong to the observed topic."""
        with self._lock:
            self._forget(partitions)

    def ahead(self, read: Mapping[tuple[str, int], int] | None) -> tuple[frozenset[Partition], bool]:
        """Return the partitions that are ahead of the global clock, as `Reporter.ahead`.

        Returns:
            The partitions, and True if the time of the next report may be earlier than before.
        """
        parameters = self.parameters
        if parameters is None or parameters.max_drift_ms is None:
            return frozenset(), False
        with self._lock:
            topic, ask_at = self._topic.name or "", self._drift.ask_at
            positions: dict[int, ReadPosition] = {}
            now_ms = self._time.now_ms()
            if self._drift.may_pause(self._time.monotonic(), now_ms):
                buffered = {
                    number: timestamp_ms
                    for (its_topic, number), timestamp_ms in (read or {}).items()
                    # The store would reject the others, too.
                    if its_topic == topic and rejection_reason(timestamp_ms, now_ms, parameters.max_future_ms) is None
                }
                for number in self.progress.keys() | buffered.keys():
                    buffered_ms = buffered.get(number, NONE)
                    positions[number] = self._read_position(number, buffered_ms, buffers=read is not None)
            ahead = self._drift.update(positions)
            return frozenset(Partition(topic, number) for number in ahead), self._drift.ask_at < ask_at

    # -- called by the sending thread ---------------------------------------------------------------------------------

    @property
    def topic_missing(self) -> bool:
        """True if numbers of partitions were observed, and their topic is not known although the parameters are.

        In this case, no timestamp is reported.
        """
        return self.parameters is not None and self._topic.name is None and self._topic.used

    @property
    def can_report(self) -> bool:
        """True if the clock's parameters and the topic of the observed partitions are known.

        False if nothing was observed, because the consumer reads other topics than the clock's.
        """
        if self.parameters is None or self._topic.name is None:
            return False
        return bool(self.progress) or not self._topic.is_assigned_elsewhere(self.parameters)

    @property
    def has_unsent(self) -> bool:
        """True if something was observed that the store has not accepted or counted yet."""
        with self._lock:
            unstored = any(not progress.stored for progress in self.progress.values())
            return unstored or self._rejections.unsent or self._late_records > 0

    @property
    def next_due_at(self) -> float:
        """The monotonic time at which a report is due; NEVER if there is nothing to report."""
        return min(self._due.next_at, self._rejections.due_at, self._drift.ask_at)

    def must_ask(self, now: float) -> bool:
        """True if a report is due even if it is empty, because partitions are ahead of the global clock."""
        return now >= self._drift.ask_at

    def select(self, now: float, again_at: float, *, unsent: bool) -> list[PendingTimestamp]:
        """Return the items to report now; [] while `can_report` is False.

        Args:
            again_at: the monotonic time at which the due partitions are due again.
            unsent: True to return also partitions that are not due, but have a timestamp that the store has not
                accepted yet.
        """
        with self._lock:
            if self.parameters is None or self._topic.name is None:
                return []
            self._selected_for = self._reported_group(self.parameters)
            chosen = self._due.take(now, again_at)
            if unsent:
                taken = set(chosen)
                chosen += [number for number, each in self.progress.items() if not each.stored and number not in taken]
            now_ms = self._time.now_ms()
            items = []
            for partition in chosen:
                progress = self.progress[partition]
                self._recheck(partition, progress, self.parameters, now_ms)
                if progress.timestamp_ms != NONE:
                    items.append(
                        PendingTimestamp(partition, progress, progress.timestamp_ms, create_time=progress.create_time)
                    )
            return items

    def select_rejections(self, now: float, *, unsent: bool) -> list[PendingRejection]:
        """Return the last local rejection of each partition that is not reported yet; [] if they are not due.

        Args:
            unsent: True to return them also if they are not due.
        """
        with self._lock:
            return self._rejections.select(now, unsent=unsent)

    def report(self, items: Sequence[PendingTimestamp], rejected: Sequence[PendingRejection] = ()) -> Report:
        """Return a report of these items and rejections, and of late records: see `make_report`."""
        with self._lock:
            if self.parameters is None:
                return Report(self._group, ())
            # Items keep the group of their selection: the consumer may be a member of another one since.
            group = self._selected_for if items else self._reported_group(self.parameters)
            topic, late_records = self._topic, self._late_records
            return make_report(group, topic, self.parameters, self.progress, items, rejected, late_records)

    def apply_answer(
        self, items: Sequence[PendingTimestamp], report: Report, answer: ReportAnswer, asked_at: float
    ) -> None:
        """Apply the store's answer to a report of these items, which was sent at the monotonic time `asked_at`."""
        with self._lock:
            self._late_records -= report.late_records
            for item, outcome in zip(items, answer.outcomes, strict=True):
                if self._is_observed(item):
                    self._apply_outcome(item, outcome)
            self._update_parameters(answer)
            self._drift.apply_answer(answer, asked_at)
            if self.parameters is not None and any(outcome in ACCEPTED for outcome in answer.outcomes):
                self._topic.log_accepted(self.parameters)

    def drop_rejections(self, rejected: Iterable[PendingRejection]) -> None:
        """Remove local rejections that are reported, unless there are newer ones."""
        with self._lock:
            self._rejections.drop(rejected)

    def mark_unanswered(self, items: Iterable[PendingTimestamp]) -> None:
        """Make the partitions of a report that was not answered due again."""
        with self._lock:
            for item in items:
                if self._is_observed(item):
                    self._due.advance(item.partition, NOW)

    # -- called with the lock ------------------------------------------------------------------------------------------

    def _read_position(self, number: int, buffered_ms: int, *, buffers: bool) -> ReadPosition:
        progress = self.progress.get(number)
        high_ms, accepted_ms = (NONE, NONE) if progress is None else (progress.high_ms, progress.accepted_ms)
        # If something was observed and nothing is accepted, the store may never accept it: the partition is unknown, or
        # the group is not the clock's.
        may_be_accepted = accepted_ms != NONE or high_ms == NONE
        return ReadPosition(max(buffered_ms, high_ms), accepted_ms, pending=buffers and may_be_accepted)

    def _is_observed(self, item: PendingTimestamp) -> bool:
        """False if the partition was forgotten since, even if it was assigned again."""
        return self.progress.get(item.partition) is item.progress

    def _reported_group(self, parameters: ClockParameters) -> str:
        """Return the group of a report: the one that the store rejects, if reporter and consumer have two groups."""
        return self._group if self._member_of == parameters.group else self._member_of

    def _compare_topic(self) -> None:
        if self.parameters is not None:
            self._topic.compare(self.parameters)

    def _forget(self, partitions: Iterable[Partition]) -> None:
        for topic, number in partitions:
            if self._topic.name is None or self._topic.name == topic:
                self.progress.pop(number, None)
                self._due.discard(number)
                self._drift.discard(number)
                self._rejections.forget(number)

    def _clear(self) -> None:
        self.progress.clear()
        self._due.clear()
        self._drift.update({})
        self._rejections.clear()

    def _add_partition(self, partition: int) -> Progress:
        if not 0 <= partition <= MAX_PARTITION:
            raise InvalidValue("partition", partition, f"wanted a partition's number, 0 to {MAX_PARTITION}")
        progress = self.progress[partition] = Progress()
        progress.set_last_tick(self._last_tick_ms)
        return progress

    def _reject(self, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        self._rejections.add(PendingRejection(partition, timestamp_ms, outcome))
        self._rejections.log(self._topic.name, partition, timestamp_ms, outcome)

    def _recheck(self, partition: int, progress: Progress, parameters: ClockParameters, now_ms: int) -> None:
        # `ahead_ms` may have been set before `max_future` was known, so it is dropped if it is too far ahead. If it is
        # below `high_ms`, it is not reported and is kept. If it were rejected after the local clock was set back, a
        # valid `high_ms` would be dropped, too.
        if progress.high_ms < progress.ahead_ms and progress.ahead_ms > now_ms + parameters.max_future_ms:
            self._reject(partition, progress.ahead_ms, Outcome.TOO_FAR_AHEAD)
            progress.mark_rejected(progress.ahead_ms)
        progress.recompute_thresholds(parameters, self._last_tick_ms, now_ms)

    def _apply_outcome(self, item: PendingTimestamp, outcome: Outcome) -> None:
        partition, progress, timestamp_ms, create_time = item
        now = self._time.monotonic()
        if outcome in ACCEPTED:
            progress.mark_accepted(timestamp_ms)
            if create_time:
                progress.mark_create_time_stated()
        elif outcome is Outcome.UNKNOWN:
            progress.mark_unknown()
            self._due.advance(partition, now + REPEAT_UNKNOWN_S)
        elif outcome not in (Outcome.FOREIGN_GROUP, Outcome.FOREIGN_TOPIC):
            progress.mark_rejected(timestamp_ms)
            progress.paused_until = now + AFTER_REJECTION_S
            if not progress.stored:  # the remaining timestamp is not reported yet
                self._due.advance(partition, progress.paused_until)
            self._rejections.log(self._topic.name, partition, timestamp_ms, outcome)
            progress.recompute_thresholds(self.parameters, self._last_tick_ms, self._time.now_ms())

    def _update_parameters(self, answer: ReportAnswer) -> None:
        parameters, last_tick_ms = answer.parameters, answer.last_tick_ms or 0
        if parameters is None or (parameters == self.parameters and last_tick_ms <= self._last_tick_ms):
            return
        first, had_topic = self.parameters is None, self.can_report
        if parameters != self.parameters:
            self.parameters = parameters
            self._topic.compare(parameters)
        if not (first or had_topic):
            self._clear()  # it was observed while the topic was not known
        self._last_tick_ms = max(self._last_tick_ms, last_tick_ms)
        now_ms = self._time.now_ms()
        for partition, progress in self.progress.items():
            progress.recompute_thresholds(parameters, self._last_tick_ms, now_ms)
            if first:
                self._due.advance(partition, NOW)


def _integer(field: str, value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidValue(field, value, "wanted an integer") from None
