"""The progress of a dispatcher, as its observer receives it."""

from typing import Protocol

from clocksvc.interfaces.schedule import Schedule

OUTCOMES = ("sent", "expired", "rejected")
"""The outcomes of a due time: its task was sent, was older than its `max_age`, or was rejected by the task queue."""


class DispatcherObserver(Protocol):
    """Receives the progress of a dispatcher. Must not block or raise."""

    def count(self, schedule: Schedule, outcome: str) -> None:
        """Called when one due time was processed. `outcome` is one of `OUTCOMES`."""

    def checkpoint(self, at_ms: int | None) -> None:
        """Called with the tick up to which everything was sent. It is None if unknown or if another process is
        active."""

    def close(self) -> None:
        """Called when the dispatcher is closed. May block for a moment."""


class NoDispatcherObserver:
    """Ignores everything."""

    def count(self, schedule: Schedule, outcome: str) -> None:
        pass

    def checkpoint(self, at_ms: int | None) -> None:
        pass

    def close(self) -> None:
        pass
