"""The one family that can be large: a series for each partition, written as text at once.

Through prometheus_client's objects 10,000 of them would keep the interpreter from everything else three times as long.
"""

from collections.abc import Iterable, Iterator

from clocksvc.interfaces.store import (
    PartitionClock,
    Store,
)
from clocksvc.metrics.catalogue import PARTITION_CLOCK

PAGE = 500
"""For so many Redis is busy some 2 ms: a leader's step that comes meanwhile waits no longer."""

_HEAD = f"# HELP {PARTITION_CLOCK.name} {PARTITION_CLOCK.help}\n# TYPE {PARTITION_CLOCK.name} {PARTITION_CLOCK.type}\n"


def lines(clock: str, store: Store) -> list[str]:
    """A clock's samples, each a line of Prometheus's text; none for a partition that is unknown or excluded.

    Raises:
        ClocksvcError: the store does not answer, or can't be understood.
    """
    bounds = store.snapshot().parameters
    if bounds is None:
        return []
    # No clock's or topic's name has a character that would have to be escaped.
    before, less_ms = f'{PARTITION_CLOCK.name}{{clock="{clock}",partition="', bounds.out_of_orderness_ms
    return [
        f'{before}{line.partition.number}",topic="{line.partition.topic}"}} {_seconds(line.raw_ms - less_ms)}\n'
        for line in _all_partitions(store)
        if line.raw_ms is not None and not line.excluded
    ]


def text(samples: Iterable[str]) -> str:
    """The whole family, from the lines of all clocks."""
    return _HEAD + "".join(samples)


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03}" if at_ms > 0 else "0"


def _all_partitions(store: Store) -> Iterator[PartitionClock]:
    page = store.partitions(None, PAGE)
    while page:
        yield from page
        page = store.partitions(page[-1].partition, PAGE) if len(page) == PAGE else []
