"""Checks whether this process reaches Kafka. All leaders of a process share one probe."""

import threading

from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics

MAX_AGE_S = 2.0
"""How long an answer is valid."""


class KafkaProbe:
    """Reads the metadata of the tick log's topic. Thread-safe."""

    def __init__(self, topics: Topics, tick_log_topic: str, time: Time) -> None:
        self._topics = topics
        self._topic = tick_log_topic
        self._time = time
        self._asking = threading.Lock()
        self._ready: bool | None = None
        self._answered_at = float("-inf")

    def ready(self) -> bool:
        """Return True if Kafka answers. A topic that does not exist yet is no reason to return False.

        An answer is used for 2 s. After that, one caller asks again, which blocks for about 3 s at most; the other
        callers get the last answer, or wait if there is none.
        """
        if self._is_fresh():
            return bool(self._ready)
        if not self._asking.acquire(blocking=self._ready is None):
            return bool(self._ready)
        try:
            if not self._is_fresh():
                self._ready = self._ask()
                self._answered_at = self._time.monotonic()
            return bool(self._ready)
        finally:
            self._asking.release()

    def _is_fresh(self) -> bool:
        return self._time.monotonic() - self._answered_at < MAX_AGE_S

    def _ask(self) -> bool:
        try:
            return not self._topics.describe([self._topic]).failures
        except MetadataUnavailable:
            return False
