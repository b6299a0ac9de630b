"""The topics' timestamp types, which the logs of a process read once for all of them.

A broker describes a topic with all of its settings, about 30. The clocks of a topic can belong to all 16 logs, and all
logs begin at the same time.
"""

import threading
from collections.abc import Callable, Collection, Mapping

from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import TimestampType

MAX_AGE_S = 5.0
"""How long a reading is used. A log reads the types every 30 s."""
WAIT_S = 0.5
"""How long a log waits while another log reads. Then it reads, too, because Kafka may not answer the other one."""

Types = Mapping[str, TimestampType]


class SharedTimestampTypes:
    """Reads timestamp types, and returns those of the last MAX_AGE_S without a new request. Thread-safe.

    Args:
        read: reads the timestamp types of topics from Kafka. Topics without a type are absent from its result.
        time: the source of the time.
    """

    def __init__(self, read: Callable[[Collection[str]], Types], time: Time) -> None:
        self._read, self._time = read, time
        self._reading = threading.Lock()
        self._known: dict[str, tuple[float, TimestampType | None]] = {}

    def get(self, topics: Collection[str]) -> Types:
        """Return the types of topics, at most MAX_AGE_S old. Blocks as `read` does, and up to WAIT_S longer.

        Raises:
            MetadataUnavailable: no answer.
        """
        known = self._fresh(topics)
        if len(known) < len(topics):
            alone = self._reading.acquire(timeout=WAIT_S)
            try:
                known = self._fresh(topics)
                if missing := sorted(set(topics) - set(known)):
                    found, now = self._read(missing), self._time.monotonic()
                    self._known.update({name: (now, found.get(name)) for name in missing})
                    known |= {name: found.get(name) for name in missing}
            finally:
                if alone:
                    self._reading.release()
        return {name: known_type for name, known_type in known.items() if known_type is not None}

    def _fresh(self, topics: Collection[str]) -> dict[str, TimestampType | None]:
        oldest, known = self._time.monotonic() - MAX_AGE_S, self._known
        found = {name: known[name] for name in topics if name in known}
        return {name: known_type for name, (read_at, known_type) in found.items() if read_at >= oldest}
