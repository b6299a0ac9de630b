"""Whether the ticks that the demo saw came each once, in order, none missing. Pure; it judges, it asks nobody."""

from clocksvc.clock.tick import Tick


class Chain:
    """The ticks of one clock since its first."""

    def __init__(self, interval_ms: int) -> None:
        self.count = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.trouble: list[str] = []
        """What was wrong, in words; empty while the chain is whole."""
        self._interval_ms = interval_ms

    def add(self, tick: Tick) -> None:
        """The next tick that was seen."""
        expected_ms = None if self.last_ms is None else self.last_ms + self._interval_ms
        if tick.previous_ms != self.last_ms:
            self.trouble.append(f"tick {tick.at_ms} names {tick.previous_ms}, seen before it was {self.last_ms}")
        elif expected_ms is not None and tick.at_ms != expected_ms:
            self.trouble.append(f"tick {tick.at_ms} came where {expected_ms} was due")
        self.count += 1
        self.first_ms = tick.at_ms if self.first_ms is None else self.first_ms
        self.last_ms = tick.at_ms
