"""The demo's producer, and the consumers of its first stage, written as a user would write them.

Each consumer has a Reporter, and writes each record that it has handled to the topic of the second stage. It commits a
record's offset after this output is acknowledged, and reports the record after the commit.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from clocksvc import Reporter, is_heartbeat
from clocksvc.dev.demo.delivery_checks import StoredRecords
from clocksvc.dev.demo.demo_config import CLOCK, WORK_S, DemoConfig
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import ClientLog, client_settings

_POLL_S = 0.1
_MOST_AT_ONCE = 500
_ACKNOWLEDGED_S = 5.0


class DemoConsumer:
    """One consumer in its own thread.

    Attributes:
        processed: the number of processed records, without heartbeats.
        reached_ms: the highest processed timestamp, by assigned partition; None before the first record.
    """

    def __init__(self, name: str, config: DemoConfig) -> None:
        self.name = name
        self.processed = 0
        self.reached_ms: Mapping[int, int | None] = {}
        self.failure: Exception | None = None
        self._config = config
        self._output = Producer(client_settings({"bootstrap.servers": config.bootstrap}), logger=ClientLog())
        self._working: dict[int, deque[tuple[float, Message]]] = {}
        self._monotonic = SystemTime().monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Join the group and start reading."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Make the consumer leave the group after the current batch. Does not block. `join` waits for the end."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the consumer has left the group."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        config = self._config
        settings = client_settings(
            {
                "bootstrap.servers": config.bootstrap,
                "group.id": config.group,
                "client.id": self.name,
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": "6000",
                "heartbeat.interval.ms": "500",
                "fetch.wait.max.ms": "100",
            }
        )
        try:
            consumer = Consumer(settings, logger=ClientLog())
            with Reporter(config.report_url, CLOCK, group=config.group, topic=config.topic) as reporter:
                self._consume(consumer, reporter)
                consumer.close()
        except Exception as error:
            self.failure = error

    def _consume(self, consumer: Consumer, reporter: Reporter) -> None:
        def gained(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self.reached_ms = {**self.reached_ms, **{one.partition: None for one in partitions}}
            reporter.on_assign(consumer, partitions)

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._forget(partitions)
            reporter.on_revoke(consumer, partitions)

        consumer.subscribe([self._config.topic], on_assign=gained, on_revoke=lost, on_lost=lost)
        while not self._stop.is_set():
            self._begin(consumer.consume(_MOST_AT_ONCE, _POLL_S))
            done = self._done()
            if done and self._hand_on(done) and _commit(consumer, done):
                reporter.observe_many(done)
                self._note(done)

    def _begin(self, messages: Sequence[Message]) -> None:
        now = self._monotonic()
        for message in messages:
            partition = message.partition()
            if message.error() is None and partition is not None:
                ends = now + WORK_S.get(partition, 0.0)
                self._working.setdefault(partition, deque()).append((ends, message))

    def _done(self) -> list[Message]:
        """Return the messages whose work has ended. Within each partition they are in order."""
        now = self._monotonic()
        done = []
        for working in self._working.values():
            while working and working[0][0] <= now:
                done.append(working.popleft()[1])
        return done

    def _hand_on(self, done: Sequence[Message]) -> bool:
        """Write handled records to the topic of the second stage. True if all of them are acknowledged."""
        failed: list[object] = []

        def delivered(error: object, _: Message) -> None:
            if error is not None:
                failed.append(error)

        for message in done:
            if not is_heartbeat(message):
                self._output.produce(self._config.handled_topic, message.value(), on_delivery=delivered)
        return self._output.flush(_ACKNOWLEDGED_S) == 0 and not failed

    def _note(self, done: Sequence[Message]) -> None:
        reached = dict(self.reached_ms)
        for message in done:
            partition, at_ms = message.partition(), message.timestamp()[1]
            if partition in reached:
                reached[partition] = max(at_ms, reached[partition] or 0)
        self.reached_ms = reached
        self.processed += sum(not is_heartbeat(message) for message in done)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        """Drop the unfinished records of revoked partitions. Another consumer will read them again."""
        gone = {one.partition for one in partitions}
        self.reached_ms = {number: at_ms for number, at_ms in self.reached_ms.items() if number not in gone}
        for partition in gone:
            self._working.pop(partition, None)


def _commit(consumer: Consumer, done: Sequence[Message]) -> bool:
    """Commit the offsets of finished records.

    Returns:
        False if a rebalance prevents the commit. Another consumer will then read the records again.
    """
    ends = {(message.topic(), message.partition()): message.offset() for message in done}
    offsets = [
        TopicPartition(str(topic), partition, offset + 1)
        for (topic, partition), offset in ends.items()
        if partition is not None and offset is not None
    ]
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException:
        return False
    return True


_SHARES = (0, 1, 0, 2, 0, 1, 0, 0, 1, 0)
"""The partitions of ten successive records. One partition gets many, another one gets few, the quiet one none."""
_PAUSE_S = 0.05


class DemoProducers:
    """A thread that writes `rate` records a second until it is stopped. Each record's value is its number."""

    def __init__(self, config: DemoConfig, rate: float, stored: StoredRecords) -> None:
        self.sent = 0
        self.failure: Exception | None = None
        self._topic, self._rate, self._stored = config.topic, rate, stored
        settings = client_settings({"bootstrap.servers": config.bootstrap}, linger_ms=5)
        self._producer = Producer(settings, logger=ClientLog())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-producers", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self) -> None:
        """Stop writing. Wait for deliveries, for up to 3 s."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2)
        self._producer.flush(1)

    def _run(self) -> None:
        monotonic = SystemTime().monotonic
        began = monotonic()
        try:
            while not self._stop.wait(_PAUSE_S):
                self._write(int((monotonic() - began) * self._rate))
        except KafkaException as error:
            self.failure = error

    def _write(self, total: int) -> None:
        """Send records until `total` is reached or the client's queue is full."""
        while self.sent < total:
            self._stored.expect(self.sent)
            partition = _SHARES[self.sent % len(_SHARES)]
            try:
                self._producer.produce(
                    self._topic, str(self.sent).encode(), partition=partition, on_delivery=self._delivered
                )
            except BufferError:
                break
            self.sent += 1
        self._producer.poll(0)

    def _delivered(self, error: object, message: Message) -> None:
        if error is None:
            self._stored.delivered(int(message.value() or b""), message.timestamp()[1])
