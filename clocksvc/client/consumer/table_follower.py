"""Reads a compacted topic into the contents of its partitions, step by step. One thread calls `step`.

A check every 10 s asks brokers for the topic's id and the ends of its partitions. It finds added partitions and a
recreated topic, and shows that Kafka can't be reached. A partition that can't be read on from its position is loaded
again from its beginning, and keeps its contents meanwhile.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import methodcaller
from typing import Generic, TypeVar

from clocksvc.client.consumer.table_partition import Decode, OnChange, TablePartition
from clocksvc.errors import TableUnavailable
from clocksvc.interfaces.compacted_topic import CleanupSettings, CompactedTopic, OffsetBounds, Polled, TableRecord
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers

V = TypeVar("V")

CHECK_INTERVAL_S = 10.0
CHECK_PAUSE_S = 0.5
"""The shortest time from a check to one that `check_soon` requests."""
POLL_S = 0.1
DELETE_RETENTION_MS = 86_400_000
"""Kafka's default of `delete.retention.ms`, if the setting can't be read."""
MIN_GAP_S = 60.0
"""A shorter `delete.retention.ms` counts as this, because otherwise a table could reload all the time."""

logger = logging.getLogger("clocksvc.table")
_partition_of = methodcaller("partition")


class TableFollower(Generic[V]):
    """Loads all chosen partitions, then follows them. Other threads may read the attributes, and call `has_read`.

    Attributes:
        source: the topic in Kafka.
        partitions: the partitions that were found, by number. Replaced as a whole if partitions are added.
        topic_id: None until brokers described the topic.
        ready: True once all partitions were read to their ends. It stays True.
        problem: why records can't be read at present; None if there is no known problem.
        problem_since_ms: when the problem began, or when the last one ended (ms since the epoch).
        reloads: how many times a partition was loaded again.
    """

    def __init__(
        self,
        topic: str,
        open_source: Callable[[], CompactedTopic],
        chosen: Sequence[int] | None,
        decode: Decode[V],
        on_change: OnChange[V] | None,
        time: Time,
        rng: random.Random | None = None,
        *,
        initial_changes: bool = True,
    ) -> None:
        self._topic, self._chosen, self._time = topic, chosen, time
        self._open_source, self.source = open_source, open_source()
        self._decode, self._on_change, self._initial_changes = decode, on_change, initial_changes
        self._backoff = Backoff(CONNECTION, rng)
        self._lines = RepeatedLines(logger)
        self.partitions: Mapping[int, TablePartition[V]] = {}
        self.topic_id: str | None = None
        self.ready = False
        self.problem: str | None = None
        self.problem_since_ms = time.now_ms()
        self.reloads = 0
        self._check_at = self._checked_at = float("-inf")
        self._check_wanted = False
        self._check_problem: str | None = None
        self._failing: dict[int, str] = {}
        self._reload: dict[int, str] = {}
        self._below_position: set[int] = set()
        self._at_end_s: dict[int, float] = {}
        self._max_gap_s = DELETE_RETENTION_MS / 1000
        self._wanted: Sequence[int] | None = None

    # -- for other threads --------------------------------------------------------------------------------------------

    def has_read(self, number: int, topic_id: str, end: int) -> bool:
        """True if a partition of the topic with this id was read to offset `end`, and its contents are complete."""
        partition = self.partitions.get(number)
        if partition is None or topic_id != self.topic_id or number in self._reload:
            return False
        return partition.loaded and partition.position >= end

    def check_soon(self) -> None:
        """Let the next step check the topic, but not within 0.5 s of the last check."""
        self._check_wanted = True

    # -- the thread's part --------------------------------------------------------------------------------------------

    def step(self, poll_s: float = POLL_S) -> float:
        """Check the topic if it is time, and apply the records of one poll.

        Blocks for up to `poll_s` if there are no records, and for a few seconds if brokers do not answer a check.

        Returns:
            How many seconds the next step can wait: 0 while partitions are read.
        """
        now = self._time.monotonic()
        if now >= self._next_check_s:
            self._check_at = self._time.monotonic() + self._check(now)
        if not self.partitions:
            return max(0.0, self._next_check_s - self._time.monotonic())
        self._apply(self.source.poll(poll_s))
        self.ready = self.ready or self._complete()
        return 0.0

    def restart(self) -> None:
        """Use a new client, and load all partitions again, because records may have been lost in an error."""
        self._reload.update(dict.fromkeys(self.partitions, "an unexpected error interrupted the reading"))
        self._check_at = float("-inf")
        old, self.source = self.source, self._open_source()
        old.close()

    @property
    def _next_check_s(self) -> float:
        return min(self._check_at, self._checked_at + CHECK_PAUSE_S) if self._check_wanted else self._check_at

    def _check(self, now: float) -> float:
        self._checked_at, self._check_wanted = now, False
        try:
            self._check_problem = self._inspect(now)
        except TableUnavailable as error:
            self._check_problem = str(error)
        self._update_problem()
        if self._check_problem is not None:
            return self._backoff.next()
        self._backoff.reset()
        return CHECK_INTERVAL_S

    def _inspect(self, now: float) -> str | None:
        found = self.source.inspect(self._chosen)
        if found is None:
            return f"topic {self._topic!r} does not exist"
        if found.id != self.topic_id:
            self._use_settings(self.source.cleanup_settings())
            if self.topic_id is not None:
                self._reload.update(dict.fromkeys(self.partitions, "the topic was recreated: its id has changed"))
            self.topic_id = found.id
        self._wanted = range(found.partitions) if self._chosen is None else self._chosen
        self._restart_partitions(found.bounds, now)
        self._clear_partitions(found.partitions)
        self.ready = self.ready or self._complete()
        missing = [number for number in self._wanted if number >= found.partitions]
        if missing:
            return f"topic {self._topic!r} has {found.partitions} partitions, and no partition {missing[0]}"
        return next((f"partition {number}: {reason}" for number, reason in found.failures.items()), None)

    def _use_settings(self, settings: CleanupSettings) -> None:
        retention_ms = DELETE_RETENTION_MS if settings.delete_retention_ms is None else settings.delete_retention_ms
        self._max_gap_s = max(MIN_GAP_S, retention_ms / 1000)
        if settings.policy is not None and "compact" not in settings.policy:
            logger.warning(
                "topic %s is not compacted (cleanup.policy=%s): Kafka deletes records of keys that are still in use, "
                "and a table that is loaded later does not have them",
                self._topic,
                settings.policy,
            )

    def _restart_partitions(self, found: Mapping[int, OffsetBounds], now: float) -> None:
        """Start partitions that are new, or can't be read on from their position."""
        starting: dict[int, OffsetBounds] = {}
        for number, bounds in found.items():
            partition = self.partitions.get(number)
            if partition is not None:
                reason = self._reason_to_reload(partition, bounds)
                if reason is None:
                    partition.end = max(bounds.end, partition.position)
                    if partition.position >= bounds.end:
                        self._at_end_s[number] = now
                    continue
                self.reloads += 1
                logger.error(
                    "partition %d of topic %s is loaded again from its beginning, and keeps its contents meanwhile: %s",
                    number,
                    self._topic,
                    reason,
                )
            starting[number] = bounds
        # The client reports an error of a partition once, and then only its next record, which can be days later. If it
        # reads again from the same position, it reports the partition's end.
        again = {number: self.partitions[number].position for number in self._failing if number in self.partitions}
        if not starting and not again:
            return
        self.source.start(again | {number: bounds.begin for number, bounds in starting.items()})
        added = {
            number: TablePartition(number, self._decode, self._on_change, initial_changes=self._initial_changes)
            for number in starting
            if number not in self.partitions
        }
        self.partitions = dict(sorted({**self.partitions, **added}.items()))
        for number, bounds in starting.items():
            self._failing.pop(number, None)
            self._at_end_s[number] = now
            self.partitions[number].load(bounds)
            self._reload.pop(number, None)  # last, because `has_read` looks for it

    def _reason_to_reload(self, partition: TablePartition[V], bounds: OffsetBounds) -> str | None:
        number, position = partition.number, partition.position
        if reason := self._reload.get(number):
            return reason
        if position < bounds.begin:
            return f"the log begins at offset {bounds.begin}, behind position {position}"
        if position <= bounds.end:
            self._below_position.discard(number)
        elif number in self._below_position:
            # Twice, because a broker that was just deposed as the partition's leader can answer with an old end.
            self._below_position.discard(number)
            return f"the log ends at offset {bounds.end}, before position {position}: it was truncated or recreated"
        else:
            self._below_position.add(number)
        return None

    def _clear_partitions(self, count: int) -> None:
        """Delete the keys of partitions that a recreated topic does not have."""
        gone = [partition for number, partition in self.partitions.items() if number >= count]
        if gone:
            self.source.stop([partition.number for partition in gone])
            self.partitions = {number: partition for number, partition in self.partitions.items() if number < count}
        for partition in gone:
            self._reload.pop(partition.number, None)
            self._failing.pop(partition.number, None)
            partition.clear()

    def _complete(self) -> bool:
        if self._wanted is None:
            return False
        return all(number in self.partitions and self.partitions[number].loaded for number in self._wanted)

    def _apply(self, polled: Polled) -> None:
        now = self._time.monotonic()
        for number, run in groupby(polled.records, key=_partition_of):
            self._apply_run(number, list(run), now)
        for number, end in polled.ends.items():
            partition = self.partitions.get(number)
            if partition is None or number in self._reload:
                continue
            if end <= partition.position or not self._was_away_too_long(partition, now):
                partition.reached(end)
                self._at_end_s[number] = now
                self._failing.pop(number, None)
        for number, reason in polled.out_of_range.items():
            self._reload[number] = reason
            self.check_soon()
        self._failing.update(polled.failures)
        self._update_problem()

    def _apply_run(self, number: int, records: Sequence[TableRecord], now: float) -> None:
        partition = self.partitions.get(number)
        if partition is None or number in self._reload:
            return
        if self._was_away_too_long(partition, now):
            return
        unreadable, change_errors = partition.unreadable, partition.change_errors
        partition.apply(records)
        self._failing.pop(number, None)
        newest = partition.last_unreadable
        if partition.unreadable > unreadable and newest is not None:
            self._warn(
                ("unreadable", without_numbers(newest.reason)),
                f"the record at offset {newest.offset} of partition {number} of topic {self._topic} is not in the "
                f"table: {newest.reason}",
            )
        if partition.change_errors > change_errors:
            self._warn("on_change", f"on_change failed {partition.change_error}")

    def _was_away_too_long(self, partition: TablePartition[V], now: float) -> bool:
        """True if Kafka can have removed tombstones behind the position. Their keys would stay in the table."""
        gap_s = now - self._at_end_s[partition.number]
        if not partition.loaded or gap_s <= self._max_gap_s:
            return False
        reason = f"it was last read to its end {gap_s:.0f} s ago, and delete.retention.ms is {self._max_gap_s:.0f} s"
        self._reload[partition.number] = reason
        self.check_soon()
        return True

    def _update_problem(self) -> None:
        failing = next((f"partition {number}: {reason}" for number, reason in self._failing.items()), None)
        problem = self._check_problem or failing
        if (problem is None) != (self.problem is None):
            self.problem_since_ms = self._time.now_ms()
            if problem is None:
                self._lines.clear()
                logger.info("topic %s can be read again", self._topic)
        self.problem = problem
        if problem is not None:
            text = f"topic {self._topic} can't be read, the table keeps its contents: {problem}"
            self._warn(("problem", without_numbers(problem)), text)

    def _warn(self, state: object, text: str) -> None:
        self._lines.log(self._time.monotonic(), logging.WARNING, str(state), "%s", text)
