"""Reads ticks of one clock that are no longer in memory from its log, in the order of a backlog."""

from bisect import bisect_right

from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.tick_consumer import TickDecoder, TickWithOffset, offset_before
from clocksvc.interfaces.tick_log import TickLog

CHUNK = 2_000
"""How many offsets are read at a time. A tick takes up to two of them, and other clocks' records are between them."""
MAX_TICKS = 4_000
"""How many ticks stay in memory. The partitions of a clock work through a backlog at nearly the same time."""


class OlderTicks:
    """A window of consecutive ticks that moves through a clock's log. Not thread-safe.

    Args:
        log: the clock's log.
    """

    def __init__(self, clock: str, log: TickLog) -> None:
        self._log = log
        self._decoder = TickDecoder(clock)
        self._ticks: list[TickWithOffset] = []
        self._after_ms: int | None = None
        self._next_offset = 0

    def reset(self) -> None:
        """Forget the window, because offsets of the log may have changed."""
        self._after_ms = None

    def after(self, at_ms: int, upto_ms: int, limit: int, end: int) -> list[TickWithOffset]:
        """Return the ticks after `at_ms` and up to `upto_ms`, at most `limit`; empty if the log has none.

        Blocks while the log is read.

        Args:
            end: an offset after the tick `upto_ms`, not above the log's last stable offset.

        Raises:
            TickLogUnavailable: the log can't be read.
            UnreadableRecord: this version can't read a record of the clock.
        """
        try:
            if self._after_ms is None or at_ms < self._after_ms:
                self._seek(at_ms, end)
            while not self._ticks or self._ticks[-1].tick.at_ms <= at_ms:
                if self._next_offset >= end:
                    return []
                self._read_chunk(end)
        except ClocksvcError:
            self.reset()
            raise
        first = bisect_right(self._ticks, at_ms, key=_time)
        last = bisect_right(self._ticks, upto_ms, key=_time)
        return self._ticks[first : min(last, first + limit)]

    def _seek(self, at_ms: int, end: int) -> None:
        """Begin before all ticks that are later than `at_ms`."""
        self._begin(at_ms, offset_before(self._log, at_ms))
        while not self._ticks and self._next_offset < end:
            self._read_chunk(end)
        if not self._ticks or not _follows(self._ticks[0], at_ms):
            # A broker's clock was more than an hour behind, or the log has no tick from there on.
            self._begin(at_ms, self._log.stable_bounds(_no_keep_alive).first)

    def _begin(self, at_ms: int, offset: int) -> None:
        self._after_ms, self._next_offset = at_ms, offset
        self._ticks = []
        self._decoder.reset()

    def _read_chunk(self, end: int) -> None:
        upto = min(end, self._next_offset + CHUNK)
        for offset, message in self._log.read(self._next_offset, upto, _no_keep_alive):
            found = self._decoder.decode(offset, message)
            if found is not None:
                self._ticks.append(found)
        self._next_offset = upto
        if len(self._ticks) > MAX_TICKS:
            dropped = len(self._ticks) - MAX_TICKS
            self._after_ms = self._ticks[dropped - 1].tick.at_ms
            del self._ticks[:dropped]


def _time(found: TickWithOffset) -> int:
    return found.tick.at_ms


def _follows(found: TickWithOffset, at_ms: int) -> bool:
    """True if no tick after `at_ms` can be before this one."""
    previous_ms = found.tick.previous_ms
    return found.tick.at_ms <= at_ms or previous_ms is None or previous_ms <= at_ms


def _no_keep_alive() -> None:
    return None
