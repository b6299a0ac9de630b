"""Commits transactions under deadlines whose slices are almost over. A process of its own: a fault ends it.

Arguments: the address of Kafka, a topic, and the number of transactions.
"""

import sys
from collections.abc import Iterator

from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.writer import Writer
from tests.interfaces.tick_log_examples import LOG, messages

_TIMEOUT_S = 5.0
_REST_S = 0.0005


class _AlmostOver(SlicedDeadline):
    """Yields only what is left of a slice at its end."""

    def __iter__(self) -> Iterator[float]:
        for slice_s in super().__iter__():
            yield min(slice_s, _REST_S)


def main(bootstrap: str, name: str, count: int) -> None:
    """Commit `count` transactions. Raises the first error of a transaction."""
    topic = InternalTopic(name, "tick log", TickLogUnavailable, LOG)
    writer = Writer(topic, name, {"bootstrap.servers": bootstrap}, _TIMEOUT_S)
    writer.fence(SlicedDeadline(SystemTime(), _TIMEOUT_S))
    for minute in range(count):
        writer.append(messages(minute + 1), _AlmostOver(SystemTime(), _TIMEOUT_S), begin=2 * minute)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
