"""The context of a log's leader: its dependencies and its observer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics


@dataclass(frozen=True, slots=True)
class LeaderDependencies:
    """One log, its clocks, and the implementations that its leader uses.

    Attributes:
        log: the number of the log.
        installation: the installation. The tick log contains it, so that two installations can't use the same tick log.
        specs: the configured clocks of this log, by name; at least one.
        stores: the store of each of these clocks.
        kafka_ready: returns True if this process reaches Kafka. It may block for about 3 s. A replica that is not ready
            becomes a leader only if no ready replica does.
        new_id: returns 32 hexadecimal digits, unique among all leaders, for lease tokens, roster generations and the
            ids of stores.
    """

    log: int
    installation: Installation
    specs: Mapping[str, ClockSpec]
    leases: Leases
    stores: Mapping[str, Store]
    ticklog: TickLog
    topics: Topics
    time: Time
    kafka_ready: Callable[[], bool]
    new_id: Callable[[], str]


class LeaderObserver(Protocol):
    """Is notified of what a leader does. Methods are called in the leader's thread; they must not block or raise."""

    def leading(self, log: int, yes: bool) -> None:
        """This process has started or stopped leading a log."""

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published.

        Args:
            latency_s: the time from the report that completed the first tick's boundary to its publication; None if
                it is not known.
        """


class NoObserver:
    """A LeaderObserver that does nothing."""

    def leading(self, log: int, yes: bool) -> None:
        pass

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass
