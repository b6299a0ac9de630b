"""All implementations of the tick log, with what tests need in addition: other writers, and faults.

The Kafka side uses clients of its own, as another program would.
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.clock.logs import LOGS
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.kafka.tick_log_topic import TickLogTopic
from clocksvc.memory.tick_log import MemoryLog, MemoryTickLog
from tests.faulty.commits import CommitFault
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import LOG, KeepAliveCounter
from tests.waiting import eventually

TIMEOUT_S = 2.0
SETTLE_S = 1.1
KEEP_MS = 7 * 86_400_000


class TickLogImplementation(Protocol):
    """One log."""

    def process(self) -> TickLog:
        """The log as another process uses it."""

    def seen(self) -> list[Message]:
        """All messages that a read_committed reader gets."""

    def make(self, partitions: int, cleanup_policy: str) -> None:
        """Create the topic by hand."""

    def end(self) -> int:
        """The offset after the last one."""

    def free(self) -> None:
        """Close what was opened."""


class SharedTickLogImplementation(TickLogImplementation, Protocol):
    """One log, and what other programs and operators can do to it."""

    topic: str

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the topic."""

    def begin_foreign(self, messages: Sequence[Message]) -> None:
        """Another program begins a transaction on the log and leaves it open."""

    def end_foreign(self, *, committed: bool) -> None:
        """The other program's transaction ends."""

    def write_foreign(self, one: Message) -> None:
        """Another program writes a record without a transaction."""

    def delete_before(self, offset: int) -> None:
        """Delete the first records of the log."""

    def remake(self) -> None:
        """Delete and recreate the topic."""

    def too_large(self) -> Message:
        """A record that the brokers reject."""


class FaultyTickLogImplementation(TickLogImplementation, Protocol):
    """A log whose brokers can be made to fail."""

    def stall(self) -> None:
        """No broker answers."""

    def lose_commits(self, *, lands: bool) -> None:
        """From the next commit on, no answer comes; the commit takes effect or not."""

    def heal(self) -> None:
        """The brokers answer again."""


class PlainTickLogImplementation:
    """The in-memory implementation."""

    def __init__(self) -> None:
        self.log = MemoryLog()

    def process(self) -> TickLog:
        return MemoryTickLog(self.log)

    def seen(self) -> list[Message]:
        return [entry.message for entry in self.log.committed()]

    def make(self, partitions: int, cleanup_policy: str) -> None:
        self.log.exists = True

    def end(self) -> int:
        return self.log.end

    def free(self) -> None:
        """Nothing is open."""


class MemoryTickLogImplementation:
    """The in-memory implementation with faults."""

    def __init__(self) -> None:
        self.topic = "clocksvc-ticks"
        self.log = FaultyLog()

    def process(self) -> TickLog:
        return FaultyTickLog(self.log)

    def seen(self) -> list[Message]:
        return [entry.message for entry in self.log.committed()]

    def make(self, partitions: int, cleanup_policy: str) -> None:
        self.log.shape = TickLogTopic(self.topic, partitions, cleanup_policy)

    def configure(self, name: str, value: str) -> None:
        assert name == "max.message.bytes"
        assert self.log.shape is not None
        self.log.shape = replace(self.log.shape, max_message_bytes=int(value))

    def begin_foreign(self, messages: Sequence[Message]) -> None:
        self.log.begin_foreign(*messages)

    def end_foreign(self, *, committed: bool) -> None:
        self.log.end_foreign(committed=committed)

    def write_foreign(self, one: Message) -> None:
        self.log.write_foreign(one)

    def delete_before(self, offset: int) -> None:
        self.log.truncate_before(offset)

    def remake(self) -> None:
        self.log.recreate()

    def too_large(self) -> Message:
        self.log.rejected_keys.add(b"large")
        return Message(b"large", b"{}", "tick")

    def end(self) -> int:
        return self.log.end

    def free(self) -> None:
        """Nothing is open."""

    def stall(self) -> None:
        self.log.unavailable = True

    def lose_commits(self, *, lands: bool) -> None:
        self.log.commit_faults.append(CommitFault.LANDS if lands else CommitFault.LOST)

    def heal(self) -> None:
        self.log.unavailable = False


class KafkaTickLogImplementation:
    """The Kafka implementation, on a topic for each test, with short timeouts, so that tests of faults are short."""

    def __init__(self, bootstrap: str) -> None:
        self.topic = f"ticks-{uuid.uuid4().hex[:12]}"
        self.settings = {"bootstrap.servers": bootstrap}
        self._quiet: dict[str, str | int | float | bool] = {**self.settings, "log_level": 0}
        self._admin = AdminClient(self._quiet)
        self._processes: list[KafkaTickLog] = []
        self._outsider: Producer | None = None
        self._subscriber: Consumer | None = None

    def process(self, log: int = LOG) -> KafkaTickLog:
        made = KafkaTickLog(self.topic, log, self.settings, SystemTime(), KEEP_MS, TIMEOUT_S, SETTLE_S)
        self._processes.append(made)
        return made

    def seen(self) -> list[Message]:
        consumer = self._consumer("read_committed")
        consumer.assign([TopicPartition(self.topic, LOG, OFFSET_BEGINNING)])
        found = []
        while True:
            got = consumer.poll(10.0)
            assert got is not None
            if got.error() is not None:
                break
            headers = dict(got.headers() or [])
            kind = headers.get("clocksvc-type")
            found.append(Message(got.key(), got.value(), kind.decode() if isinstance(kind, bytes) else None))
        consumer.close()
        return found

    def make(self, partitions: int, cleanup_policy: str) -> None:
        new = NewTopic(self.topic, partitions, 1, config={"cleanup.policy": cleanup_policy})
        self._admin.create_topics([new])[self.topic].result()
        eventually(lambda: self.topic in self.topics(), what="the topic to be known")
        if partitions > LOG:
            eventually(lambda: self.end() == 0, what="the partition to be known")

    def config(self) -> dict[str, str]:
        """The topic's settings, as the broker describes them."""
        (future,) = self._admin.describe_configs([ConfigResource(ResourceType.TOPIC, self.topic)]).values()
        return {name: entry.value for name, entry in future.result().items()}

    def replicas(self) -> list[int]:
        """The number of replicas of each partition of the topic."""
        partitions = self._admin.list_topics(self.topic, timeout=10.0).topics[self.topic].partitions
        return [len(partition.replicas) for partition in partitions.values()]

    def topics(self) -> set[str]:
        """All topics of the cluster."""
        return set(self._admin.list_topics(timeout=10.0).topics)

    def begin_foreign(self, messages: Sequence[Message]) -> None:
        if self._outsider is None:
            self._outsider = Producer({**self._quiet, "transactional.id": f"outsider-{self.topic}"})
            self._outsider.init_transactions(10.0)
        self._outsider.begin_transaction()
        for one in messages:
            self._produce(self._outsider, one)
        self._outsider.flush(10.0)

    def end_foreign(self, *, committed: bool) -> None:
        assert self._outsider is not None
        (self._outsider.commit_transaction if committed else self._outsider.abort_transaction)(10.0)

    def write_foreign(self, one: Message) -> None:
        producer = Producer(self._quiet)
        self._produce(producer, one)
        assert producer.flush(10.0) == 0

    def delete_before(self, offset: int) -> None:
        # A broker deletes no records from a topic that is only compacted.
        self.configure("cleanup.policy", "delete")
        eventually(lambda: self._delete_records(offset), what="the broker to delete records")
        self.configure("cleanup.policy", "compact")

    def remake(self) -> None:
        self._admin.delete_topics([self.topic])[self.topic].result()
        eventually(lambda: self.topic not in self.topics(), what="the topic to be gone")
        self.make(LOGS, "compact")

    def end(self) -> int:
        consumer, partition = self._consumer("read_uncommitted"), TopicPartition(self.topic, LOG)
        # A partition that was just created has no leader yet.
        _, end = eventually(lambda: consumer.get_watermark_offsets(partition, timeout=10.0, cached=False))
        consumer.close()
        return end

    def stable_end(self) -> int:
        """The last stable offset."""
        if self._subscriber is None:
            self._subscriber = self._consumer("read_committed")
        _, end = self._subscriber.get_watermark_offsets(TopicPartition(self.topic, LOG), timeout=10.0, cached=False)
        return end

    def free(self) -> None:
        self._outsider = None
        if self._subscriber is not None:
            self._subscriber.close()
        for process in self._processes:
            process.close()

    def too_large(self) -> Message:
        return Message(b"large", b"x" * 2_000_000, "tick")

    def configure(self, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.topic, incremental_configs=[entry])
        (future,) = self._admin.incremental_alter_configs([resource]).values()
        future.result()
        eventually(lambda: self.config()[name] == value, what="the broker to know the setting")

    def _delete_records(self, offset: int) -> bool:
        (future,) = self._admin.delete_records([TopicPartition(self.topic, LOG, offset)]).values()
        return bool(future.result().low_watermark == offset)

    def _produce(self, producer: Producer, one: Message) -> None:
        headers: dict[str, str | bytes | None] | None = {"clocksvc-type": one.type} if one.type is not None else None
        producer.produce(self.topic, one.value, one.key, partition=LOG, headers=headers)

    def _consumer(self, isolation_level: str) -> Consumer:
        settings = {
            "group.id": "subscriber",
            "isolation.level": isolation_level,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
        return Consumer({**self._quiet, **settings})


class FaultyKafkaTickLog(KafkaTickLogImplementation):
    """The Kafka implementation, through a proxy that fails on demand."""

    def __init__(self, kafka: FaultyKafka) -> None:
        super().__init__(kafka.bootstrap)
        self._proxy = kafka.proxy

    def stall(self) -> None:
        self._proxy.stall()

    def lose_commits(self, *, lands: bool) -> None:
        self._proxy.lose_commits("response" if lands else "request")

    def heal(self) -> None:
        self._proxy.heal()

    def free(self) -> None:
        self.heal()
        super().free()


def writer(implementation: TickLogImplementation) -> TickLog:
    """A process that can write."""
    log, keep_alive = implementation.process(), KeepAliveCounter()
    log.ensure_topic(keep_alive)
    log.fence(keep_alive)
    return log


def end_of(log: TickLog) -> int:
    """The end of a log without open transactions."""
    return log.bounds(KeepAliveCounter()).end


def entries(log: TickLog) -> list[LogEntry]:
    """All committed records."""
    keep_alive = KeepAliveCounter()
    first, end = log.bounds(keep_alive)
    return log.read(first, end, keep_alive)
