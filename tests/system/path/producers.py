"""Producers that write unevenly: some partitions get much, some little, some nothing but heartbeats."""

import logging
import threading

from confluent_kafka import Producer

from tests.system.path.installation import wall_ms


class Producers:
    """A thread that writes records for each of several producers, each with a clock of its own."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, skews_ms: list[int], quiet_every: int = 7) -> None:
        # A logger of its own, or a broker that ends before its producers would fill the terminal.
        quiet = logging.getLogger("tests.producers")
        quiet.setLevel(logging.CRITICAL)
        self._producers = [Producer({"bootstrap.servers": bootstrap, "linger.ms": 5}, logger=quiet) for _ in skews_ms]
        self._topic, self._partitions = topic, partitions
        self._skews_ms, self._quiet_every = skews_ms, quiet_every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self._thread.start()

    def stop(self) -> None:
        """Stop writing, and wait for what is under way."""
        self._stop.set()
        self._thread.join(10)
        for producer in self._producers:
            producer.flush(10)

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(0.05):
            turn += 1
            for number in range(self._partitions):
                busy = number % self._quiet_every != 0 and turn % (1 + number % 5) == 0
                if busy:
                    self._write(number, turn)

    def _write(self, number: int, turn: int) -> None:
        who = (turn + number) % len(self._producers)
        timestamp_ms = wall_ms() + self._skews_ms[who]
        self._producers[who].produce(self._topic, b"x", partition=number, timestamp=timestamp_ms)
        self._producers[who].poll(0)
        self.sent += 1
