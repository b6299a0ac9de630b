"""Buffers the counters and the checkpoint of a dispatcher in memory. A thread writes them to the store.

A slow or lost store never delays the dispatcher. The counts are then written later, or are lost if the process ends.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from clocksvc.clock.spec import DAY_MS
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.counters import CounterStore, TaskCounterKey
from clocksvc.interfaces.schedule import Schedule
from clocksvc.jobs.observer import OUTCOMES
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.dispatcher")

WRITE_INTERVAL_S = 1.0
REPEAT_STEPS = 10
"""After this number of steps an unchanged checkpoint is written again, because the store may have lost its data."""
RETENTION_MS = 7 * DAY_MS
CLOSE_TIMEOUT_S = 3.0


class Destination(NamedTuple):
    """The metric labels of a schedule's tasks. `queue` can be the name of a topic. It is "" if it is not known yet."""

    namespace: str
    queue: str


class DispatcherMetrics:
    """A DispatcherObserver. Only one thread may call `step`. Another thread may call the other methods.

    Args:
        destinations: the destination for each schedule's name, for all schedules of the dispatcher.
    """

    def __init__(
        self, clock: str, dispatcher: str, destinations: Mapping[str, Destination], store: CounterStore
    ) -> None:
        self._clock, self._dispatcher, self._destinations, self._store = clock, dispatcher, dict(destinations), store
        self._lock = threading.Lock()
        self._counts = self._zeros()
        self._at_ms: int | None = None
        self._changed = False
        self._unchanged_steps = 0
        self._store_failed = False
        self._thread = WorkerThread(
            f"dispatcher-metrics-{clock}", self._step_and_wait, log=logger, extra={"clock": clock}, finish=self.step
        )

    def count(self, schedule: Schedule, outcome: str) -> None:
        with self._lock:
            self._counts[TaskCounterKey(*self._destinations[schedule.name], outcome)] += 1
            self._changed = True

    def checkpoint(self, at_ms: int | None) -> None:
        with self._lock:
            self._at_ms = at_ms
            self._changed = True

    def start(self) -> None:
        """Start the thread that writes the counts to the store once a second."""
        self._thread.start()

    def close(self) -> None:
        self._thread.stop()
        self._thread.join(CLOSE_TIMEOUT_S)

    def step(self) -> None:
        """Write what has changed. An unchanged checkpoint is written again every `REPEAT_STEPS` steps."""
        with self._lock:
            self._unchanged_steps += 1
            if not self._changed and (self._at_ms is None or self._unchanged_steps < REPEAT_STEPS):
                return
            counts, self._counts, at_ms = self._counts, self._zeros(), self._at_ms
            self._changed, self._unchanged_steps = False, 0
        try:
            self._store.count_tasks(self._dispatcher, counts, at_ms, RETENTION_MS)
        except ClocksvcError as error:
            self._restore(counts, error)
        else:
            self._store_failed = False

    def _restore(self, counts: Counter[TaskCounterKey], error: ClocksvcError) -> None:
        with self._lock:
            self._counts.update(counts)
            self._changed = True
        if not self._store_failed:
            logger.warning("dispatcher metrics not written", extra={"clock": self._clock, "detail": str(error)})
        self._store_failed = True

    def _step_and_wait(self) -> float:
        self.step()
        return WRITE_INTERVAL_S

    def _zeros(self) -> Counter[TaskCounterKey]:
        destinations = set(self._destinations.values())
        return Counter({TaskCounterKey(*labels, outcome): 0 for labels in destinations for outcome in OUTCOMES})
