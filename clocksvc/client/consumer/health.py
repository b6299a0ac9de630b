"""Whether a consumer works: its health and its health file."""

from pathlib import Path
from typing import NamedTuple

TOUCH_INTERVAL_S = 5.0
"""How often the health file is touched. Celery's workers use the same interval."""
LOOP_STUCK_AFTER_S = 60.0
"""The loop is stuck if one pass takes longer than this, for example because `process` hangs."""


class Health(NamedTuple):
    """The health of a consumer.

    Attributes:
        problems: what is wrong; empty if the consumer is healthy.
    """

    problems: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """True if there is no problem."""
        return not self.problems


class HealthFile:
    """Touches a file while a consumer is healthy. A probe checks the age of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touch_at = float("-inf")

    def touch(self, now: float) -> None:
        """Touch the file, unless it was touched in the last 5 s."""
        if now >= self._touch_at:
            self._touch_at = now + TOUCH_INTERVAL_S
            self._path.touch()

    def remove(self) -> None:
        """Remove the file: the consumer has ended."""
        self._path.unlink(missing_ok=True)
