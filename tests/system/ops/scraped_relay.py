"""A running relay of an outbox whose metrics Prometheus scrapes. Its topic does not exist, so a change waits."""

import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import create_engine

from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.outbox_topic import KafkaOutboxTopic
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.metrics.outbox_metrics import RelayCollector, serve_metrics
from clocksvc.outbox import Outbox, metadata
from clocksvc.outbox.database import DatabaseChanges
from clocksvc.outbox.relay import Relay


class ScrapedRelay:
    """A relay in a thread, with an outbox that has one change. A context manager that ends it.

    Attributes:
        target: "host:port" of its metrics.
    """

    def __init__(self, bootstrap: str, clock: str) -> None:
        self._exits = ExitStack()
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory()))
        (folder / "product.db").touch()
        dsn, time, kafka = f"sqlite:///{folder}/product.db", SystemTime(), {"bootstrap.servers": bootstrap}
        engine = create_engine(dsn)
        metadata.create_all(engine)
        with engine.begin() as connection:
            Outbox(clock).put(connection, "monitor-1", {"interval": "1h", "task": "uptime.check"})
        engine.dispose()
        changes = DatabaseChanges(dsn, clock, time)
        self._exits.callback(changes.close)
        topic = KafkaOutboxTopic(SchedulesSpec(f"{clock}-without-topic", 1), KafkaTopics(kafka), kafka, time)
        self._exits.callback(topic.close)
        self._relay = Relay(clock, 1_000, changes, topic, time)
        self.target = f"127.0.0.1:{serve_metrics(RelayCollector(clock, self._relay), '127.0.0.1', 0)}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraped relay")

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self._relay.step())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._exits.close()
