"""The contents of one partition of a compacted topic. Pure: no I/O, no threads, no reading of time.

A partition is complete by position: it is loaded once it was read to the end offset that was taken when reading began.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from clocksvc.interfaces.compacted_topic import OffsetBounds, TableRecord

V = TypeVar("V")

Decode = Callable[[TableRecord], V | None]
OnChange = Callable[[bytes, V | None, V | None], object]

MAX_UNREADABLE = 100
"""How many unreadable records of a partition are kept by name."""
_SHOWN = 200


class Unreadable(NamedTuple):
    """A record that is not in the table: it has no key, or `decode` raised an exception."""

    partition: int
    offset: int
    key: bytes | None
    reason: str


class PartitionProgress(NamedTuple):
    """How far one partition is read.

    Attributes:
        records: the number of records read since the table was created.
        position: the offset that is read next.
        begin: the offset where reading began.
        end: the end when it was last requested. `end - position` is the largest number of records left, because
            compaction and transactions leave gaps.
        loaded: True once the partition was read to its end.
    """

    partition: int
    records: int
    position: int
    begin: int
    end: int
    loaded: bool

    @property
    def left(self) -> int:
        """The number of offsets up to the end."""
        return max(0, self.end - self.position)


class TablePartition(Generic[V]):
    """One partition's keys and values.

    Attributes:
        contents: the values by key. A reload replaces this dict once it is complete.
        position: the offset that is read next.
        loaded: True once all records before the end offset, which was taken when reading began, were applied. False
            again during a reload, while `contents` still has what was loaded before.
        tombstones, unreadable, change_errors: counters since the table was created.
        change_error: the key and the traceback of the newest exception of `on_change`; "" if there was none.
        last_unreadable: the newest unreadable record.
        newest_unreadable: the newest unreadable records whose key was not written again since.
    """

    def __init__(
        self, number: int, decode: Decode[V], on_change: OnChange[V] | None, *, initial_changes: bool = True
    ) -> None:
        self.number = number
        self.contents: dict[bytes, V] = {}
        self.position = self.begin = self.end = 0
        self.loaded = False
        self.records = self.tombstones = self.unreadable = self.change_errors = 0
        self.change_error = ""
        self.last_unreadable: Unreadable | None = None
        self.newest_unreadable: dict[bytes | None, Unreadable] = {}
        self._decode, self._on_change = decode, on_change
        self._reports_changes = initial_changes
        self._loading_end = 0
        self._gap: tuple[int, int] | None = None
        self._reload: dict[bytes, V] | None = None

    @property
    def progress(self) -> PartitionProgress:
        """A copy of the present figures."""
        return PartitionProgress(self.number, self.records, self.position, self.begin, self.end, self.loaded)

    def load(self, bounds: OffsetBounds) -> None:
        """Begin to read from the beginning, to `bounds.end` at least.

        At the first time, records change `contents` at once. Later, they are collected aside. After the last one,
        `contents` is replaced, and `on_change` is called for the keys that differ.
        """
        self.loaded = False  # first, because other threads ask for it and the position
        self.begin = self.position = bounds.begin
        self.end = self._loading_end = bounds.end
        self._reload = {} if self.contents else None
        self.newest_unreadable = {}
        self._gap = None
        self.reached(bounds.begin)

    def clear(self) -> None:
        """The partition does not exist any more: delete its keys."""
        self.load(OffsetBounds(0, 0))

    def apply(self, records: Sequence[TableRecord]) -> None:
        """Apply the next records of this partition, at least one, in the order of their offsets.

        An exception of `decode` makes a record unreadable. An exception of `on_change` is counted. Neither is raised.
        """
        decode, unreadable = self._decode, self.newest_unreadable
        into = self.contents if self._reload is None else self._reload
        on_change = self._on_change if self._reload is None and self._reports_changes else None
        for record in records:
            key, value, old = record.key(), None, None
            if key is None:
                self._note_unreadable(record, None, "the record has no key")
                continue
            if unreadable:
                unreadable.pop(key, None)
            if record.value() is None:
                self.tombstones += 1
            else:
                try:
                    value = decode(record)
                except Exception as raised:
                    self._note_unreadable(record, key, f"{type(raised).__name__}: {raised}")
            if on_change is not None:
                old = into.get(key)
            if value is not None:
                into[key] = value
            else:
                into.pop(key, None)
            if on_change is not None and not (old is None and value is None):
                self._call(on_change, key, old, value)
        self.records += len(records)
        self.reached(records[-1].offset() + 1)

    def reached(self, position: int) -> None:
        """All offsets before `position` were read, or have no record."""
        if self._gap is not None and position == self._gap[0]:
            position, self._gap = self._gap[1], None
        if position > self.position:
            self.position = position
            self.end = max(self.end, position)
        if not self.loaded and self.position >= self._loading_end:
            if self._reload is not None:
                before, self.contents, self._reload = self.contents, self._reload, None
                self._report_differences(before)
            self.loaded = self._reports_changes = True

    def skip(self, begin: int, end: int) -> None:
        """No offset from `begin` to before `end` has a record."""
        self._gap = begin, end
        self.reached(self.position)

    def _report_differences(self, before: dict[bytes, V]) -> None:
        if self._on_change is None:
            return
        for key, old in before.items():
            if key not in self.contents:
                self._call(self._on_change, key, old, None)
        for key, new in list(self.contents.items()):
            if _differ(old_value := before.get(key), new):
                self._call(self._on_change, key, old_value, new)

    def _call(self, on_change: OnChange[V], key: bytes, old: V | None, new: V | None) -> None:
        try:
            on_change(key, old, new)
        except Exception as raised:
            self.change_errors += 1
            self.change_error = f"for key {_shown(key)}: {''.join(traceback.format_exception(raised)).rstrip()}"

    def _note_unreadable(self, record: TableRecord, key: bytes | None, reason: str) -> None:
        self.unreadable += 1
        self.newest_unreadable.pop(key, None)
        self.last_unreadable = Unreadable(self.number, record.offset(), key, _shown(reason))
        self.newest_unreadable[key] = self.last_unreadable
        if len(self.newest_unreadable) > MAX_UNREADABLE:
            del self.newest_unreadable[next(iter(self.newest_unreadable))]


def _differ(old: object, new: object) -> bool:
    try:
        return bool(old != new)
    except Exception:
        return True  # values without a comparison, such as arrays


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
