"""A table in memory that has the newest value of each key of a compacted Kafka topic."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from clocksvc.client.consumer.table_follower import POLL_S, TableFollower, logger
from clocksvc.client.consumer.table_partition import Decode, OnChange, PartitionProgress, Unreadable
from clocksvc.client.consumer.table_state import TableCounts, TableProgress, TableState
from clocksvc.errors import InvalidValue, TableUnavailable
from clocksvc.interfaces.compacted_topic import CompactedTopic
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.collector_pause import CollectorPause
from clocksvc.runtime.fork import after_fork
from clocksvc.runtime.worker_thread import WorkerThread

V = TypeVar("V")

_inherited: list[object] = []
"""Clients of a parent process. They are kept for ever, because librdkafka would wait for threads that do not exist."""


class CompactedTable(Generic[V]):
    """The newest value of each key of a compacted topic, read from Kafka by one thread. Thread-safe.

    The table reads from the beginning to the ends of all partitions, which are requested when reading begins. Then it
    is ready, and follows the topic. It never commits offsets and joins no group, so any number of processes can have
    the same table. Only committed records count. A record without a value (a tombstone) deletes its key.

    If Kafka can't be reached, the table keeps its contents and tries again with back-offs of up to 5 s. `state` has the
    reason, and since when. Partitions that are added to the topic are read, too. If the topic is recreated or
    truncated, or if it could not be read for longer than `delete.retention.ms`, partitions are loaded again, with an
    ERROR in the log (`clocksvc.table`). They keep their contents until this is complete. Then
    `on_change` is called for the keys that differ.

    After a fork, the table in the child process has the contents of that moment and does not follow the topic. Create a
    table in each process.

    Args:
        topic: the topic's name.
        decode: called with each record that has a value: `record.key()`, `.value()`, `.offset()`, `.partition()`,
            `.timestamp()`, `.headers()`, as in confluent-kafka. Returns the value for the table; None to have no value
            for this key. For raw bytes: `lambda record: record.value()`. If it raises an exception, the record is
            counted and logged, and its key has no value, as after a tombstone; reading goes on.
        bootstrap_servers: addresses of brokers, separated by commas.
        settings: any other settings of librdkafka, such as those for TLS and SASL. `fetch.queue.backoff.ms` is 5 and
            `queued.max.messages.kbytes` is 16384 unless set.
        partitions: the partitions to read. None for all of the topic.
        on_change: called with `key, old, new` after each change in the table, also while it is loaded. `old` is None
            for a new key, `new` for a deleted one. It runs in the table's thread and delays the records behind it, so
            it must not wait for the table or close it. An exception is counted and logged.
        initial_changes: False to call `on_change` only after a partition was loaded for the first time. Loading is
            faster then.
        pause_collector: True to turn off Python's cyclic garbage collector, in the whole process, while the table is
            loaded for the first time, and then to exclude all present objects from later collections (`gc.freeze`).
            It saves time if a table has many values that are not bytes.
        source: opens the topic; None for Kafka. For tests.
        time: the source of the time.
        start: False to start no thread. In this case, one thread of the caller must call `step`.

    Raises:
        InvalidValue: an argument is not valid.
        TableUnavailable: librdkafka rejects the settings.
    """

    def __init__(
        self,
        topic: str,
        *,
        decode: Decode[V],
        bootstrap_servers: str = "localhost:9092",
        settings: Mapping[str, Any] | None = None,
        partitions: Sequence[int] | None = None,
        on_change: OnChange[V] | None = None,
        initial_changes: bool = True,
        pause_collector: bool = False,
        source: Callable[[], CompactedTopic] | None = None,
        time: Time | None = None,
        start: bool = True,
    ) -> None:
        if not (isinstance(topic, str) and topic):
            raise InvalidValue("topic", topic, "wanted the name of a topic")
        if partitions is not None and not (partitions and all(type(one) is int and one >= 0 for one in partitions)):
            raise InvalidValue("partitions", partitions, "wanted numbers of partitions, at least one; None for all")
        if not (isinstance(bootstrap_servers, str) and bootstrap_servers):
            raise InvalidValue(
                "bootstrap_servers", bootstrap_servers, "wanted HOST:PORT, or several, with commas between"
            )
        kafka = {**(settings or {}), "bootstrap.servers": bootstrap_servers}
        self.topic, self._time = topic, time or SystemTime()
        self._chosen = None if partitions is None else tuple(sorted(set(partitions)))
        self._follower = TableFollower(
            topic,
            source or _open_kafka(topic, kafka),
            self._chosen,
            decode,
            on_change,
            self._time,
            initial_changes=initial_changes,
        )
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._closed = False
        self._pause = CollectorPause() if pause_collector else None
        self._thread = WorkerThread(
            f"clocksvc-table-{topic}",
            self.step,
            log=logger,
            extra={"topic": topic},
            wake=self._wake,
            on_crash=self._follower.restart,
            finish=self._finish,
        )
        self._starts = start
        after_fork(self, CompactedTable._stop_in_child)
        if start:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- contents -----------------------------------------------------------------------------------------------------

    def get(self, key: bytes, partition: int | None = None) -> V | None:
        """Return the value of a key; None if it has none. Does not block.

        Kafka keeps the newest record of a key *in each partition*. If producers have moved a key to another partition,
        for example because partitions were added, both have it. Without `partition`, the one with the highest number
        counts.
        """
        partitions = self._follower.partitions
        if partition is not None:
            return partitions[partition].contents.get(key) if partition in partitions else None
        found = None
        for one in partitions.values():
            value = one.contents.get(key)
            found = found if value is None else value
        return found

    def items(self, partition: int | None = None) -> Iterator[tuple[bytes, V]]:
        """Iterate over keys and values, of all partitions or one. Each partition's part is a consistent copy."""
        for number, one in self._follower.partitions.items():
            if partition is None or number == partition:
                yield from list(one.contents.items())

    def __len__(self) -> int:
        return sum(len(one.contents) for one in self._follower.partitions.values())

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    # -- waiting ------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """True once all partitions were read to the ends that were taken when reading began. It stays True."""
        return self._follower.ready

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until the table is ready. Blocks for up to `timeout_s` seconds; None for no limit.

        Raises:
            TableUnavailable: the table is not ready in time, or it was closed. The message has the reason.
        """
        if self._until(lambda: self._follower.ready, timeout_s):
            return
        progress = self.progress
        reason = self._follower.problem or (
            f"{progress.records} records were read, and at most {progress.left} are left: "
            f"{self._incomplete(progress.partitions)}"
        )
        raise TableUnavailable(f"the table of topic {self.topic!r} is not ready: {reason}")

    def read_to_end(self, partition: int, timeout_s: float = 10.0) -> int:
        """Ask for a partition's present end, and wait until the table has all records before it.

        Then the table has everything that was acknowledged before this call. Records behind an open transaction can be
        read only after this transaction has ended. Blocks for up to `timeout_s` seconds, and if brokers do
        not answer, for a few seconds more.

        Returns:
            The end offset.

        Raises:
            InvalidValue: the partition is not one of the table's `partitions`.
            TableUnavailable: the end was not reached in time, or the table was closed. The message has the reason.
        """
        if self._chosen is not None and partition not in self._chosen:
            raise InvalidValue("partition", partition, f"this table reads the partitions {list(self._chosen)}")
        deadline = self._time.monotonic() + timeout_s
        topic_id, end = self._present_end(partition, deadline)
        follower = self._follower
        if topic_id != follower.topic_id or partition not in follower.partitions:
            follower.check_soon()
            self._wake.set()
        if self._until(lambda: follower.has_read(partition, topic_id, end), deadline - self._time.monotonic()):
            return end
        known = follower.partitions.get(partition)
        reason = follower.problem or self._incomplete([] if known is None else [known.progress._replace(end=end)])
        raise TableUnavailable(f"partition {partition} of topic {self.topic!r} is not read to its end: {reason}")

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> TableProgress:
        """How far each partition is read."""
        return TableProgress(tuple(one.progress for one in self._follower.partitions.values()))

    @property
    def state(self) -> TableState:
        """Whether the table follows its topic, since when, and if not, why."""
        follower = self._follower
        problem, since_ms = follower.problem, follower.problem_since_ms
        if self._closed:
            status = "closed"
        elif problem is not None:
            status = "unavailable"
        else:
            status = "ready" if follower.ready else "loading"
        return TableState(status, since_ms, problem)

    @property
    def counts(self) -> TableCounts:
        """The counters."""
        partitions = list(self._follower.partitions.values())
        return TableCounts(
            sum(one.records for one in partitions),
            sum(one.tombstones for one in partitions),
            sum(one.unreadable for one in partitions),
            sum(one.change_errors for one in partitions),
            self._follower.reloads,
            self._thread.crashes,
        )

    @property
    def unreadable(self) -> list[Unreadable]:
        """The newest unreadable records, at most 100 a partition, without those whose key was written again since."""
        return [found for one in self._follower.partitions.values() for found in list(one.newest_unreadable.values())]

    # -- the thread ---------------------------------------------------------------------------------------------------

    def step(self, poll_s: float = POLL_S) -> float:
        """Do one step: read and apply what there is. Only for tables that were created with `start=False`.

        Blocks for up to `poll_s` if there is nothing to read, and for a few seconds if Kafka does not answer.

        Returns:
            How many seconds the next step can wait.
        """
        follower = self._follower
        if self._pause is not None:
            self._pause.set_paused(not follower.ready and follower.problem is None)
        wait_s = follower.step(poll_s)
        if self._pause is not None and follower.ready:
            self._pause.freeze()
            self._pause = None
        with self._changed:
            self._changed.notify_all()
        return wait_s

    def skip(self, partition: int, begin: int, end: int) -> None:
        """No offset from `begin` to before `end` has a record: it is the marker of the caller's own transaction.

        Without this, the table is read to its end up to 0.1 s later. Only for the thread that calls `step`.
        """
        if partition in self._follower.partitions:
            self._follower.partitions[partition].skip(begin, end)

    def close(self, timeout_s: float = 5.0) -> bool:
        """End the thread and close connections. Blocks for up to `timeout_s` seconds. The contents stay readable.

        Returns:
            True if the thread has ended.
        """
        if self._closed:
            return True
        self._closed = True
        self._thread.stop()
        if not self._starts:
            self._finish()
        with self._changed:
            self._changed.notify_all()
        return self._thread.join(timeout_s)

    def free(self) -> None:
        """Delete the contents of a closed table. Does not block.

        A table with `pause_collector` needs it: the garbage collector never looks at the contents, and they would stay
        in memory after the last reference to the table is gone.
        """
        self._follower.partitions = {}

    def _finish(self) -> None:
        if self._pause is not None:
            self._pause.set_paused(False)
        self._follower.source.close()

    def _stop_in_child(self) -> None:
        """After a fork, keep the contents, and never use or free the client."""
        if self._pause is not None:
            self._pause.set_paused(False)
        _inherited.append(self._follower.source)
        self._changed = threading.Condition()
        self._closed = True
        self._follower.problem = "the process was forked: create a table in each process"

    def _until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until a condition is true; False after the timeout, or if the table is closed."""
        if self._starts:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or condition(), timeout_s)
                return condition()
        deadline = None if timeout_s is None else self._time.monotonic() + timeout_s
        while not condition():
            if self._closed or (deadline is not None and self._time.monotonic() >= deadline):
                return False
            self.step()
        return True

    def _present_end(self, partition: int, deadline: float) -> tuple[str, int]:
        """Return the topic's id and the partition's end. Retries until the deadline."""
        backoff = Backoff(CONNECTION)
        while not self._closed:
            try:
                found = self._follower.source.inspect([partition])
            except TableUnavailable as error:
                reason = str(error)
            else:
                if found is not None and partition in found.bounds:
                    return found.id, found.bounds[partition].end
                reason = f"topic {self.topic!r} does not exist"
                if found is not None:
                    reason = found.failures.get(partition, f"the topic has {found.partitions} partitions")
            wait_s = backoff.next()
            if self._time.monotonic() + wait_s >= deadline:
                raise TableUnavailable(
                    f"the end of partition {partition} of topic {self.topic!r} is not known: {reason}"
                )
            self._until(lambda: False, wait_s)
        raise TableUnavailable(f"the table of topic {self.topic!r} is closed")

    def _incomplete(self, partitions: Sequence[PartitionProgress]) -> str:
        if self._closed:
            return "the table is closed"
        behind = [one for one in partitions if not one.loaded or one.left]
        if not behind:
            return "the topic was not described yet"
        first = behind[0]
        more = f", and {len(behind) - 1} more partitions are behind" if len(behind) > 1 else ""
        return (
            f"partition {first.partition} is read to offset {first.position} of {first.end}{more}. If it stays there, "
            "an open transaction of a producer hides the records behind it"
        )


def _open_kafka(topic: str, settings: Mapping[str, Any]) -> Callable[[], CompactedTopic]:
    def open_source() -> CompactedTopic:
        # Imported here, because consumers that report by Redis or HTTP need no Kafka client of Python.
        from clocksvc.kafka.compacted_topic import KafkaCompactedTopic

        return KafkaCompactedTopic(topic, settings)

    return open_source
