"""A user's producer as a thread of the test. Which partitions are quiet, the test says."""

import logging
import threading
from collections.abc import Iterable

from confluent_kafka import Producer

from tests.system.path.installation import wall_ms

_WRITE_EVERY_S = 0.1


class Writer:
    """Writes a record of now into each of its `partitions`, ten times a second. They may be changed meanwhile."""

    def __init__(self, bootstrap: str, topic: str, partitions: Iterable[int]) -> None:
        # A logger of its own, or a broker that ends before its producers would fill the terminal.
        quiet = logging.getLogger("tests.producers")
        quiet.setLevel(logging.CRITICAL)
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5}, logger=quiet)
        self._topic = topic
        self.partitions = frozenset(partitions)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for what is under way."""
        self._stop.set()
        self._thread.join(10)
        self._producer.flush(10)

    def _run(self) -> None:
        while not self._stop.wait(_WRITE_EVERY_S):
            for partition in self.partitions:
                self._producer.produce(self._topic, b"x", partition=partition, timestamp=wall_ms())
            self._producer.poll(0)
