"""Simulated time: events happen in order while a caller waits. One thread, so that a seed repeats exactly."""

import heapq
import random
from collections.abc import Callable

START_MS = 1_796_000_000_000


class Timeline:
    """The true time, the events to come, and the seed's random numbers."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.rng = random.Random(seed)
        self.now_ms = START_MS
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._traced = traced
        self._story: list[str] = []

    def after(self, delay_ms: float, event: Callable[[], None]) -> None:
        """Schedule an event."""
        self._number += 1
        heapq.heappush(self._events, (self.now_ms + int(delay_ms), self._number, event))

    def wait(self, duration_ms: float) -> None:
        """Let time pass, with all events until then. An event can't wait."""
        until_ms, events = self.now_ms + int(duration_ms), self._events
        while events and events[0][0] <= until_ms:
            at_ms, _, event = heapq.heappop(events)
            self.now_ms = at_ms
            event()
        self.now_ms = until_ms

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self.rng.random() < probability

    def say(self, text: str) -> None:
        """Add a line to the story."""
        if self._traced:
            self._story.append(f"{(self.now_ms - START_MS) / 1000:8.3f} {text}")

    def story(self) -> str:
        """What happened."""
        return "\n".join(self._story)


class SkewedTime:
    """The clock of one machine. `Time` of the product."""

    def __init__(self, timeline: Timeline, skew_ms: int) -> None:
        self._timeline, self.skew_ms = timeline, skew_ms

    def now_ms(self) -> int:
        return self._timeline.now_ms + self.skew_ms

    def monotonic(self) -> float:
        return self._timeline.now_ms / 1000
