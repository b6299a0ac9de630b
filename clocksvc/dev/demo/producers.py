"""What writes the demo's records: much into one partition, little into another, nothing into the quiet one."""

import threading

from confluent_kafka import KafkaException, Producer

from clocksvc.dev.demo.place import Place
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)

_SHARES = (0, 1, 0, 2, 0, 1, 0, 0, 1, 0)
"""The partitions of ten records in a row."""
_PAUSE_S = 0.05


class Producers:
    """A thread that writes `rate` records a second until it is stopped."""

    def __init__(self, place: Place, rate: float) -> None:
        self.sent = 0
        self.failure: Exception | None = None
        self._topic, self._rate = place.topic, rate
        settings = client_settings({"bootstrap.servers": place.bootstrap}, linger_ms=5)
        self._producer = Producer(settings, logger=ClientLog())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-producers", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more, and wait a moment for what is under way."""
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
        """Go on until so many are sent, or no more fit into the client's queue."""
        while self.sent < total:
            try:
                self._producer.produce(self._topic, b"a record", partition=_SHARES[self.sent % len(_SHARES)])
            except BufferError:
                break
            self.sent += 1
        self._producer.poll(0)
