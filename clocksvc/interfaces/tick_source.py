"""The committed ticks of clocks with schedules, for the partitions of schedules.

One source serves all partitions of a process. The newest ticks of each clock are in memory; older ones are read from
the tick log when they are requested. All methods can be called from any thread.
"""

from collections.abc import Callable
from typing import Protocol

from clocksvc.interfaces.tick_consumer import TickWithOffset


class TickSource(Protocol):
    """The ticks of some clocks.

    All methods except `subscribe` raise:

    Unavailable: the tick log can't be read now, has lost the clock's records, or belongs to this installation but
        names another store. Retry later.
    StoreMismatch: the tick log belongs to another installation. No tick of it may be used.
    UnreadableRecord: this version can't read a record of the clock.
    """

    def after(self, clock: str, at_ms: int, limit: int) -> list[TickWithOffset]:
        """Return the ticks after a time, ascending, at most `limit`. No kept tick after this time is missing.

        The result is empty if there is none yet. `previous_ms` of the first tick is after `at_ms` if there are ticks
        between them that were removed from the log, or boundaries that `clocksvc init` skipped. In the second case its
        `begins` is True: what was due up to `previous_ms` and not sent yet must not be sent.

        Does not block if the ticks are in memory. Otherwise it reads the tick log, for up to a few seconds. One call
        reads at most `limit` ticks of the clock, and the records of other clocks between them.
        """

    def newest(self, clock: str) -> int | None:
        """Return the time of the clock's newest known tick (ms); None before its first one. Does not block."""

    def subscribe(self, clock: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` when the clock has new ticks, and when errors of this source begin or end.

        It is called in the source's thread and must not block or raise.

        Returns:
            A function that ends the subscription.
        """
