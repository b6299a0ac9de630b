"""Waiting until a commit is whole, or no transaction is open on a topic; ending one of our own that nobody ends."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

from clocksvc.clock.log_record import Message
from clocksvc.kafka.deadline import (
    REST_S,
    SlicedDeadline,
)
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.writer import Writer

MARKER_TIMEOUT_S = 1.0
"""What is open for longer after a fence hangs: a marker lands a few ms after its commit returned."""

_SHORT_RESTS, _SHORT_REST_S = 50, 0.0005

Ask = Callable[[], SlicedDeadline]
"""Makes the patience for one question to the brokers, or for one wait."""


def settle(reader: Reader, wait: SlicedDeadline, ask: Ask) -> tuple[int, int] | None:
    """The topic's beginning and end, once no transaction is open; None where one still is when `wait` is over.

    Raises:
        TickLogUnavailable: no answer.
    """
    for _ in _rounds(reader, wait):
        low, stable, high = reader.watermarks(ask())
        if stable == high:
            return low, stable
    return None


def marked(reader: Reader, last: int, wait: SlicedDeadline, ask: Ask) -> bool:
    """Whether anything, the marker at best, stands behind a transaction's last record before `wait` is over.

    Raises:
        TickLogUnavailable: no answer.
    """
    return any(0 <= last < reader.end(ask()) - 1 for _ in _rounds(reader, wait))


def ended(reader: Reader, last: int, wait: SlicedDeadline, ask: Ask) -> bool:
    """Whether the transaction of a record is over, on a topic of several writers; False where it, or one that began
    before it, is still open when `wait` is over. Raises as `marked` does."""
    return any(0 <= last < reader.watermarks(ask())[1] for _ in _rounds(reader, wait))


class HangingTransactionResolver:
    """Ends a transaction of our own that no coordinator will end.

    A broker that is killed between a commit and its marker, and learns late of its topics when it starts again, takes
    the topic for deleted and the commit for done (Kafka 4.3). The topic then seems to end there, for ever. An aborted
    transaction of the same id ends it: what it held is not committed, and stays where it was written.

    Args:
        filler: the record of that transaction: nobody sees it.
    """

    def __init__(self, filler: Message) -> None:
        self._filler = filler
        self._others_from: int | None = None

    def end(self, reader: Reader, writer: Writer, lands: Ask, ask: Ask) -> int | None:
        """The offset where it began; None where nothing hung, or what is open is somebody else's.

        Call it after a fence. Of somebody else's it is tried once: the topic must not grow with each attempt.

        Raises:
            Fenced: somebody fenced this writer.
            TickLogUnavailable: no answer; it may be ended all the same.
        """
        if settle(reader, lands(), ask) is not None:
            return None
        _, stable, high = reader.watermarks(ask())
        if stable in (high, self._others_from):
            return None
        filler = writer.end_hanging(self._filler, ask())
        if not marked(reader, filler, lands(), ask):
            return None
        ours = settle(reader, lands(), ask) is not None or reader.watermarks(ask())[1] > stable
        self._others_from = None if ours else stable
        return stable if ours else None


def _rounds(reader: Reader, wait: SlicedDeadline) -> Iterator[None]:
    """One at least, however long `wait` has been over; what is not there soon is asked for less often."""
    yield
    for rest_s, _ in zip(chain(repeat(_SHORT_REST_S, _SHORT_RESTS), repeat(REST_S)), wait, strict=False):
        reader.rest(rest_s)
        yield
