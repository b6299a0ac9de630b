"""The upstream clocks of a clock with `after`: their committed ticks, and their state.

The ticks of an upstream clock are those of its stream in the store, or of the HTTP service that runs it: both show a
tick only after its commit. The time that `clocksvc init` sets is no tick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation


@dataclass(frozen=True, slots=True)
class UpstreamReading:
    """The result of one read of an upstream clock.

    Attributes:
        ticks: the ticks after the requested time, ascending, without a gap. Empty if there is none yet.
        state: what people see of the clock.
        begins: True if ticks after the requested time are no longer kept: `ticks` begins with the oldest kept one, and
            the exclusions of the missing ones are not known.
    """

    ticks: tuple[Tick, ...]
    state: UpstreamObservation
    begins: bool = False


class Upstreams(Protocol):
    """The upstream clocks of all clocks of a process. Not thread-safe: one thread reads."""

    def read(self, after_ms: Mapping[tuple[str, str], int | None]) -> Mapping[tuple[str, str], UpstreamReading]:
        """Read upstream clocks, in few requests.

        Blocks for a few seconds at most. A clock that can't be read has a state with a `problem`, and no ticks.

        Args:
            after_ms: by name and URL of the clock (URL "" for this installation), the time after which its ticks are
                wanted; None for its newest tick only.
        """
