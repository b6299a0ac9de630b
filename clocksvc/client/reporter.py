"""The Reporter, which a consumer embeds to report how far it has processed each partition.

Only `flush`, `close` and `on_revoke` wait for the store, each with a timeout.
"""

import logging
import random
import threading
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType

from clocksvc.client.membership import group_of
from clocksvc.client.message import KafkaMessage, TopicPartition
from clocksvc.client.progress_tracker import ProgressTracker
from clocksvc.client.report_sender import ReportSender
from clocksvc.client.report_sink import SAME_SETTINGS_HINT, open_report_sink
from clocksvc.client.report_thread import ReportThread
from clocksvc.client.topic_senders import TopicSenders
from clocksvc.client.unknown_partitions import UnknownPartitionLog
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import ClocksvcError, InvalidValue
from clocksvc.interfaces.progress import ReportSink
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.fork import after_fork

logger = logging.getLogger("clocksvc.reporter")

REVOKE_TIMEOUT_S = 2.0


class Reporter:
    """Reports the progress of one consumer to one clock. Thread-safe.

    Observe a record only after its effects are durable, because the clock may tick as soon as all partitions are
    reported. `observe`, `observe_message` and `observe_many` do not block and do no I/O. A background thread sends a
    report when a partition crosses a boundary of the clock, and reports all partitions again every 10 s. If the store
    is unavailable, the highest timestamp of each partition is kept and sent later. Creating a Reporter does not open a
    connection. After a fork, the reporter in the child process starts without progress.

    No answer of the server and no configuration of the clock makes a method raise. Errors are logged
    (`clocksvc.reporter`). A wrong group or topic is logged as an ERROR, once for each change of the configuration. Its
    timestamps do not count, so the clock holds and names the partitions that are not reported. Only wrong calls raise:
    InvalidValue for an argument that is not valid, and ReporterMisuse after `close`.

    Args:
        url: the address to which reports are sent. `redis://…`, `rediss://…`, `unix://…`, `redis+sentinel://…` and
            `redis+cluster://…` are the store. Add `?prefix=…` if the service's prefix is not `clocksvc`. `http://…` and
            `https://…` are the service.
        clock: the name of the clock.
        group: the consumer group that processes the records. The clock counts only its configured group. If the
            consumer that `on_assign` gets is a member of another group, its records do not count.
        topic: the topic of the observed partitions; messages of other topics do not count. None for all topics of the
            clock: `observe_message` and `observe_many` take the topic from each message. Numbers of partitions, which
            `observe` gets, are of the topic of the messages, otherwise of the only topic that `on_assign` gets. If none
            of them is called, the only topic of the clock is assumed, and this is logged. If the consumer or the clock
            has several topics, numbers do not count without a topic: create one reporter for each topic then.
        token: for `http(s)://`, an API token with the scope `report`.
        sink: a sink that is used instead of the one for `url`. `close` closes it.
        time: the source of the time.
        rng: the source of random numbers for the jitter of retries.
        start: False to start no background thread. In this case, one thread of the caller must call `step`.

    Attributes:
        group: the group that was given.

    Raises:
        InvalidValue: an argument is not valid.
    """

    def __init__(
        self,
        url: str,
        clock: str,
        *,
        group: str,
        topic: str | None = None,
        token: str | None = None,
        sink: ReportSink | None = None,
        time: Time | None = None,
        rng: random.Random | None = None,
        start: bool = True,
    ) -> None:
        check_clock_name("clock", clock)
        if not (isinstance(group, str) and group):
            raise InvalidValue("group", group, "wanted the consumer group that processes the records")
        if topic is not None and not (isinstance(topic, str) and topic):
            wanted = "wanted the name of one topic, or None. For several topics, create one reporter for each topic"
            raise InvalidValue("topic", topic, wanted)
        self.group = group
        self._clock, self._start = clock, start
        self._member_of: str | None = None
        # The functions below are kept by the thread, so they must not refer to this object.
        clocks_time = self._time = time or SystemTime()
        self._closed = False

        def create_senders() -> TopicSenders:
            own_sink, where = (
                (sink, f"the given sink: {SAME_SETTINGS_HINT}") if sink else open_report_sink(url, clock, token)
            )

            def create(topic: str | None, wake: threading.Event) -> tuple[ProgressTracker, ReportSender]:
                tracker = ProgressTracker(clock, group, topic, clocks_time)
                unknown_log = UnknownPartitionLog(clock, where)
                backoff = Backoff(CONNECTION, rng)
                return tracker, ReportSender(clock, tracker, own_sink, clocks_time, backoff, unknown_log, wake)

            return TopicSenders(topic, create, own_sink, clocks_time)

        self._create_senders = create_senders
        self._begin()
        after_fork(self, Reporter._restart_in_child)

    def _begin(self) -> None:
        self._senders = self._create_senders()
        if self._member_of is not None:
            self._senders.join(self._member_of)
        self._topic = self._senders.only_topic
        self._numbers = self._senders.first.progress
        self._of_topic = self._senders.progress
        self._thread = ReportThread(self._senders, f"clocksvc-reporter-{self._clock}") if self._start else None
        # The thread has no reference to this object, so an unreferenced reporter can be collected.
        self._finalizer = None if self._thread is None else weakref.finalize(self, self._thread.stop)
        if self._finalizer is not None:
            self._finalizer.atexit = False  # report_thread stops all threads together at exit

    def _restart_in_child(self) -> None:
        """Start again after a fork: connections belong to the parent, the thread is gone, and locks may stay locked."""
        if self._finalizer is not None:
            self._finalizer.detach()
        if not self._closed:
            self._begin()

    # -- the hot path -------------------------------------------------------------------------------------------------
    #
    # There is no lock here. CPython switches threads only at calls and at the end of a loop iteration, and neither
    # happens between the comparison with `high_ms` and the assignment after it. Without a GIL, two threads on one
    # partition could store the lower of two timestamps. Ticks could then be late, but never early, and the next record
    # corrects the value.

    def observe(self, partition: int, timestamp_ms: int) -> None:
        """Observe a processed record. Does not block.

        Args:
            partition: the number of its partition in the reporter's topic. If `on_assign` got only partitions of other
                topics, it is the number of such a partition.
            timestamp_ms: the record's timestamp in milliseconds since the epoch, -1 for none, as in Kafka.

        Raises:
            ReporterMisuse: the reporter is closed.
            InvalidValue: an argument is not an integer, or is not a partition number.
        """
        try:
            progress = self._numbers[partition]
            if timestamp_ms > progress.high_ms:
                if timestamp_ms < progress.fast_path_limit_ms:
                    progress.high_ms = timestamp_ms
                    return
            elif timestamp_ms >= progress.late_below_ms:
                return
        except (KeyError, TypeError):
            pass  # the slow path adds an unknown partition, and raises InvalidValue for an argument of a wrong type
        self._observe_slow_path(None, partition, timestamp_ms)

    def observe_message(self, message: KafkaMessage) -> None:
        """Observe a processed record by its message. Does not block.

        Messages with an error are ignored. Messages of a topic that is not one of the clock's never count, nor do
        messages of another topic than the one that the reporter was given. If such a message is detected, an ERROR is
        logged, once for each topic, and the clock counts it as rejected.

        Args:
            message: confluent-kafka's message, or an object with the same `topic()`, `partition()`, `timestamp()` and
                `error()`.

        Raises:
            ReporterMisuse: the reporter is closed.
        """
        topic = self._topic or message.topic()
        timestamp_type, timestamp_ms = message.timestamp()
        try:
            progress = self._of_topic[topic][message.partition()]  # type: ignore[index]
        except KeyError:
            self._observe_message_slow_path(message, topic)
            return
        if timestamp_ms > progress.high_ms:
            if (
                timestamp_ms < progress.fast_path_limit_ms
                and timestamp_type == progress.timestamp_type
                and message.topic() == topic
            ):
                progress.high_ms = timestamp_ms
            else:
                self._observe_message_slow_path(message, topic)
        elif timestamp_ms < progress.late_below_ms:
            self._observe_message_slow_path(message, topic)

    def observe_many(self, messages: Iterable[KafkaMessage]) -> None:
        """Observe processed records, such as all messages of one `consume` call. Does not block.

        The same as `observe_message` for each message, but faster. A message of another topic is detected if it is the
        first or the last message of the batch, if its timestamp is the highest of its partition, or if any message of
        the batch crosses a boundary or is late.

        Args:
            messages: messages as for `observe_message`.

        Raises:
            ReporterMisuse: the reporter is closed.
        """
        batch = messages if isinstance(messages, list) else list(messages)
        topic = self._topic
        if topic is None:
            for message in batch:
                self.observe_message(message)
            return
        progress_of = self._of_topic[topic]
        unusual = bool(batch) and not (_is_of(batch[0], topic) and _is_of(batch[-1], topic))
        for message in batch:
            timestamp_type, timestamp_ms = message.timestamp()
            try:
                progress = progress_of[message.partition()]
            except KeyError:
                unusual = True
                if _is_of(message, topic):
                    self._observe_message_slow_path(message, topic)
                continue
            if timestamp_ms > progress.high_ms:
                if (
                    timestamp_ms < progress.fast_path_limit_ms
                    and timestamp_type == progress.timestamp_type
                    and message.topic() == topic
                ):
                    progress.high_ms = timestamp_ms
                    continue
            elif timestamp_ms >= progress.late_below_ms:
                continue
            unusual = True
            if _is_of(message, topic):
                self._observe_message_slow_path(message, topic)
        if unusual:
            for message in batch:
                if message.error() is None and message.topic() != topic:
                    self._observe_message_slow_path(message, topic)

    def _observe_message_slow_path(self, message: KafkaMessage, topic: str | None) -> None:
        own_topic, partition = message.topic(), message.partition()
        if message.error() is not None or partition is None or own_topic is None:
            return
        timestamp_type, timestamp_ms = message.timestamp()
        tracker = self._senders.tracker_of(own_topic)
        if tracker is None:
            self._senders.first.reject_other_topic(own_topic, partition, timestamp_ms)
            self._wake()
            return
        if own_topic != topic or self._topic is None:
            self._topic = self._senders.only_topic
            self._check_numbers()
        self._observe_slow_path(tracker, partition, timestamp_ms, timestamp_type)

    def _observe_slow_path(
        self, tracker: ProgressTracker | None, partition: int, timestamp_ms: int, timestamp_type: int | None = None
    ) -> None:
        if tracker is None and self._senders.several:
            self._senders.first.reject_number(partition, timestamp_ms)
            due = True
        else:
            due = (tracker or self._senders.first).observe_slow_path(partition, timestamp_ms, timestamp_type)
        if due:
            self._senders.wake.set()
        if self._thread is not None:
            self._thread.start()

    def _check_numbers(self) -> None:
        if self._senders.several:
            self._numbers = {}  # each number takes the slow path, which rejects it

    def _wake(self) -> None:
        self._senders.wake.set()
        if self._thread is not None:
            self._thread.start()

    # -- rebalances: callbacks for confluent-kafka's `subscribe` ------------------------------------------------------

    def on_assign(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Start partitions that were assigned to this consumer, without progress. Does not block.

        The topics of the partitions are compared with those of the clock, and the group of the consumer with that of
        the reporter. If the consumer is a member of another group, an ERROR is logged, and the clock rejects all that
        is observed, until an assignment of a consumer with the reporter's group.

        Args:
            consumer: a consumer of confluent-kafka or aiokafka. The group of other objects is not compared.
            partitions: the partitions that were assigned.
        """
        self._compare_group(group_of(consumer))
        self._senders.assign([Partition(item.topic, item.partition) for item in partitions])
        self._check_numbers()
        if self._thread is not None and not self._closed:
            self._thread.start()

    def _compare_group(self, member_of: str | None) -> None:
        if member_of is None or member_of == self._member_of:
            return
        self._member_of = member_of
        self._senders.join(member_of)
        if member_of != self.group:
            logger.error(
                "the consumer is a member of group %r, but Reporter(…, group=%r) reports for another group to clock "
                "%s: nothing counts for the clock. Use one group in group.id and group=; a copy of a consumer with a "
                "group of its own needs a clock of its own, or no Reporter",
                *(member_of, self.group, self._clock),
                extra={"clock": self._clock, "group": member_of},
            )

    def on_revoke(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Report the progress of partitions that are revoked, then forget these partitions.

        Blocks for up to 2 s, during one attempt to report. Does not raise if the store is unavailable.
        """
        with suppress(ClocksvcError):
            self._flush(REVOKE_TIMEOUT_S, keep_trying=False)
        self._forget(partitions)

    def on_lost(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that another consumer has already, without a report. Does not block."""
        self._forget(partitions)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        forgotten = [Partition(item.topic, item.partition) for item in partitions]
        for tracker in self._senders.all:
            tracker.forget(forgotten)

    # -- partitions that run ahead ------------------------------------------------------------------------------------

    def ahead(self, read: Mapping[tuple[str, int], int] | None = None) -> frozenset[Partition]:
        """Return the partitions that the consumer should pause, because they run ahead of the global clock.

        A partition is in the result if it is more than the clock's `max_drift` ahead of the global clock, until it is
        less than half of `max_drift` ahead. In doubt, the result is empty: if the clock has no `max_drift`, if it does
        not wait for a backlog, and 10 s after the store or the service has last confirmed that it does. The slowest
        partition of the clock is in the result only while it has records in `read` that are so far ahead, or until a
        report of them is answered. Partitions that were revoked or lost are not in the result.

        Does not block, and does no I/O. Call it once for each `poll` or `consume`, pause what is new in the result, and
        resume what is not in it any more.

        Args:
            read: the highest timestamp in milliseconds of records that were read and are not observed yet, by topic and
                partition number. They must be observed later even if their partition is paused; leave a partition out
                when all of them are observed. None for a consumer that observes each record before it reads further
                ones.

        Returns:
            Pairs of topic and partition number. Empty after `close`.
        """
        ahead = set[Partition]()
        for tracker in self._senders.all:
            found, report_is_due = tracker.ahead(read)
            ahead |= found
            if report_is_due:
                self._senders.wake.set()
        return frozenset(ahead)

    # -- flush and close ----------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything observed before this call is reported and answered.

        Blocks for up to `timeout_s` seconds. Failed reports are retried during this time. Any answer for a partition
        counts, even if its outcome is a rejection or `unknown`.

        Returns:
            True if all timestamps are answered; False after the timeout. False at once if the topic of the observed
            partitions is not known, because the clock has several topics.

        Raises:
            ReporterMisuse: the reporter is closed.
        """
        return self._flush(timeout_s, keep_trying=True)

    def _flush(self, timeout_s: float, *, keep_trying: bool) -> bool:
        if self._thread is not None and self._senders.has_unsent:
            self._thread.start()
        return self._senders.flush(timeout_s, stepping=self._thread is None, keep_trying=keep_trying)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush, end the thread and close the connection. Blocks for up to `timeout_s` seconds. Never raises.

        Returns:
            True if all timestamps are answered, or if the reporter was closed before.
        """
        if self._closed:
            return True
        deadline = self._time.monotonic() + timeout_s
        answered = False
        with suppress(ClocksvcError):
            answered = self.flush(timeout_s)
        self._closed = True
        self._senders.close_trackers()
        if self._thread is None:
            self._senders.close()
        else:
            self._thread.stop()
            self._thread.join(deadline - self._time.monotonic())
        return answered

    def step(self) -> float:
        """Send what is due, and return the seconds until the next step. Blocks while the store blocks.

        Call this only if the reporter was created with `start=False`.
        """
        return self._senders.step()

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _is_of(message: KafkaMessage, topic: str | None) -> bool:
    return message.error() is None and message.topic() == topic
