"""Users' producers, as threads of the test."""

import itertools
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from confluent_kafka import Producer

from tests.system.installation import wall_ms

_MONTH_MS = 30 * 24 * 3_600 * 1_000


class ProducerThread(ABC):
    """Writes records until closed. `sent` counts them."""

    def __init__(self, bootstrap: str, topic: str, every_s: float, count: int = 1, **settings: bool) -> None:
        # With a logger of its own, a broker that ends first does not fill the terminal.
        quiet = logging.getLogger("tests.producers")
        quiet.setLevel(logging.CRITICAL)
        configuration = {"bootstrap.servers": bootstrap, "linger.ms": 5} | {
            name.replace("_", "."): value for name, value in settings.items()
        }
        self._producers = [Producer(configuration, logger=quiet) for _ in range(count)]
        self._topic, self._every_s = topic, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def close(self) -> None:
        """Stop, and wait for records in flight."""
        self._stop.set()
        self._thread.join(10)
        for producer in self._producers:
            producer.flush(10)

    @abstractmethod
    def _round(self, number: int) -> None:
        """Write the records of one round."""

    def _write(self, partition: int, timestamp_ms: int, producer: int = 0) -> None:
        self._producers[producer].produce(self._topic, b"x", partition=partition, timestamp=timestamp_ms)
        self._producers[producer].poll(0)
        self.sent += 1

    def _run(self) -> None:
        for number in itertools.count(1):
            if self._stop.wait(self._every_s):
                return
            self._round(number)


class SteadyProducer(ProducerThread):
    """Writes a record of now into each of its `partitions`, ten times a second. They may be changed at any time."""

    def __init__(self, bootstrap: str, topic: str, partitions: Iterable[int]) -> None:
        super().__init__(bootstrap, topic, 0.1)
        self.partitions = frozenset(partitions)
        self._thread.start()

    def _round(self, number: int) -> None:
        for partition in self.partitions:
            self._write(partition, wall_ms())


class UnevenProducers(ProducerThread):
    """Several producers, whose clocks are off by `skews_ms`: some partitions get much, some little, every seventh
    nothing."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, skews_ms: Sequence[int]) -> None:
        super().__init__(bootstrap, topic, 0.05, len(skews_ms))
        self._partitions, self._skews_ms = partitions, skews_ms
        self._thread.start()

    def _round(self, number: int) -> None:
        for partition in range(self._partitions):
            if partition % 7 != 0 and number % (1 + partition % 5) == 0:
                producer = (number + partition) % len(self._skews_ms)
                self._write(partition, wall_ms() + self._skews_ms[producer], producer)


class FastProducer(ProducerThread):
    """Writes a record into each partition ten times a second. Timestamps begin a month ago and advance `speed` times
    as fast as time."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, speed: int) -> None:
        # Idempotent: a record that is sent again after a broker's end must not come after younger ones.
        super().__init__(bootstrap, topic, 0.1, enable_idempotence=True)
        self._partitions, self._step_ms = partitions, speed * 100
        self._begin_ms = wall_ms() - _MONTH_MS
        self._thread.start()

    def _round(self, number: int) -> None:
        for partition in range(self._partitions):
            self._write(partition, self._begin_ms + number * self._step_ms)
