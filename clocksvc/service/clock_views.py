"""One replica's views of all its clocks. The states of many clocks need one call to the store for each log."""

import threading
from collections.abc import Iterable, Iterator, Mapping

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.clock_reads import ClockReads
from clocksvc.service.clock_view import VIEW_MAX_AGE_S, ClockView
from clocksvc.service.public_state import PublicState

MAX_AGE_PER_CLOCK_S = 0.001


class ClockViews(Mapping[str, ClockView]):
    """The views of a replica's clocks, by name. Thread-safe.

    Attributes:
        max_age_s: the maximum age of what `states` returns: 0.25 s, or 1 ms for each clock if that is more. So lists of
            2,000 clocks read each clock at most every 2 s, however many clients request them.
    """

    def __init__(self, views: Mapping[str, ClockView], reads: ClockReads) -> None:
        self._views = dict(views)
        self._reads = reads
        self._reading = threading.Lock()
        self.max_age_s = max(VIEW_MAX_AGE_S, len(self._views) * MAX_AGE_PER_CLOCK_S)

    def __getitem__(self, clock: str) -> ClockView:
        return self._views[clock]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def states(self, clocks: Iterable[str]) -> list[PublicState]:
        """Return the public states of some clocks, in the given order.

        They are at most `max_age_s` old, and no older than the last tick that the replica has shown. Blocks for at most
        twice the store's timeout. An outage raises no exception: the states have the hold `store_unavailable`.
        """
        return [view.state_at(last) for view, last in self._read(clocks)]

    def readiness_errors(self) -> list[str]:
        """Return an error for each clock whose state this replica can't show; [] if there is none.

        Blocks like `states`, but only if the store does not answer for a feed.
        """
        unclear = [name for name, view in self._views.items() if not view.can_answer]
        return [error for view, _ in self._read(unclear) if (error := view.cached_readiness_error())]

    def _read(self, clocks: Iterable[str]) -> list[tuple[ClockView, Tick | None]]:
        """Read the clocks whose states are too old. Return the views, each with the last tick of its feed."""
        # One caller reads. The others wait for it, and find states that are new enough.
        with self._reading:
            shown = [(view, view.feed.last) for view in map(self._views.__getitem__, clocks)]
            old = [view.spec.name for view, last in shown if view.is_older_than(self.max_age_s, last)]
            for name, reading in (self._reads.read(old) if old else {}).items():
                self._views[name].accept(reading)
        return shown
