"""Reads ticks of one clock that are no longer in memory from its log, for several partitions that work on a backlog."""

from bisect import bisect_right
from collections import OrderedDict
from typing import NamedTuple, TypeVar

from clocksvc.interfaces.tick_consumer import TickDecoder, TickWithOffset, offset_before
from clocksvc.interfaces.tick_log import TickLog, no_keep_alive

CHUNK = 2_000
"""How many offsets are read at a time. A tick takes up to two of them, and other clocks' records are between them."""
CHUNKS = 8
"""How many chunks stay in memory. Partitions work through a backlog at different speeds."""
KNOWN_OFFSETS = 1_024
"""How many ticks have a known offset. Each partition continues at the last tick that was returned to it."""


_T = TypeVar("_T")


class _Chunk(NamedTuple):
    """Consecutive ticks, at least one. None is missing between `after_ms` and the first of them."""

    after_ms: int
    ticks: list[TickWithOffset]


class OlderTicks:
    """Consecutive ticks of a clock from any time on. Not thread-safe.

    Args:
        log: the clock's log.
    """

    def __init__(self, clock: str, log: TickLog) -> None:
        self._log = log
        self._decoder = TickDecoder(clock)
        self._chunks: OrderedDict[int, _Chunk] = OrderedDict()
        self._offsets: OrderedDict[int, int] = OrderedDict()

    def reset(self) -> None:
        """Forget all ticks and offsets, because offsets of the log may have changed."""
        self._chunks.clear()
        self._offsets.clear()

    def after(self, at_ms: int, upto_ms: int, limit: int, end: int) -> list[TickWithOffset]:
        """Return the ticks after `at_ms` and up to `upto_ms`, at most `limit`; empty if the log has none.

        Blocks while the log is read.

        Args:
            end: an offset after the tick `upto_ms`, not above the log's last stable offset.

        Raises:
            TickLogUnavailable: the log can't be read.
            UnreadableRecord: this version can't read a record of the clock.
        """
        chunk = self._find(at_ms) or self._read(at_ms, end)
        if chunk is None:
            return []
        first = bisect_right(chunk.ticks, at_ms, key=_time)
        last = bisect_right(chunk.ticks, upto_ms, key=_time)
        found = chunk.ticks[first : min(last, first + limit)]
        if found:
            # Nothing is between a tick and its offset that the next tick could depend on.
            _remember(self._offsets, found[-1].tick.at_ms, found[-1].offset + 1, KNOWN_OFFSETS)
        return found

    def _find(self, at_ms: int) -> _Chunk | None:
        for after_ms, chunk in self._chunks.items():
            if after_ms <= at_ms < _time(chunk.ticks[-1]):
                self._chunks.move_to_end(after_ms)
                return chunk
        return None

    def _read(self, at_ms: int, end: int) -> _Chunk | None:
        """Read the chunk with the first tick after `at_ms`; None if there is no such tick."""
        known = self._offsets.get(at_ms)
        ticks = self._read_from(offset_before(self._log, at_ms) if known is None else known, at_ms, end)
        if known is None and not (ticks and _follows(ticks[0], at_ms)):
            # A broker's clock was more than an hour behind, or the log has no tick from there on.
            ticks = self._read_from(self._log.stable_bounds(no_keep_alive).first, at_ms, end)
        if not ticks or _time(ticks[-1]) <= at_ms:
            return None
        chunk = _Chunk(at_ms, ticks)
        _remember(self._chunks, at_ms, chunk, CHUNKS)
        return chunk

    def _read_from(self, offset: int, at_ms: int, end: int) -> list[TickWithOffset]:
        """Return the ticks of the first part of the log with a tick after `at_ms`, and the newest one before it."""
        ticks: list[TickWithOffset] = []
        self._decoder.reset()
        while offset < end and not (ticks and _time(ticks[-1]) > at_ms):
            upto = min(end, offset + CHUNK)
            found = (self._decoder.decode(*entry) for entry in self._log.read(offset, upto, keep_alive=no_keep_alive))
            ticks = [*ticks[-1:], *(one for one in found if one is not None)]
            offset = upto
        return ticks


def _remember(known: OrderedDict[int, _T], key: int, value: _T, size: int) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > size:
        known.popitem(last=False)


def _time(found: TickWithOffset) -> int:
    return found.tick.at_ms


def _follows(found: TickWithOffset, at_ms: int) -> bool:
    """True if no tick after `at_ms` can be before this one."""
    previous_ms = found.tick.previous_ms
    return found.tick.at_ms <= at_ms or previous_ms is None or previous_ms <= at_ms
