"""Judges the answers that clients get from owners: no write is overwritten unseen, and no read is out of date."""

import json
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from typing import NamedTuple

from tests.scheduler_simulation.judge.definition import time_ms
from tests.scheduler_simulation.judge.violation import Violation


class _Record(NamedTuple):
    """A record of a key. `number` is in the payload, and None for a tombstone."""

    offset: int
    moment: int
    number: int | None
    created_ms: int | None


class CommandJudge:
    """The judge of clients whose keys no other program writes. Payloads have unique numbers.

    Attributes:
        counts: answers, by name.
    """

    def __init__(self) -> None:
        self._records: dict[bytes, list[_Record]] = defaultdict(list)
        self._refused: set[int] = set()
        self.counts: Counter[str] = Counter()

    def wrote(self, key: bytes, offset: int, value: bytes | None, moment: int) -> None:
        """A record can be read by readers of committed records. Called in the order of offsets."""
        fields = None if value is None else json.loads(value)
        number = None if fields is None else fields["payload"]["n"]
        if number in self._refused:
            raise Violation(
                f"answer: {key.decode()} with number {number} was written, and the answer was that it is not"
            )
        created_ms = None if fields is None else time_ms(fields["created_at"])
        records = self._records[key]
        before = records[-1] if records else None
        if before is not None and before.created_ms is not None and created_ms not in (None, before.created_ms):
            raise Violation(f"created: {key.decode()} had {before.created_ms}, and has {created_ms}")
        records.append(_Record(offset, moment, number, created_ms))

    def refused(self, number: int | None) -> None:
        """A client got the answer that its write was not done."""
        if number is not None:
            if any(record.number == number for records in self._records.values() for record in records):
                raise Violation(f"answer: number {number} was written, and the answer was that it is not")
            self._refused.add(number)
        self.counts["not written"] += 1

    def written(
        self, key: bytes, offset: int, number: int | None, instead_of: int | None, *, conditional: bool
    ) -> None:
        """A client got the answer that its write is at an offset. The record can be read by now.

        Args:
            number: that of the record; None for a deletion.
            instead_of: with `conditional`: the number of the record that it replaces; None if there must be none.
        """
        records = self._records[key]
        index = bisect_left(records, offset, key=lambda record: record.offset)
        if index == len(records) or records[index].offset != offset or records[index].number != number:
            raise Violation(f"answer: {key.decode()} with number {number} is not at offset {offset}")
        before = records[index - 1].number if index else None
        if conditional and before != instead_of:
            raise Violation(f"overwritten: {key.decode()} at offset {offset} replaces {before}, not {instead_of}")
        self.counts["written"] += 1

    def found(self, key: bytes, number: int | None, since: int, until: int) -> None:
        """A client has read a schedule (None: there is none) between two moments."""
        records = self._records[key]
        first = bisect_right(records, since, key=lambda record: record.moment)
        last = bisect_right(records, until, key=lambda record: record.moment)
        present = [records[first - 1].number if first else None, *(one.number for one in records[first:last])]
        if number not in present:
            raise Violation(f"stale: {key.decode()} was {number} for a reader, and is {present}")
        self.counts["read"] += 1
