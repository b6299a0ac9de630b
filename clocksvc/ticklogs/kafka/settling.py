"""Waiting until no transaction is open on a topic."""

from collections.abc import Callable

from clocksvc.ticklogs.kafka.reader import Reader
from clocksvc.ticklogs.patience import Patience

LANDS_S = 1.0
"""What is open for longer after a fence hangs: a marker lands a few ms after its commit returned."""

MARKER_REST_S = 0.0005


def settle(reader: Reader, wait: Patience, ask: Callable[[], Patience]) -> tuple[int, int] | None:
    """The topic's beginning and end, once no transaction is open; None where one still is when `wait` is over.

    Each question to the brokers has the patience that `ask` makes.

    Raises:
        TickLogUnavailable: no answer.
    """
    for _ in wait:
        low, stable, high = reader.watermarks(ask())
        if stable == high:
            return low, stable
        reader.rest(MARKER_REST_S)
    return None
