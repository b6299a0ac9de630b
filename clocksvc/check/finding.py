"""A finding of `clocksvc check`: what was found, how bad it is, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. A `problem` stops a clock or makes it wrong; a `warning` may do so under some conditions."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one test.

    Attributes:
        part: what was tested, such as `redis` or `topic ingest-checkins`.
        text: what was found. With `part` before it, it makes a sentence.
        to_do: what to do about it; empty if nothing.
        clock: the clock that it concerns; empty for parts that all clocks share.
    """

    level: Level
    part: str
    text: str
    to_do: str = ""
    clock: str = ""

    def to_wire(self) -> dict[str, str | None]:
        """The finding as JSON."""
        return {
            "level": self.level.value,
            "part": self.part,
            "clock": self.clock or None,
            "text": self.text,
            "to_do": self.to_do or None,
        }


def ok(part: str, text: str, clock: str = "") -> Finding:
    """A finding that needs no action."""
    return Finding(Level.OK, part, text, clock=clock)


def warning(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """A finding that works now, and may fail under some conditions."""
    return Finding(Level.WARNING, part, text, to_do, clock)


def problem(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """A finding that stops a clock or makes it wrong."""
    return Finding(Level.PROBLEM, part, text, to_do, clock)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of the findings; `ok` for none."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def format_duration(value_ms: int) -> str:
    """A duration in the form of the configuration, such as `90s` or `7d`."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m")):
        if value_ms >= unit_ms and value_ms % unit_ms == 0:
            return f"{value_ms // unit_ms}{unit}"
    return f"{value_ms / 1000:g}s"


MIN_SKEW_MS = 1000
"""Smaller differences of clocks are not reported: they only delay ticks by as much."""


def format_skew(ahead_ms: int) -> str:
    """The difference of two clocks, such as `1.5 s ahead of`."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
