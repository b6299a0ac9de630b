"""What a leader works with, and who watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics


@dataclass(frozen=True, slots=True)
class LeaderDependencies:
    """One clock's keepers, as one process has them.

    `new_id` gives 32 hexadecimal digits that no other leader has: lease tokens and roster generations come from it.
    """

    spec: ClockSpec
    store: Store
    ticklog: TickLog
    topics: Topics
    time: Time
    new_id: Callable[[], str]


class LeaderObserver(Protocol):
    """Who is told what a leader does. Called from the leader's thread; must not block or raise."""

    def leading(self, clock: str, yes: bool) -> None:
        """This process began or ceased to lead."""

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        """Ticks were committed and published. `latency_s`: from the report that completed the first one's boundary
        to the commit; None where that is not known."""


class NoObserver:
    """Nobody watches."""

    def leading(self, clock: str, yes: bool) -> None:
        pass

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass
