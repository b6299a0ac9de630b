"""The upstream clocks of a clock with `after`: their committed ticks, and their state.

The ticks of an upstream clock are those of its stream in the store, or of the HTTP service that runs it: both show a
tick only after its commit. The time that `clocksvc init` sets is no tick.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.schedule_topics import due_topic


class UpstreamKey(NamedTuple):
    """An upstream clock, as one of the clocks after it counts it.

    Attributes:
        clock: its name.
        url: the service that runs it; "" for this installation.
        scheduler: True if its scheduler counts as a stage: a tick counts once all partitions of its schedules have sent
            what is due up to the tick.
    """

    clock: str
    url: str = ""
    scheduler: bool = False


def upstream_key(clock: str, url: str, topics: Collection[str]) -> UpstreamKey:
    """Return the key of an upstream clock. `topics` are those of the clock after it.

    If they include the upstream clock's topic of due records, the scheduler is what writes them.
    """
    return UpstreamKey(clock, url, not url and due_topic(clock) in topics)


@dataclass(frozen=True, slots=True)
class UpstreamReading:
    """The result of one read of an upstream clock.

    Attributes:
        ticks: the ticks after the requested time, ascending, without a gap. Empty if there is none yet.
        state: what people see of the clock. Its last tick is never later than what `ticks` covers: if more ticks wait
            than one read returns, it is the last of `ticks`.
        trimmed: True if ticks after the requested time are no longer kept: `ticks` begins with the oldest kept one, and
            the exclusions of the missing ones are not known.
    """

    ticks: tuple[Tick, ...]
    state: UpstreamObservation
    trimmed: bool = False


class Upstreams(Protocol):
    """The upstream clocks of all clocks of a process. Not thread-safe: one thread reads."""

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        """Read upstream clocks, in few requests.

        Blocks for a few seconds at most. A clock that can't be read has a state with a `problem`, and no ticks.

        Args:
            after_ms: the time after which the ticks of each clock are wanted; None for its newest tick only.
        """
