"""What a consumer embeds: it tells a clock how far each partition has been processed.

Report a record only after its effects are durable. Nothing here waits for a store, except `flush`, `close` and
`on_revoke`, each with a deadline.
"""

import os
import random
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType

from clocksvc.backoff import Backoff
from clocksvc.client.message import (
    Message,
    TopicPartition,
)
from clocksvc.client.progress_tracker import ProgressTracker
from clocksvc.client.report_sender import ReportSender
from clocksvc.client.report_sink import SAME_SETTINGS_HINT, open_report_sink
from clocksvc.client.report_thread import (
    ReportThread,
    forget_threads,
)
from clocksvc.client.unknown_partitions import UnknownPartitionLog
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import ClocksvcError, InvalidValue, ReporterMisuse
from clocksvc.interfaces.store import ReportSink
from clocksvc.interfaces.time import (
    SystemTime,
    Time,
)

REVOKE_TIMEOUT_S = 2.0
_RETRY_FIRST_S, _RETRY_LIMIT_S = 0.1, 5.0

_CLOSED = "this reporter is closed"


class Reporter:
    """Reports one consumer's progress to one clock. Safe to use from several threads.

    A record costs a look-up and a comparison. The store is written by a thread of this reporter's own: once a partition
    crosses one of the clock's boundaries, and every 10 s to repeat all. What can't be sent is kept, one number a
    partition, and sent later; trouble with the store is logged (`clocksvc.reporter`) and never raised. After a fork the
    child's reporter starts anew.

    Args:
        url: `redis://…` (also `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`; `?prefix=` where the
            service's keys have another prefix) writes the store, `http(s)://…` reports to the service.
        clock: the clock's name.
        group: the consumer group that processes the records; the clock counts only the group that it is configured for.
        topic: whose partitions are observed; needed for a clock of several topics, one reporter for each.
        token: for `http(s)://`, one with the scope `report`.
        sink: in the place of the one that `url` stands for, which then counts for nothing. `close` closes it.
        time: where the time comes from.
        rng: for the jitter of retries.
        start: False for no thread: then `step` must be called by whoever made this reporter, from one thread.

    Raises:
        InvalidValue: an argument is wrong.
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
        if not group:
            raise InvalidValue("group", group, "wanted the consumer group that processes the records")
        self._clock, self._given_topic, self._start = clock, topic, start
        self._time = time or SystemTime()
        self._closed = False

        def create_parts() -> tuple[ProgressTracker, ReportSender]:
            own_sink, where = (
                (sink, f"the given sink: {SAME_SETTINGS_HINT}") if sink else open_report_sink(url, clock, token)
            )
            tracker, backoff = (
                ProgressTracker(clock, group, topic, self._time),
                Backoff(_RETRY_FIRST_S, _RETRY_LIMIT_S, rng),
            )
            return tracker, ReportSender(
                clock, tracker, own_sink, self._time, backoff, UnknownPartitionLog(clock, where)
            )

        self._create_parts = create_parts
        self._begin()
        _reporters.add(self)

    def _begin(self) -> None:
        self._topic = self._given_topic
        self._tracker, self._sender = self._create_parts()
        self._progress = self._tracker.progress
        self._thread = ReportThread(self._sender, f"clocksvc-reporter-{self._clock}") if self._start else None
        # The thread knows nothing of this object, so that a reporter that nobody holds any more can go.
        self._finalizer = None if self._thread is None else weakref.finalize(self, self._thread.stop)
        if self._finalizer is not None:
            self._finalizer.atexit = False  # the threads see to that themselves, together

    # -- the hot path -------------------------------------------------------------------------------------------------
    #
    # No lock: CPython switches threads only at calls and at the end of a loop's turn, and there is none of these
    # between a comparison with `high_ms` and the assignment after it. Without a GIL two threads on one partition could
    # leave the lower of two tracker there: too low is late, never early, and the next record mends it.

    def observe(self, partition: int, timestamp_ms: int) -> None:
        """A record was processed.

        Args:
            partition: its partition in the reporter's topic.
            timestamp_ms: its timestamp, as Kafka has it: milliseconds since the epoch, -1 for none.

        Raises:
            ReporterMisuse: the clock has several topics and the reporter was made for none of them, or it is closed.
        """
        try:
            progress = self._progress[partition]
        except KeyError:
            self._observe_slow_path(partition, timestamp_ms)
            return
        if timestamp_ms > progress.high_ms:
            if timestamp_ms < progress.fast_path_limit_ms:
                progress.high_ms = timestamp_ms
            else:
                self._observe_slow_path(partition, timestamp_ms)
        elif timestamp_ms < progress.late_below_ms:
            self._observe_slow_path(partition, timestamp_ms)

    def observe_many(self, messages: Iterable[Message]) -> None:
        """Records were processed: anything shaped like confluent-kafka's messages, such as all of one `consume`.

        Messages with an error are passed over. Those of another topic never count: when one would move the clock,
        stands first or last, or comes with any record that needs a second look, ReporterMisuse names both topics, after
        all others of the batch have been observed.

        Raises:
            ReporterMisuse: as `observe`, and for messages of another topic.
        """
        batch = messages if isinstance(messages, list) else list(messages)
        topic = self._topic or self._claim_topic(batch)
        progress_of = self._progress
        unusual = bool(batch) and not (_is_of(batch[0], topic) and _is_of(batch[-1], topic))
        for message in batch:
            timestamp_ms = message.timestamp()[1]
            try:
                progress = progress_of[message.partition()]
            except KeyError:
                unusual = True
                self._observe_message_slow_path(message, topic)
                continue
            if timestamp_ms > progress.high_ms:
                if timestamp_ms < progress.fast_path_limit_ms and message.topic() == topic:
                    progress.high_ms = timestamp_ms
                else:
                    unusual = True
                    self._observe_message_slow_path(message, topic)
            elif timestamp_ms < progress.late_below_ms:
                unusual = True
                self._observe_message_slow_path(message, topic)
        if unusual:
            _refuse_other_topics(batch, topic)

    def _observe_slow_path(self, partition: int, timestamp_ms: int) -> None:
        if self._tracker.observe_slow_path(partition, timestamp_ms):
            self._sender.wake.set()
        if self._thread is not None:
            self._thread.start()

    def _observe_message_slow_path(self, message: Message, topic: str | None) -> None:
        partition = message.partition()
        if partition is not None and _is_of(message, topic):
            self._observe_slow_path(partition, message.timestamp()[1])

    def _claim_topic(self, batch: Sequence[Message]) -> str | None:
        for message in batch:
            topic = message.topic()
            if topic is not None and message.error() is None:
                self._topic = self._tracker.claim_topic(topic)
                return self._topic
        return None

    # -- a consumer's rebalances: what confluent-kafka's `subscribe` calls --------------------------------------------

    def on_assign(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are assigned to this consumer: begin anew with them."""
        self._forget(partitions)
        if self._thread is not None and not self._closed:
            self._thread.start()

    def on_revoke(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are taken away: report what was processed, in one attempt of at most 2 s, then forget them."""
        with suppress(ClocksvcError):
            self._flush(REVOKE_TIMEOUT_S, keep_trying=False)
        self._forget(partitions)

    def on_lost(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are another consumer's already: forget them. Whoever has them now reports what he processes."""
        self._forget(partitions)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        self._tracker.forget(Partition(item.topic, item.partition) for item in partitions)

    # -- the end ------------------------------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was observed before this call has been answered; False when the time was up before.

        An answer may be a refusal, or that the clock does not know a partition yet.

        Raises:
            ReporterMisuse: as `observe`.
        """
        return self._flush(timeout_s, keep_trying=True)

    def _flush(self, timeout_s: float, *, keep_trying: bool) -> bool:
        if self._thread is not None and self._tracker.has_unsent:
            self._thread.start()
        return self._sender.flush(timeout_s, stepping=self._thread is None, keep_trying=keep_trying)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush and end; whether all was answered. Never raises; a second call does nothing."""
        if self._closed:
            return True
        deadline = self._time.monotonic() + timeout_s
        answered = False
        with suppress(ClocksvcError):
            answered = self.flush(timeout_s)
        self._closed = True
        self._tracker.disable(_CLOSED)
        if self._thread is None:
            self._sender.close()
        else:
            self._thread.stop()
            self._thread.join(deadline - self._time.monotonic())
        return answered

    def step(self) -> float:
        """Of a reporter made with `start=False`: send what is due; seconds to wait at most before the next step."""
        return self._sender.step()

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _is_of(message: Message, topic: str | None) -> bool:
    return message.error() is None and message.topic() == topic


def _refuse_other_topics(batch: Sequence[Message], topic: str | None) -> None:
    for message in batch:
        if message.error() is None and message.topic() != topic:
            raise ReporterMisuse(
                f"a message of topic {message.topic()!r} was observed by a reporter for topic {topic!r}: "
                "wanted one reporter for each topic"
            )


_reporters: "weakref.WeakSet[Reporter]" = weakref.WeakSet()


def _begin_anew() -> None:
    """In a child after a fork: the parent's connections are not ours, its thread and locks are gone or stuck."""
    forget_threads()
    for reporter in list(_reporters):
        if reporter._finalizer is not None:
            reporter._finalizer.detach()
        if not reporter._closed:
            reporter._begin()


os.register_at_fork(after_in_child=_begin_anew)
