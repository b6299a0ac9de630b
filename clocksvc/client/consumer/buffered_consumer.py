"""`BufferedConsumer`: process records as they come, flush them in batches, commit after the flush, then report."""

import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.client.consumer.flush_threads import FlushThreads
from clocksvc.client.consumer.health import Health, HealthFile
from clocksvc.client.consumer.livez import LivezServer
from clocksvc.client.consumer.loop import ConsumerLoop, LoopParts
from clocksvc.client.consumer.plan import ConsumerPlan, LoopOptions, MachineOptions
from clocksvc.client.consumer.process_pool import ProcessPool
from clocksvc.client.consumer.processing import InlineProcessing
from clocksvc.client.consumer.reporting import ProgressReporter
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.client.membership import check_reporter_group
from clocksvc.errors import ConsumerFailed, InvalidValue
from clocksvc.interfaces.time import SystemTime

Item = TypeVar("Item")

_RETRY = RetryPolicy()
CHECK_TIMEOUT_S = 5.0
"""How long `run` waits for an answer about the dead-letter topic. Without an answer, the topic is not checked."""


class _Given(NamedTuple):
    bootstrap_servers: str
    group: str
    settings: dict[str, Any]
    dead_letters: str | None
    reporter: ProgressReporter | None


class BufferedConsumer(Generic[Item]):
    """A Kafka consumer with a buffer. Its author writes two functions.

        def process(message):          # called for each record; returns an item, or None to drop the record
            return json.loads(message.value())

        def flush(batch):              # called with a list of items; they are durable when it returns
            database.insert(batch)

        BufferedConsumer("orders", group="orders-db", process=process, flush=flush).run()

    `flush` runs in threads, while the next batch is filled. The offset of a record is committed after `flush` has
    returned for its batch, and for all records before it. So each record takes effect at least once, also after a
    crash. It is reported to the clock after Kafka has acknowledged the commit. With one flush at a time
    (`concurrent_flushes=1`, or a state), batches are flushed in order.

    **Errors of `process`.** If `process` raises for a record, this record is sent to the topic `dead_letters`, with the
    cause in its headers. It counts as done when all in-sync replicas of that topic have it. Without `dead_letters`, the
    consumer ends with the error, and commits nothing behind the record. No record is skipped.

    **Errors of `flush`.** If `flush` raises, it is called again with the same batch: see `retry`. After the last
    attempt, the consumer ends with the error. With `dead_letters`, it first searches the batch for the items that fail:
    it flushes halves of the batch, and halves of these. Records whose items fail alone are sent to `dead_letters`, all
    others are flushed. If no item of the batch can be flushed, the cause is not a record, and the consumer ends with
    the error. A batch of one item can't be searched: its record is sent to `dead_letters`.

    **Rebalances.** Before a partition moves to another consumer, its records are flushed and committed, for up to
    `revoke_timeout_seconds`. Records that are not done then are discarded, and the other consumer processes
    them again. Eager and cooperative assignors and the protocol of KIP-848 (`"group.protocol": "consumer"`) are
    supported.

    **Back-pressure.** If `flush` is slower than the topic, the buffer fills up to its bounds. Then no records are
    consumed, and after one second the partitions are paused, until half of the buffer is free.

    **Partitions that run ahead.** If the clock of the reporter has `max_drift`, partitions that are further ahead of
    the global clock in a backlog are paused: see `Reporter.ahead`.

    Do not fork while it runs. A consumer can be created before a fork, and run in the child process.

    Args:
        topics: the topic, or several topics.
        group: the consumer group.
        process: called in the consumer's loop for each record, in the order of the offsets for each partition, with
            confluent-kafka's message. Returns an item for `flush`, or None. Heartbeats of clocksvc are left out.
        processes: 0 to call `process` in the consumer's loop. Otherwise the number of processes that call it, for
            functions that need much CPU time. They get a copy of the message with the same methods, at most 200 records
            at once, and the order of each partition is kept. `process` must be a function of a module, and items must
            be picklable. As for all processes of `multiprocessing`, the main module must be importable.
        flush: called in a thread with a list of items, and with the state if there is one. Its effects must be durable
            when it returns, and idempotent, because a batch, or a part of it, can be flushed again.
        state: creates the first state, when `run` begins. `flush(batch, state)` then returns the next state. After an
            error, the retry gets the same state again. With a state, flushes run one at a time and in order.
        bootstrap_servers: addresses of brokers, separated by commas.
        settings: any other settings of librdkafka, such as those for TLS and SASL, except for those that would break a
            promise. `auto.offset.reset` is `earliest` and `fetch.queue.backoff.ms` is 5 unless set.
        batch_records, batch_bytes, batch_seconds: a batch is flushed when it has this many items, or this many bytes of
            record values, or when its first item is this old.
        concurrent_flushes: how many batches are flushed at the same time.
        buffer_records, buffer_bytes: the bounds of the buffer, in records and in bytes of their values.
        retry: the attempts of `flush`, and of sending a dead letter, and the delays in between.
        dead_letters: the dead-letter topic. It must exist.
        reporter: a Reporter of this `group`, or a similar object. It is not closed.
        commit_interval_seconds: the shortest time between two commits, and so between two reports. It is 0.1 s at most
            while partitions that run ahead are paused.
        revoke_timeout_seconds: see above. 0 to discard at once what is not flushed.
        drain_timeout_seconds: how long `run` waits after `stop` or SIGTERM until everything is flushed and committed.
        stuck_after_seconds: if a flush runs longer than this, its stack is logged, and the consumer is not healthy.
        health_file: a file that is touched every 5 s while the consumer is healthy.
        livez: host and port of an HTTP server with `GET /livez`: 200 while the consumer is healthy, otherwise 503. It
            runs as long as `run`.

    Attributes:
        plan: what `clocksvc.testing.ConsumerRun` runs: the functions and options of this consumer.

    Raises:
        InvalidValue: an argument is not valid. For `settings`, `run` raises it, because it creates the Kafka client.
    """

    def __init__(
        self,
        topics: str | Sequence[str],
        *,
        group: str,
        process: Callable[[Any], Item | None],
        flush: Callable[..., Any],
        processes: int = 0,
        state: Callable[[], Any] | None = None,
        bootstrap_servers: str = "localhost:9092",
        settings: Mapping[str, Any] | None = None,
        batch_records: int = 1_000,
        batch_bytes: int = 4 * 2**20,
        batch_seconds: float = 1.0,
        concurrent_flushes: int = 4,
        buffer_records: int = 100_000,
        buffer_bytes: int = 64 * 2**20,
        retry: RetryPolicy = _RETRY,
        dead_letters: str | None = None,
        reporter: ProgressReporter | None = None,
        commit_interval_seconds: float = 1.0,
        revoke_timeout_seconds: float = 10.0,
        drain_timeout_seconds: float = 20.0,
        stuck_after_seconds: float = 60.0,
        health_file: str | Path | None = None,
        livez: tuple[str, int] | None = None,
    ) -> None:
        names = [topics] if isinstance(topics, str) else list(topics)
        if not (names and all(isinstance(topic, str) and topic for topic in names)):
            raise InvalidValue("topics", topics, "wanted the name of a topic, or several names")
        if not (isinstance(group, str) and group):
            raise InvalidValue("group", group, "wanted the name of the consumer group")
        check_reporter_group(reporter, group)
        for name, function in {"process": process, "flush": flush, "state": state or dict}.items():
            if not callable(function):
                raise InvalidValue(name, function, "wanted a function")
        if isinstance(processes, bool) or not isinstance(processes, int) or processes < 0:
            raise InvalidValue("processes", processes, "wanted the number of processes, or 0")
        slots = 1 if state is not None else concurrent_flushes
        options = LoopOptions(
            machine=MachineOptions(
                batch=BatchLimits(batch_records, batch_bytes, batch_seconds),
                buffer_records=buffer_records,
                buffer_bytes=buffer_bytes,
                slots=slots,
                retry=retry,
                dead_letters=dead_letters is not None,
                commit_interval_s=commit_interval_seconds,
            ),
            revoke_timeout_s=revoke_timeout_seconds,
            drain_timeout_s=drain_timeout_seconds,
            stuck_after_s=stuck_after_seconds,
        )
        options.check()
        self.plan = ConsumerPlan(
            topics=names,
            process=process,
            flush=flush,
            state=state,
            options=options,
            processes=processes,
        )
        self._given = _Given(bootstrap_servers, group, dict(settings or {}), dead_letters, reporter)
        self._health_file = None if health_file is None else HealthFile(Path(health_file))
        self._livez = livez
        self._livez_server: LivezServer | None = None
        self._time = SystemTime()
        self._stopping = False
        self._closed = False
        self._stats = ConsumerStats()
        self._loop: ConsumerLoop[Item] | None = None

    @property
    def stats(self) -> ConsumerStats:
        """Counters and present values, for metrics. Any thread may read them."""
        return self._stats

    def health(self) -> Health:
        """Return whether the consumer works, for a probe such as `/livez`. Any thread may call this. Does not block."""
        return Health() if self._loop is None else self._loop.health()

    def run(self) -> None:
        """Consume until `stop`, SIGTERM or SIGINT. Can be called once.

        At the end, what was received is flushed, committed and reported, for up to `drain_timeout_seconds`. Then the
        consumer leaves its group. Signals are handled only if this is the main thread; before this method returns, the
        earlier handlers are set again.

        Raises:
            ConsumerFailed: the consumer can't continue. Its `__cause__` is the exception of `process` or `flush`.
            InvalidValue: `settings` has a setting that can't be set, or that librdkafka does not accept; the topic
                `dead_letters` does not exist; or the address `livez` can't be used.
        """
        if self._closed or self._loop is not None:
            raise ConsumerFailed("a BufferedConsumer runs once: create another one")
        loop = self._loop = self._create_loop()
        with self._signals():
            try:
                if self._livez is not None:
                    self._livez_server = LivezServer(self._livez, self.health)
                loop.subscribe(self.plan.topics)
                while not loop.ended:
                    if self._stopping:
                        loop.drain()
                    loop.step()
                    if self._health_file is not None and loop.health().healthy:
                        self._health_file.touch(self._time.monotonic())
            finally:
                self.close()
        if loop.error is not None:
            raise loop.error

    def stop(self) -> None:
        """Ask `run` to end. Returns at once. Any thread and any signal handler may call this."""
        self._stopping = True  # no lock: a signal handler can be interrupted by another one

    def close(self) -> None:
        """Commit what is done, and leave the group. `run` does this at its end. Blocks for seconds."""
        if not self._closed:
            self._closed = True
            try:
                if self._loop is not None:
                    self._loop.close()
            finally:
                if self._health_file is not None:
                    self._health_file.remove()
                if self._livez_server is not None:
                    self._livez_server.close()

    def __enter__(self) -> "BufferedConsumer[Item]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _create_loop(self) -> ConsumerLoop[Item]:
        # Called by `run`, and imported here: tests with `ConsumerRun` need no Kafka client.
        from clocksvc.kafka.consumer_group import KafkaConsumerGroup
        from clocksvc.kafka.dead_letters import KafkaDeadLetters

        servers, group, settings, dead_letters, reporter = self._given
        plan = self.plan
        letters = None
        if dead_letters is not None:
            letters = KafkaDeadLetters(servers, dead_letters, settings)
            letters.check(CHECK_TIMEOUT_S)
        parts = LoopParts(
            group=KafkaConsumerGroup(servers, group, settings),
            processing=ProcessPool(plan.process, plan.processes) if plan.processes else InlineProcessing(plan.process),
            executor=FlushThreads(plan.options.machine.slots),
            dead_letters=letters,
            reporter=reporter,
            time=self._time,
            rng=random.Random(),
        )
        return ConsumerLoop(plan.flush, plan.state, plan.options, parts, self._stats)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.signal(number, lambda *_: self.stop()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
