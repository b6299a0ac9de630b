"""Waits for the end of transactions on a topic, and ends our own transaction if its coordinator forgot it."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

from clocksvc.clock.log_record import Message
from clocksvc.kafka.client import PAUSE_S, SlicedDeadline
from clocksvc.kafka.reader import Reader
from clocksvc.kafka.writer import Writer

MARKER_TIMEOUT_S = 1.0
"""A transaction that is still open so long after a fence hangs: a marker follows its commit within a few ms."""

_SHORT_PAUSES, _SHORT_PAUSE_S = 50, 0.0005

NewDeadline = Callable[[], SlicedDeadline]
"""Creates the deadline of one request or one wait."""


def settle(reader: Reader, wait: SlicedDeadline, new_deadline: NewDeadline) -> tuple[int, int] | None:
    """Wait until no transaction is open. The topic's first and end offset, or None if one is still open at `wait`.

    Raises:
        The topic's `unavailable` error: no answer.
    """
    for _ in _attempts(reader, wait):
        low, stable, high = reader.watermarks(new_deadline())
        if stable == high:
            return low, stable
    return None


def marked(reader: Reader, last: int, wait: SlicedDeadline, new_deadline: NewDeadline) -> bool:
    """Wait until anything follows a transaction's last record: normally its marker. False if not so at `wait`.

    Raises:
        The topic's `unavailable` error: no answer.
    """
    return any(0 <= last < reader.end(new_deadline()) - 1 for _ in _attempts(reader, wait))


def ended(reader: Reader, last: int, wait: SlicedDeadline, new_deadline: NewDeadline) -> bool:
    """Wait until a record's transaction has ended, on a topic with several writers.

    False if it, or a transaction that began before it, is still open at `wait`. Raises as `marked` does.
    """
    return any(0 <= last < reader.watermarks(new_deadline())[1] for _ in _attempts(reader, wait))


class HangingTransactionResolver:
    """Ends a transaction of our own that no coordinator will end.

    A broker can forget a commit (Kafka 4.3): it was killed between the commit and its marker, and after its restart it
    considers the topic deleted until it has loaded its metadata. The topic's last stable offset then never advances. A
    new transaction of the same transactional id ends the old one when it is aborted. The old records are not committed,
    and remain in the topic.

    Args:
        filler: the record of the aborted transaction. No consumer sees it.
    """

    def __init__(self, filler: Message) -> None:
        self._filler = filler
        self._foreign_from: int | None = None

    def end(self, reader: Reader, writer: Writer, marker_wait: NewDeadline, new_deadline: NewDeadline) -> int | None:
        """End a hanging transaction, and return its first offset. None if nothing hangs, or another writer's does.

        Call it after a fence. Tries only once for another writer's transaction, so that the topic does not grow.

        Raises:
            Fenced: a newer writer fenced this one.
            The topic's `unavailable` error: no answer. The transaction may have ended.
        """
        if settle(reader, marker_wait(), new_deadline) is not None:
            return None
        _, stable, high = reader.watermarks(new_deadline())
        if stable in (high, self._foreign_from):
            return None
        filler = writer.end_hanging(self._filler, new_deadline())
        if not marked(reader, filler, marker_wait(), new_deadline):
            return None
        own = settle(reader, marker_wait(), new_deadline) is not None or reader.watermarks(new_deadline())[1] > stable
        self._foreign_from = None if own else stable
        return stable if own else None


def _attempts(reader: Reader, wait: SlicedDeadline) -> Iterator[None]:
    """At least one, even if `wait` is over. Later attempts have longer pauses between them."""
    yield
    for pause_s, _ in zip(chain(repeat(_SHORT_PAUSE_S, _SHORT_PAUSES), repeat(PAUSE_S)), wait, strict=False):
        reader.pause(pause_s)
        yield
