"""The Kafka consumers that the threads of a process share to read internal topics. Each thread reads one partition.

A request for offsets needs no assignment, so any number of threads can send one at the same time, with one consumer.
Only one thread at a time can read records. A process with several logs has a second consumer for records: on the same
connection, responses with records would delay those with offsets, and each transaction waits for offsets.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from confluent_kafka import Consumer

from clocksvc.kafka.client import ClientLog, client_settings, translate_errors
from clocksvc.kafka.internal_topic import InternalTopic


class ConsumerClient:
    """One consumer of librdkafka, which joins no group and reads only committed records, with its lock and users.

    Attributes:
        consumer: any thread may use it, except for assignments and polls.
        reading: a lock. The thread that has it may assign partitions and poll.
        users: the number of threads that use this object.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        fixed = client_settings(
            settings,
            group_id="clocksvc",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            # Each read ends at the end of the partition, where a broker would wait this long for more records.
            fetch_wait_max_ms=0,
            # The client fetches in advance while a log is read, up to 64 MiB by default. With a full queue, it waits
            # for this time, 1 s by default.
            queued_max_messages_kbytes=4_096,
            fetch_queue_backoff_ms=5,
            check_crcs=True,
        )
        self.consumer = Consumer(fixed, logger=ClientLog())
        self.reading = threading.Lock()
        self.users = 0

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`, and deliver the client's log lines."""
        if seconds > 0:
            time.sleep(seconds)
        if self.reading.acquire(blocking=False):  # otherwise, the thread that reads delivers them
            try:
                self.consumer.poll(0)
            finally:
                self.reading.release()


class SharedConsumer:
    """Creates the consumer at its first use, and replaces it if brokers do not answer. Thread-safe.

    Args:
        settings: librdkafka settings from the configuration.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: ConsumerClient | None = None

    @contextmanager
    def using(self, topic: InternalTopic) -> Iterator[ConsumerClient]:
        """Provide the consumer for one request.

        Raises:
            `topic.unavailable`: no consumer can be created from the settings.
        """
        client = self._enter(topic)
        try:
            yield client
        finally:
            self._leave(client)

    def replace(self, client: ConsumerClient) -> None:
        """Use a new consumer for the next request of any thread. The last user of the present one closes it.

        For requests without a response: librdkafka can ask a broker that has failed for longer than a deadline.
        Requests that fail at the same time replace the consumer once.
        """
        with self._lock:
            if self._client is client:
                self._client = None

    def close(self) -> None:
        """Close the consumer once no thread uses it. A later request creates a new one."""
        with self._lock:
            client, self._client = self._client, None
            unused = client is not None and client.users == 0
        if client is not None and unused:
            client.consumer.close()

    def _enter(self, topic: InternalTopic) -> ConsumerClient:
        with self._lock:
            if self._client is None:
                with translate_errors(topic.unavailable, f"a consumer of the {topic} can't be created"):
                    self._client = ConsumerClient(self._settings)
            self._client.users += 1
            return self._client

    def _leave(self, client: ConsumerClient) -> None:
        with self._lock:
            client.users -= 1
            unused = client.users == 0 and client is not self._client
        if unused:
            client.consumer.close()


@dataclass(frozen=True, slots=True)
class LogConsumers:
    """The consumers of a process, or of one log.

    Attributes:
        offsets: for requests for offsets.
        records: for reading records. It can be the same consumer.
    """

    offsets: SharedConsumer
    records: SharedConsumer

    @classmethod
    def of_many_logs(cls, settings: Mapping[str, str]) -> Self:
        """Return two consumers, for any number of logs."""
        return cls(SharedConsumer(settings), SharedConsumer(settings))

    @classmethod
    def of_one_log(cls, settings: Mapping[str, str]) -> Self:
        """Return one consumer."""
        both = SharedConsumer(settings)
        return cls(both, both)

    def close(self) -> None:
        """Close both, as `SharedConsumer.close`."""
        self.offsets.close()
        self.records.close()
