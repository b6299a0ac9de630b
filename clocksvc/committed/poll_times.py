"""When each clock is polled: once in its `poll`. Polls are spread over this time, and those of a second are shared."""

import math
from collections.abc import Collection, Mapping

SLOT_S = 1.0
"""Clocks that are due in the same second are polled together, with the same requests."""


class PollTimes:
    """The times at which clocks are polled. A clock is polled at once when it is observed for the first time.

    Args:
        polls_s: the time between two polls of each clock, in seconds, by the clock's name.
    """

    def __init__(self, polls_s: Mapping[str, float]) -> None:
        self._polls_s = polls_s
        self._offsets_s: dict[str, float] = {}
        self._due_at: dict[str, float] = {}
        alike: dict[float, list[str]] = {}
        for name in sorted(polls_s):
            alike.setdefault(polls_s[name], []).append(name)
        for poll_s, names in alike.items():
            slots = max(1, int(poll_s // SLOT_S))
            self._offsets_s |= {name: number % slots * SLOT_S for number, name in enumerate(names)}

    def due(self, clocks: Collection[str], now_s: float) -> list[str]:
        """Return which clocks must be polled now, and count them as polled.

        Args:
            now_s: monotonic time in seconds.
        """
        due = sorted(name for name in clocks if self._due_at.get(name, -math.inf) <= now_s)
        for name in due:
            poll_s, offset_s = self._polls_s[name], self._offsets_s[name]
            self._due_at[name] = (math.floor((now_s - offset_s) / poll_s) + 1) * poll_s + offset_s
        return due

    def next_at(self, clocks: Collection[str]) -> float:
        """Return the monotonic time at which one of these clocks is due; infinity without clocks."""
        return min((self._due_at.get(name, -math.inf) for name in clocks), default=math.inf)

    def forget(self, clocks: Collection[str]) -> None:
        """Forget when these clocks were polled."""
        for name in clocks:
            self._due_at.pop(name, None)
