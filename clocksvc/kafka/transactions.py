"""Waits for the end of transactions on a topic, and ends clocksvc's own transaction if its coordinator forgot it."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

from clocksvc.clock.log_record import Message
from clocksvc.kafka.client import PAUSE_S, SlicedDeadline
from clocksvc.kafka.reader import Ends, Reader
from clocksvc.kafka.writer import Writer

MARKER_TIMEOUT_S = 1.0
"""A transaction that is still open this long after a fence is a hanging one. Usually, the marker of a transaction is
written a few milliseconds after its commit."""

ABORTED = Message(b"_aborted", b"", "aborted")
"""The record of a transaction that is aborted to end a hanging one."""

_SHORT_PAUSES, _SHORT_PAUSE_S = 50, 0.0005

NewDeadline = Callable[[], SlicedDeadline]
"""Returns a new deadline for one request or one wait."""


def settle(reader: Reader, wait: SlicedDeadline, new_deadline: NewDeadline) -> Ends | None:
    """Wait until no transaction is open, and return the partition's ends.

    Args:
        wait: the deadline of the wait.
        new_deadline: returns the deadline for each request.

    Returns:
        None if a transaction is still open at the deadline `wait`.

    Raises:
        The topic's `unavailable` error if Kafka does not answer.
    """
    for _ in _attempts(reader, wait):
        ends = reader.ends(new_deadline())
        if ends.stable == ends.high:
            return ends
    return None


def await_stable(reader: Reader, end: int, wait: SlicedDeadline, new_deadline: NewDeadline) -> int | None:
    """Wait until all transactions before offset `end` have ended, and return the last stable offset.

    Arguments and errors are those of `settle`.

    Returns:
        None if such a transaction is still open at the deadline `wait`.
    """
    for _ in _attempts(reader, wait):
        _, stable = reader.stable_bounds(new_deadline())
        if stable >= end:
            return stable
    return None


def marked(reader: Reader, last: int, wait: SlicedDeadline, new_deadline: NewDeadline) -> bool:
    """Wait until the partition has an offset after a transaction's last record. Normally this is its marker.

    Arguments and errors are those of `settle`.

    Args:
        last: the offset of the transaction's last record.

    Returns:
        False if there is no such offset at the deadline `wait`.
    """
    return any(reader.ends(new_deadline()).high > last + 1 for _ in _attempts(reader, wait))


class HangingTransactionResolver:
    """Ends a transaction that clocksvc started and that no transaction coordinator will end.

    A broker of Kafka 4.3 can forget a commit. This happens if it is killed between the commit and the commit's marker:
    after its restart, the broker considers the topic deleted until it has loaded its metadata. The topic's last stable
    offset then never advances.

    Solution: start a new transaction with the same transactional id, and abort it. The abort also ends the old
    transaction. The old records remain in the topic, but are not committed.
    """

    def __init__(self) -> None:
        self._foreign_from: int | None = None

    def end(self, reader: Reader, writer: Writer, marker_wait: NewDeadline, new_deadline: NewDeadline) -> int | None:
        """End this writer's hanging transaction, and return the transaction's first offset.

        Call this after a fence. If another writer's transaction is open, this method tries only once to end it, because
        each attempt adds records to the topic.

        Args:
            marker_wait: returns the deadline of a wait for a marker.
            new_deadline: returns the deadline for each request.

        Returns:
            None if no transaction is open, or if the open transaction is another writer's.

        Raises:
            Fenced: a newer writer has fenced this writer.
            The topic's `unavailable` error if Kafka does not answer. The transaction may have ended.
        """
        if settle(reader, marker_wait(), new_deadline) is not None:
            return None
        _, stable, high = reader.ends(new_deadline())
        if stable in (high, self._foreign_from):
            return None
        filler = writer.end_hanging(ABORTED, new_deadline())
        if not marked(reader, filler, marker_wait(), new_deadline):
            return None
        own = settle(reader, marker_wait(), new_deadline) is not None or reader.ends(new_deadline()).stable > stable
        self._foreign_from = None if own else stable
        return stable if own else None


def _attempts(reader: Reader, wait: SlicedDeadline) -> Iterator[None]:
    """Iterate until the deadline `wait`, with pauses. Yields at least once. The pauses become longer after a while."""
    yield
    for pause_s, _ in zip(chain(repeat(_SHORT_PAUSE_S, _SHORT_PAUSES), repeat(PAUSE_S)), wait, strict=False):
        reader.pause(pause_s)
        yield
