"""A running BufferedConsumer whose metrics Prometheus scrapes."""

import threading
from types import TracebackType
from typing import Any, Self

import prometheus_client
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from clocksvc.consumer import BufferedConsumer, ConsumerCollector
from tests.system.clock_fixture import ClockFixture
from tests.system.installation import create_topic

NAME = "orders-db"
"""The label `consumer`."""


class ScrapedConsumer:
    """A consumer of the clock's topic in a group of its own. Its first record is poison, its first flush fails.

    A context manager: the consumer ends, and its dead-letter topic is deleted.

    Attributes:
        target: "host:port" of its metrics.
    """

    def __init__(self, clock: ClockFixture) -> None:
        self._letters = f"{clock.topic}-dead-letters"
        self._bootstrap = clock.bootstrap
        self._seen = self._failed = False
        self._consumer = BufferedConsumer(
            clock.topic,
            group=f"{clock.group}-db",
            process=self._process,
            flush=self._flush,
            bootstrap_servers=clock.bootstrap,
            batch_seconds=0.1,
            commit_interval_seconds=0.1,
            dead_letters=self._letters,
        )
        registry = prometheus_client.CollectorRegistry()
        registry.register(ConsumerCollector({NAME: self._consumer}))
        self._server, self._server_thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
        self.target = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._consumer.run, name="scraped consumer")

    def _process(self, message: Message) -> Any:
        if not self._seen:
            self._seen = True
            raise ValueError("this record is broken")
        return message.offset()

    def _flush(self, batch: list[Any]) -> None:
        if not self._failed:
            self._failed = True
            raise OSError("the disk is full")

    def __enter__(self) -> Self:
        create_topic(self._bootstrap, self._letters, 1)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._server.shutdown()
        self._server.server_close()
        self._server_thread.join(30)
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        admin.delete_topics([self._letters])[self._letters].result(30)
