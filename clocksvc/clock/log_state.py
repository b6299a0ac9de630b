"""The state of a log: the newest record of each clock, and the snapshots from which it is read.

A snapshot is one transaction: the record of the log's owner, a copy of the newest record of each clock (type
`snapshot`), and a record `snapshot-end` with the offset of the first copy and the number of copies. A leader writes one
at the beginning of its term and at least every 2,000 records, so the next leader reads few records. A snapshot is
complete if all of its copies are in the log. It is incomplete if only a part of the transaction was committed, or if
compaction has removed copies; the copies in the log still count as records.

The newest record of a clock is the one with the highest offset. Keys that begin with `_` belong to no clock.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clocksvc.clock.log_owner import LogOwner, read_owner
from clocksvc.clock.log_record import CONTROL, FORMAT, SNAPSHOT, TICK, LogEntry, Message

SNAPSHOT_END = "snapshot-end"
_SNAPSHOT_END_KEY = b"_snapshot-end"

SNAPSHOT_EVERY = 2_000
"""The largest number of records between two snapshots."""
KEPT_ENTRIES = 1_000
"""How many of the newest entries a LogState keeps, to find ticks that are missing in the store."""
_FIRST_CHUNK, _CHUNK = 1_000, 10_000
_SEARCHED = 40_000
"""How many offsets before the end are searched for a snapshot. After that, the log is read from its beginning."""

Read = Callable[[int, int], Sequence[LogEntry]]
"""Returns the committed entries from an offset to before another one."""


@dataclass
class LogState:
    """The state of a log up to an offset.

    Attributes:
        complete: True if a clock without a record has never ticked. False if records were deleted from the log.
        owner: the installation and the store that led the log last; None if the log has no such record.
        newest: the newest record of each clock, by the clock's name. It may be unreadable.
        since_snapshot: the number of records since the newest complete snapshot.
        recent: the newest entries, ascending, at most KEPT_ENTRIES.
    """

    complete: bool
    owner: LogOwner | None = None
    newest: dict[str, Message] = field(default_factory=dict)
    since_snapshot: int = 0
    recent: deque[LogEntry] = field(default_factory=lambda: deque(maxlen=KEPT_ENTRIES))
    _copies_from: int = -1
    _copies_end: int = -1

    def add(self, entry: LogEntry) -> None:
        """Add the next entry of the log."""
        offset, message = entry
        self.recent.append(entry)
        self.since_snapshot += 1
        if message.type == SNAPSHOT:
            if offset != self._copies_end:
                self._copies_from = offset
            self._copies_end = offset + 1
        elif message.type == SNAPSHOT_END:
            self._end_snapshot(offset, message)
        if message.type in (TICK, CONTROL, SNAPSHOT):
            clock = _clock(message.key)
            if clock is not None:
                self.newest[clock] = message
        else:
            self.owner = read_owner(message) or self.owner

    def _end_snapshot(self, offset: int, message: Message) -> None:
        begin = _snapshot_begin(offset, message)
        if begin is not None and (begin == offset or (self._copies_from <= begin and self._copies_end == offset)):
            self.since_snapshot = 0
            self.complete = self.complete or _body(message).get("complete") is True


def read_log_state(first: int, end: int, read: Read) -> LogState:
    """Read the state of a log from its newest complete snapshot. Without one, read the log from its beginning.

    Args:
        first, end: the bounds of the log.
        read: reads entries, in chunks of bounded size.
    """
    entries: list[LogEntry] = []
    start, chunk = end, _FIRST_CHUNK
    while first < start and end - start < _SEARCHED:
        start, upto = max(first, start - chunk), start
        entries = [*read(start, upto), *entries]
        begin = _newest_snapshot(start, entries)
        if begin is not None:
            state = LogState(first == 0)
            # Ticks that are missing in the store can be in the same transaction as the snapshot, or before it.
            state.recent.extend(entry for entry in entries if entry.offset < begin - 1)
            return _fold(state, (entry for entry in entries if entry.offset >= begin - 1))
        chunk = min(2 * chunk, _CHUNK)
    state = LogState(complete=first == 0)
    if start == first:
        return _fold(state, entries)
    for start in range(first, end, _CHUNK):
        _fold(state, read(start, min(end, start + _CHUNK)))
    return state


def snapshot_messages(owner: LogOwner, newest: Mapping[str, Message], end: int, *, complete: bool) -> list[Message]:
    """Return the messages of a snapshot.

    Args:
        newest: the newest record of each clock, including clocks that left the configuration.
        end: the offset at which the snapshot's transaction begins.
        complete: False if a clock without a record may have ticked.
    """
    copies = [Message(message.key, message.value, SNAPSHOT) for _, message in sorted(newest.items())]
    last = {"format": FORMAT, "offset": end + 1, "count": len(copies), "complete": complete}
    return [
        owner.message(),
        *copies,
        Message(_SNAPSHOT_END_KEY, json.dumps(last).encode(), SNAPSHOT_END),
    ]


def _fold(state: LogState, entries: Iterable[LogEntry]) -> LogState:
    for entry in entries:
        state.add(entry)
    return state


def _newest_snapshot(start: int, entries: Sequence[LogEntry]) -> int | None:
    """Return the offset of the first copy of the newest complete snapshot, in the entries from offset `start`."""
    copies = {entry.offset for entry in entries if entry.message.type == SNAPSHOT}
    for offset, message in reversed(entries):
        if message.type == SNAPSHOT_END:
            begin = _snapshot_begin(offset, message)
            if begin is not None and begin > start and all(at in copies for at in range(begin, offset)):
                return begin
    return None


def _snapshot_begin(offset: int, message: Message) -> int | None:
    """Return the offset of the first copy of a snapshot that ends at `offset`; None if the record is not valid."""
    body = _body(message)
    begin, count = body.get("offset"), body.get("count")
    if not isinstance(begin, int) or not isinstance(count, int) or count < 0 or begin + count != offset:
        return None
    return begin


def _clock(key: bytes | None) -> str | None:
    if key is None or key.startswith(b"_"):
        return None
    return key.decode(errors="replace")


def _body(message: Message) -> Mapping[str, object]:
    try:
        body = json.loads(message.value or b"")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
