"""The tick stream: the recent ticks of a clock in the store, a copy of the end of the tick log.

The store can lose it at any time. The leader then continues at once with a stream that begins with the next tick, and
restores the older ticks in the background. Until this is done, the stream is `restoring`, and readers must not conclude
from a missing tick that it is no longer kept.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case a write may
have taken effect; it is safe to repeat it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.tick import Tick


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """Both ends of a tick stream, read at one moment.

    Attributes:
        first, last: the oldest and the newest tick; None if the stream is empty.
        base_ms: if the stream is empty, the time that will be `previous` in its first tick: the clock's last tick, or
            the time that `clocksvc init` set. None if the clock has no tick, or if the store has lost the time.
        written: False if no leader has written this stream since the store was empty. An empty stream then says
            nothing about the clock's ticks.
        restoring: True while older ticks are missing that will be restored.
    """

    first: Tick | None
    last: Tick | None
    base_ms: int | None
    written: bool
    restoring: bool

    @property
    def last_ms(self) -> int | None:
        """The time of the newest tick; None if the stream is empty."""
        return None if self.last is None else self.last.at_ms

    @property
    def end_ms(self) -> int | None:
        """The time that must be `previous` in the next tick."""
        return self.base_ms if self.last is None else self.last.at_ms


class TickStream(Protocol):
    """The recent ticks of one clock.

    Each method with a token raises LeaseLost if the token does not have the lease of the clock's log. Each write also
    adds a notice for readers: see interfaces/notices.py.
    """

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        """Append ticks, and return the store's time afterwards.

        Drops ticks that were emitted longer ago than the clock's `recent_ticks`. `previous` of the first tick must be
        the end of the stream (`StreamBounds.end_ms`).

        Raises:
            ChainBroken: `previous` of the first tick is another time; nothing is written.
        """

    def begin(self, token: str, base_ms: int | None, *, restoring: bool) -> None:
        """Begin an empty stream. `base_ms` must be `previous` in the next tick.

        Args:
            restoring: True if older ticks exist that will be restored with `stage` and `finish_restoring`.
        """

    def stage(self, token: str, ticks: Sequence[Tick], *, first: bool) -> None:
        """Append older ticks to the staged ticks, which readers don't see. `first` discards earlier staged ticks.

        With `first` and without ticks, there are no older ticks to restore.
        """

    def finish_restoring(self, token: str) -> bool:
        """Replace the stream by the staged ticks, if they end with the last tick of the stream (or with its base).

        If `stage` was called without ticks, the stream keeps its ticks. Afterwards it is not `restoring`.

        Returns:
            False if they end with another tick, were lost, or `stage` was not called: nothing is changed.
        """

    def bounds(self) -> StreamBounds:
        """Return both ends of the stream."""

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        """Return the ticks after a time, ascending, at most `limit`."""

    def newest_ticks(self, limit: int) -> list[Tick]:
        """Return the newest ticks, ascending, at most `limit`."""
