"""When a schedule is due: at an interval with an offset of its own, or at the times of a cron expression.

An instant is when a schedule would be due if the clock were continuous. The wheel sorts schedules by instants, and each
instant belongs to the first tick at or after it. Instants depend on the schedule alone, so they stay the same if the
clock's interval is changed.
"""

import zlib
from functools import lru_cache
from typing import Protocol

from clocksvc.clock import boundary
from clocksvc.schedules.cron import MINUTE_MS, Cron, parse_cron


class Recurrence(Protocol):
    """The instants of schedules. One object serves all schedules with the same interval or cron expression.

    Attributes:
        by_minute: True if there is at most one instant a minute, from after its begin up to its end.
    """

    by_minute: bool

    def first(self, key: bytes, after_ms: int) -> int:
        """Return the first instant of the schedule `key` after a time."""

    def following(self, instant_ms: int) -> int:
        """Return the instant after an instant."""

    def last_upto(self, instant_ms: int, upto_ms: int) -> tuple[int, int]:
        """Return the last instant up to a time, at least `instant_ms`, and how many there are after `instant_ms`."""

    def due_ms(self, instant_ms: int, interval_ms: int) -> int:
        """Return the due time of an instant, at the clock's present interval."""

    def last_instant(self, due_ms: int, interval_ms: int) -> int:
        """Return the latest time whose instant would have a due time of at most `due_ms`."""


def offset_of(key: bytes, every_ms: int) -> int:
    """Return the offset of a schedule with an interval: crc32(id) * interval / 2^32, in whole seconds, as ms.

    It depends on the id alone, so that schedules with equal intervals are spread evenly. A schedule's partition comes
    from the low bits of the same CRC and its offset from the high ones, so that each partition is spread evenly, too.
    """
    return (zlib.crc32(key) * (every_ms // 1000) >> 32) * 1000


class Every:
    """Is due once an interval. All values are in ms, and multiples of 1000."""

    __slots__ = ("_every_ms", "by_minute")

    def __init__(self, every_ms: int) -> None:
        self.by_minute = every_ms >= MINUTE_MS
        self._every_ms = every_ms

    def first(self, key: bytes, after_ms: int) -> int:
        every_ms = self._every_ms
        return after_ms + every_ms - (after_ms - offset_of(key, every_ms)) % every_ms

    def following(self, instant_ms: int) -> int:
        return instant_ms + self._every_ms

    def last_upto(self, instant_ms: int, upto_ms: int) -> tuple[int, int]:
        count = max(0, (upto_ms - instant_ms) // self._every_ms)
        return instant_ms + count * self._every_ms, count

    def due_ms(self, instant_ms: int, interval_ms: int) -> int:
        """The first boundary at or after the instant.

        It is the instant itself if the interval is not a multiple of the clock's, which is possible only after the
        clock's interval was changed. So two instants never have the same due time.
        """
        return instant_ms if self._every_ms % interval_ms else boundary.ceil(instant_ms, interval_ms)

    def last_instant(self, due_ms: int, interval_ms: int) -> int:
        return due_ms if self._every_ms % interval_ms else boundary.floor(due_ms, interval_ms)


class AtCron:
    """Is due at the times of a cron expression. The due time is the instant, at any interval of the clock."""

    __slots__ = ("_cron", "by_minute")

    def __init__(self, cron: Cron) -> None:
        self.by_minute = True
        self._cron = cron

    def first(self, _: bytes, after_ms: int) -> int:
        return self._cron.next_after(after_ms)

    def following(self, instant_ms: int) -> int:
        return self._cron.next_after(instant_ms)

    def last_upto(self, instant_ms: int, upto_ms: int) -> tuple[int, int]:
        count = 0
        while (following_ms := self._cron.next_after(instant_ms)) <= upto_ms:
            instant_ms = following_ms
            count += 1
        return instant_ms, count

    def due_ms(self, instant_ms: int, _: int) -> int:
        return instant_ms

    def last_instant(self, due_ms: int, _: int) -> int:
        return due_ms


@lru_cache(maxsize=65_536)
def every(every_ms: int) -> Every:
    """Return the recurrence of an interval. Equal arguments give the same object."""
    return Every(every_ms)


@lru_cache(maxsize=65_536)
def at_cron(expression: str, timezone: str) -> AtCron:
    """Return the recurrence of a cron expression in a time zone. Equal arguments give the same object.

    Raises:
        InvalidValue: one of them is not valid.
    """
    return AtCron(parse_cron(expression, timezone))
