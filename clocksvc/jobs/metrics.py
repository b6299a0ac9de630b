"""What a dispatcher did and where it stands, on its way to the store: counted here, written by a thread of its own.

Nothing that happens to the store delays or fails sending: what was counted while it was away is written later, or is
lost with the process. It sends nothing and knows no schedule.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from clocksvc.clock.spec import DAY_MS
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.schedule import Entry
from clocksvc.interfaces.store import (
    Store,
    TaskCounterKey,
)
from clocksvc.jobs.dispatcher import OUTCOMES
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.dispatcher")

EVERY_S = 1.0
REPEAT_STEPS = 10
"""Without news the position is written again after so many steps: a store that was emptied knows it again."""
KEPT_MS = 7 * DAY_MS
LEAVE_S = 3.0


class Destination(NamedTuple):
    """Where an entry's tasks go. `queue` may be a topic; "" where it is not known beforehand."""

    namespace: str
    queue: str


class DispatcherMetrics:
    """One dispatcher's DispatcherObserver. `step` belongs to one thread; everything else may be called from another.

    Args:
        destinations: by the entry's name, all of the dispatcher's.
    """

    def __init__(self, clock: str, dispatcher: str, destinations: Mapping[str, Destination], store: Store) -> None:
        self._clock, self._dispatcher, self._destinations, self._store = clock, dispatcher, dict(destinations), store
        self._lock = threading.Lock()
        self._counts = self._zeros()
        self._at_ms: int | None = None
        self._news = False
        self._silent_steps = 0
        self._away = False
        self._thread = WorkerThread(
            f"tally-{clock}", self._step_and_wait, log=logger, extra={"clock": clock}, finish=self.step
        )

    def sent(self, entry: Entry, outcome: str) -> None:
        with self._lock:
            self._counts[TaskCounterKey(*self._destinations[entry.name], outcome)] += 1
            self._news = True

    def stands(self, at_ms: int | None) -> None:
        with self._lock:
            self._at_ms = at_ms
            self._news = True

    def start(self) -> None:
        """Write from now on, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        # It may run in a signal's handler, in the middle of anything above: it takes no lock that those hold.
        self._thread.stop()
        self._thread.join(LEAVE_S)

    def step(self) -> None:
        """Write what is new; and every now and then what is not."""
        with self._lock:
            self._silent_steps += 1
            if not self._news and (self._at_ms is None or self._silent_steps < REPEAT_STEPS):
                return
            counts, self._counts, at_ms = self._counts, self._zeros(), self._at_ms
            self._news, self._silent_steps = False, 0
        try:
            self._store.count_tasks(self._dispatcher, counts, at_ms, KEPT_MS)
        except ClocksvcError as error:
            self._keep(counts, error)
        else:
            self._away = False

    def _keep(self, counts: Counter[TaskCounterKey], error: ClocksvcError) -> None:
        with self._lock:
            self._counts.update(counts)
            self._news = True
        if not self._away:
            logger.warning("counts wait for the store", extra={"clock": self._clock, "detail": str(error)})
        self._away = True

    def _step_and_wait(self) -> float:
        self.step()
        return EVERY_S

    def _zeros(self) -> Counter[TaskCounterKey]:
        places = set(self._destinations.values())
        return Counter({TaskCounterKey(*place, outcome): 0 for place in places for outcome in OUTCOMES})
