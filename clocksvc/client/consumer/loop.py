"""The loop of a BufferedConsumer: it drives the state machine with Kafka, threads and the computer's clock.

Everything outside of it is a constructor parameter, so that tests replace it without patches.
"""

import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Generic, TypeVar

from clocksvc.client.consumer.actions import (
    Action,
    Commit,
    Drained,
    Fail,
    Pause,
    Report,
    Resume,
    SendDeadLetter,
    StartFlush,
)
from clocksvc.client.consumer.batches import timestamps_of
from clocksvc.client.consumer.flush_threads import FlushExecutor
from clocksvc.client.consumer.health import LOOP_STUCK_AFTER_S, Health
from clocksvc.client.consumer.machine import ConsumerMachine
from clocksvc.client.consumer.pauses import AHEAD
from clocksvc.client.consumer.plan import LoopOptions
from clocksvc.client.consumer.processing import Processing, Run, pass_on
from clocksvc.client.consumer.reporting import ProgressReporter, observe, topic_partitions
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.client.progress import DEFAULT_MAX_FUTURE_MS
from clocksvc.clock.partition import Partition, name_first
from clocksvc.interfaces.consumer_group import ConsumerGroup
from clocksvc.interfaces.dead_letters import DeadLetters
from clocksvc.interfaces.time import Time
from clocksvc.runtime.repeated_lines import RepeatedLines

logger = logging.getLogger("clocksvc.consumer")
Item = TypeVar("Item")

IDLE_WAIT_S = 0.2
"""How long the loop waits for records if nothing else is in progress."""
BUSY_WAIT_S = 0.02
"""How long the loop waits for records while an answer is outstanding or a partition is paused. Neither an answer nor
the end of a pause ends this wait."""
CHECK_INTERVAL_S = 1.0
"""How often the flushes are checked and the present values of the stats are updated."""
MOST_RECORDS = 1_000
"""The largest number of records of one `consume` call."""
MOST_RECORDS_AHEAD = 200
"""The same while partitions that run ahead are paused, because what one call returns can exceed `max_drift`."""
PROCESS_S = 0.1
"""How long the author's function may work on the records of one `consume` call. The number of records follows."""

NO_STATE = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopParts(Generic[Item]):
    """What is outside of the loop. `dead_letters` and `reporter` can be None.

    Attributes:
        group: the member of the consumer group.
        processing: where the author's function `process` runs.
        executor: where the author's function `flush` runs.
        dead_letters: sends dead letters.
        reporter: observes what is committed.
        time: the source of the time.
        rng: the source of random numbers for the jitter of retries.
    """

    group: ConsumerGroup
    processing: Processing[Item]
    executor: FlushExecutor
    dead_letters: DeadLetters | None
    reporter: ProgressReporter | None
    time: Time
    rng: random.Random


class ConsumerLoop(Generic[Item]):
    """One consumer. All methods are called from one thread. Also the listener of its group.

    Attributes:
        machine: the state machine.
        stats: what the consumer counts.
        error: why the consumer ends; None if it does not end because of an error.
        ended: True after `drain` or an error, when nothing is in progress any more or the time for it is over.

    Args:
        flush: called with a batch, or with a batch and the state. It runs in the executor.
        state: creates the state that `flush` gets and returns; None if there is none.
        options: see LoopOptions.
        parts: see LoopParts.
        stats: where the loop counts.
    """

    def __init__(
        self,
        flush: Callable[..., Any],
        state: Callable[[], Any] | None,
        options: LoopOptions,
        parts: LoopParts[Item],
        stats: ConsumerStats | None = None,
    ) -> None:
        self.stats = stats or ConsumerStats()
        self.machine: ConsumerMachine[Item] = ConsumerMachine(options.machine, parts.rng)
        self.error: Exception | None = None
        self.ended = False
        self._flush, self._options, self._parts = flush, options, parts
        self._time, self._group, self._executor = parts.time, parts.group, parts.executor
        self._state = NO_STATE if state is None else state()
        self._started: dict[int, tuple[float, int]] = {}
        self._repeated_lines = RepeatedLines(logger)
        self._most_records = MOST_RECORDS
        self._draining = self._closing = self._one_topic = False
        self._ends_by = math.inf
        self._last_pass = self._check_at = parts.time.monotonic()
        self._stuck: dict[int, float] = {}

    # -- one pass -----------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group. Does not block."""
        self._one_topic = len(topics) == 1 and not topics[0].startswith("^")
        self._group.subscribe(topics, self)

    def step(self) -> None:
        """Do what is due, then receive and process records. Blocks for up to 0.2 s, or while `process` works.

        Raises:
            ConsumerFailed: this member of the group can't continue.
        """
        machine = self.machine
        if self._parts.reporter is not None:
            machine.pauses.set(AHEAD, self._parts.reporter.ahead(machine.read_ms))
        self._work(0.0)
        now = self._last_pass = self._time.monotonic()
        if now >= self._check_at:
            self._check_at = now + CHECK_INTERVAL_S
            self._check_flushes(now)
            self._update_stats(now)
        if self._draining or self.error is not None:
            self.drain()
        if now >= self._ends_by and not self.ended:
            self.ended = True
            text = "drain_timeout_seconds is over: %d records in the buffer are not flushed. Kafka delivers them again"
            logger.warning(text, machine.buffer.records)
        if self.ended:
            return
        waits = machine.busy or machine.pauses.paused or self._parts.processing.records
        wait_s = BUSY_WAIT_S if waits else IDLE_WAIT_S
        wait_s = max(0.0, min(wait_s, machine.due_at - now))
        room = 0 if self._draining else machine.room - self._parts.processing.records
        # A flush that ends does not end a wait for records. So if a batch waits for its end, this loop does the same.
        waits_for_flush = machine.flush_waiting or not (room > 0 or machine.paused)
        records: Sequence[Any] = ()
        if room > 0:
            limit = MOST_RECORDS_AHEAD if machine.pauses.wants(AHEAD) else MOST_RECORDS
            most_records = min(room, limit, self._most_records)
            records = self._group.consume(most_records, 0.0 if waits_for_flush else wait_s)
        elif machine.paused:
            # The group needs calls of `consume` for rebalances. Partitions are paused, but a record that was fetched
            # before can come: it must not be skipped.
            records = self._group.consume(1, 0.0 if waits_for_flush else wait_s)
        self._process(records)
        if waits_for_flush and not records:
            self._work(wait_s)

    def drain(self) -> None:
        """Receive no more records. `ended` becomes true when everything that was received is flushed and committed, at
        the latest after `drain_timeout_s`. Further calls change nothing."""
        if not self._draining:
            logger.info("the consumer ends after %d records in the buffer are flushed", self.machine.buffer.records)
        self._draining = True
        if not self._parts.processing.records or self.error is not None:
            self.machine.drain()
        self._ends_by = min(self._ends_by, self._time.monotonic() + self._options.drain_timeout_s)

    def close(self) -> None:
        """Commit what is done, leave the group, and close the connections. Blocks for seconds, also if Kafka does not
        answer. Flushes are not awaited.

        The reporter is not closed.
        """
        self._closing = True
        try:
            self._collect(0.0)
        finally:
            self._group.close()  # `revoked` commits
            self._parts.processing.close()
            self._executor.close()
            if self._parts.dead_letters is not None:
                self._parts.dead_letters.close()

    def _work(self, timeout_s: float) -> None:
        """Pass outcomes to the machine, and do what it returns. Blocks for up to `timeout_s` until there is one."""
        self._collect(timeout_s)
        for action in self.machine.poll(self._time.monotonic()):
            self._perform(action)

    def _collect(self, timeout_s: float) -> None:
        machine, stats = self.machine, self.stats
        letters, processing = self._parts.dead_letters, self._parts.processing
        if processing.records:
            self._pass_on(processing.finished(0.0 if machine.busy else timeout_s))
        for flush_id, result, error in self._executor.finished(timeout_s):
            started_at, items = self._started.pop(flush_id)
            stats.last_flush_seconds = self._time.monotonic() - started_at
            stats.flush_seconds_total += stats.last_flush_seconds
            if error is None:
                stats.flushes_total += 1
                stats.flushed_items_total += items
                if self._state is not NO_STATE:
                    self._state = result
                machine.flush_succeeded(flush_id)
            else:
                stats.flush_failures_total += 1
                self._log(
                    logging.WARNING, "flush", "flush of %d items failed: %s: %s", items, type(error).__name__, error
                )
                machine.flush_failed(flush_id, error)
        for letter, failure in () if letters is None else letters.deliveries():
            if failure is None:
                stats.dead_letters_total += 1
                machine.dead_letter_delivered(letter)
            else:
                stats.dead_letter_failures_total += 1
                self._log(logging.WARNING, "letter", "a record can't be sent to the dead-letter topic: %s", failure)
                machine.dead_letter_failed(letter, failure)

    # -- health -------------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Return whether the consumer works. Any thread may call this. Does not block."""
        problems = [f"a flush has run for {seconds:.0f} s" for seconds in list(self._stuck.values())]
        if self.error is not None:
            problems.append(str(self.error))
        since_pass = self._time.monotonic() - self._last_pass
        if since_pass >= LOOP_STUCK_AFTER_S:
            problems.append(f"the consumer's loop has been blocked for {since_pass:.0f} s")
        return Health(tuple(problems))

    def _check_flushes(self, now: float) -> None:
        """Log the stack of each flush that hangs."""
        self._stuck = {
            flush_id: now - started_at
            for flush_id, (started_at, _) in self._started.items()
            if now - started_at >= self._options.stuck_after_s
        }
        for flush_id, seconds in self._stuck.items():
            items, stack = self._started[flush_id][1], self._executor.stack(flush_id)
            text = "a flush of %d items has run for %.0f s. Its stack:\n%s"
            self._log(logging.ERROR, f"stuck {flush_id}", text, items, seconds, stack)

    def _update_stats(self, now: float) -> None:
        machine, stats = self.machine, self.stats
        stats.stuck_flushes, stats.flushes_running = len(self._stuck), len(self._started)
        stats.buffered_records, stats.buffered_bytes = machine.buffer.records, machine.buffer.bytes
        stats.buffer_used_ratio = machine.buffer.used_ratio
        stats.oldest_buffered_seconds = now - min(machine.oldest_since, now)
        stats.partitions, stats.paused_partitions = machine.partitions, machine.pauses.by_reason()
        stats.pauses_total = dict(machine.pauses.totals)
        stats.uncommitted_records = machine.uncommitted_records

    # -- records ------------------------------------------------------------------------------------------------------

    def _process(self, records: Sequence[Any]) -> None:
        if not (records and self.machine.accepting):
            return
        self.stats.records_total += len(records)
        processing, begun_at = self._parts.processing, self._time.monotonic()
        near_until_ms = self._near_until_ms
        for partition, run in split_by_partition(records, one_topic=self._one_topic):
            assignment = self.machine.assignment(partition)
            if assignment is not None:  # otherwise it was revoked after these records were fetched
                processing.submit(Run(assignment, run))
                if processing.records and near_until_ms is not None:
                    self.machine.note_read(assignment, timestamps_of(run, near_until_ms))
        self._pass_on(processing.finished(0.0))
        each_s = (self._time.monotonic() - begun_at) / len(records)
        self._most_records = min(MOST_RECORDS, max(1, int(PROCESS_S / each_s))) if each_s > 0 else MOST_RECORDS

    def _pass_on(self, processed: Iterable[Any]) -> None:
        near_until_ms = self._near_until_ms
        for one in processed:
            pass_on(self.machine, one, self.stats, near_until_ms)

    @property
    def _near_until_ms(self) -> int | None:
        """Timestamps above it are far in the future; None if there is no reporter."""
        return None if self._parts.reporter is None else self._time.now_ms() + DEFAULT_MAX_FUTURE_MS

    # -- actions ------------------------------------------------------------------------------------------------------

    def _perform(self, action: Action[Item]) -> None:
        match action:
            case StartFlush(flush_id, batch):
                self._started[flush_id] = self._time.monotonic(), len(batch)
                arguments = (batch,) if self._state is NO_STATE else (batch, self._state)
                self._executor.submit(flush_id, partial(self._flush, *arguments))
            case Commit(offsets):
                self._group.commit(offsets, wait=False)
            case Report(timestamps):
                self._report(timestamps)
            case SendDeadLetter(letter_id, record, cause):
                assert self._parts.dead_letters is not None
                where = f"offset {record.offset()} of {record.topic()}:{record.partition()}"
                text = "the record at %s is sent to the dead-letter topic: %s: %s"
                self._log(logging.WARNING, "dead letter", text, where, cause.exception, cause.message)
                self._parts.dead_letters.send(letter_id, record, cause)
            case Pause(partitions):
                self._group.pause(partitions)
            case Resume(partitions):
                self._group.resume(partitions)
            case Fail(error):
                self.error = error
                logger.error("the consumer ends: %s", error)
            case Drained():
                self.ended = True

    def _report(self, timestamps: Mapping[Partition, Any]) -> None:
        reporter = self._parts.reporter
        if reporter is not None:
            for partition, found in timestamps.items():
                observe(reporter, partition, found)

    def _commit_now(self, partitions: Sequence[Partition]) -> None:
        offsets = self.machine.take_commit(partitions)
        if offsets:
            self._group.commit(offsets, wait=True)
        for action in self.machine.poll(self._time.monotonic()):
            self._perform(action)

    # -- the listener of the group ------------------------------------------------------------------------------------

    def assigned(self, partitions: Sequence[Partition]) -> None:
        self.machine.assigned(partitions)
        self._count_rebalance("assigned", partitions)
        self.stats.assignments_total += len(partitions)
        if self._parts.reporter is not None:
            self._parts.reporter.on_assign(self, topic_partitions(partitions))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        now = self._time.monotonic()
        deadline = now if self._closing else min(now + self._options.revoke_timeout_s, self._ends_by)
        self.machine.flush_buffer()
        while (left_s := deadline - self._time.monotonic()) > 0 and self._in_progress(partitions):
            self._work(min(left_s, BUSY_WAIT_S))
            self.machine.flush_buffer()
        discarded = self._in_progress(partitions)
        self._commit_now(partitions)
        self._count_rebalance("revoked", partitions, discarded=discarded)
        self.stats.revocations_total += len(partitions)
        if self._parts.reporter is not None:
            self._parts.reporter.on_revoke(self, topic_partitions(partitions))
        self.machine.removed(partitions)

    def _in_progress(self, partitions: Sequence[Partition]) -> bool:
        return self._parts.processing.has_runs_of(partitions) or not self.machine.are_done(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        discarded = self._in_progress(partitions)
        self.machine.removed(partitions)
        self._count_rebalance("lost", partitions, discarded=discarded)
        self.stats.losses_total += len(partitions)
        if self._parts.reporter is not None:
            self._parts.reporter.on_lost(self, topic_partitions(partitions))

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        self.stats.commits_total += 1
        self.machine.committed(offsets)

    def commit_failed(self, offsets: Mapping[Partition, int], reason: str) -> None:
        self.stats.commit_failures_total += 1
        partitions = name_first(sorted(offsets))
        self._log(logging.WARNING, "commit", "offsets of %s are not committed: %s", partitions, reason)
        self.machine.commit_failed(offsets)

    def _count_rebalance(self, what: str, partitions: Sequence[Partition], *, discarded: bool = False) -> None:
        self.stats.rebalances_total += 1
        logger.info("partitions %s: %s", what, name_first(partitions) or "none")
        if discarded:
            text = "records of partitions that were %s are discarded before they are flushed. Kafka delivers them again"
            self._log(logging.WARNING, what, text, what)

    def _log(self, level: int, state: str, message: str, *args: object) -> None:
        self._repeated_lines.log(self._time.monotonic(), level, state, message, *args)


def split_by_partition(records: Sequence[Any], *, one_topic: bool) -> Iterable[tuple[Partition, Sequence[Any]]]:
    """Split at least one record into runs of one partition, in their order.

    Args:
        one_topic: True if all records are of the same topic.
    """
    numbers = [record.partition() for record in records]
    topics = [records[0].topic()] * len(records) if one_topic else [record.topic() for record in records]
    if numbers.count(numbers[0]) == len(numbers) and topics.count(topics[0]) == len(topics):
        return [(Partition(topics[0], numbers[0]), records)]
    runs, first = [], 0
    for (topic, number), same in groupby(zip(topics, numbers, strict=True)):
        last = first + sum(1 for _ in same)
        runs.append((Partition(topic, number), records[first:last]))
        first = last
    return runs
