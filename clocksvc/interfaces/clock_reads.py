"""Reads of many clocks with few calls: one call to the store for up to 250 clocks of a log.

An implementation serves all clocks of an installation. Any thread may call its methods, which block for at most twice
the implementation's timeout. If the store does not answer, they raise no error: the result of each clock that was not
read is a StoreUnavailable. The clocks of one call are read at the same moment.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.progress import Snapshot
from clocksvc.interfaces.schedulers import SchedulersReading


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The part of a clock's state that replicas show.

    Attributes:
        snapshot: as `PartitionProgress.snapshot` returns it.
        counters: as `CounterStore.counters` returns them.
        schedulers: as `Schedulers.read` returns it.
    """

    snapshot: Snapshot
    counters: Counters
    schedulers: SchedulersReading


@dataclass(frozen=True, slots=True)
class StreamTail:
    """The end of a clock's tick stream, and the ticks before it.

    Attributes:
        ticks: ascending, as `tails` says.
        last_ms: the time of the newest tick; None if the stream is empty.
        base_ms, written, restoring: as in StreamBounds.
    """

    ticks: tuple[Tick, ...]
    last_ms: int | None
    base_ms: int | None
    written: bool
    restoring: bool

    @property
    def end_ms(self) -> int | None:
        """The time that must be `previous` in the next tick."""
        return self.base_ms if self.last_ms is None else self.last_ms


class ClockReads(Protocol):
    """Reads of many clocks."""

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        """Return the state of these clocks."""

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        """Return the tails of the tick streams of some clocks.

        Args:
            after_ms: by clock. The tail has the oldest ticks after this time; with None, the newest ticks.
            limit: the maximum number of ticks of each clock.
        """
