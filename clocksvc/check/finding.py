"""A finding of `clocksvc check`: what was found, how serious it is, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How serious a finding is.

    A `problem` stops a clock or makes it wrong. A `warning` may do the same under some conditions.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one test.

    Attributes:
        part: what was tested, such as `redis` or `topic ingest-checkins`.
        text: what was found. `part` and `text` together are a sentence.
        to_do: what the user should do; empty if the finding needs no action.
        clock: the clock's name; empty if the tested part is common to all clocks.
    """

    level: Level
    part: str
    text: str
    to_do: str = ""
    clock: str = ""

    def to_wire(self) -> dict[str, str | None]:
        """Return the finding as JSON."""
        return {
            "level": self.level.value,
            "part": self.part,
            "clock": self.clock or None,
            "text": self.text,
            "to_do": self.to_do or None,
        }


def ok(part: str, text: str, clock: str = "") -> Finding:
    """Return a finding that needs no action."""
    return Finding(Level.OK, part, text, clock=clock)


def warning(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """Return a finding about a part that works now, but may fail under some conditions."""
    return Finding(Level.WARNING, part, text, to_do, clock)


def problem(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """Return a finding about a part that stops a clock or makes it wrong."""
    return Finding(Level.PROBLEM, part, text, to_do, clock)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of the findings; `ok` if there are no findings."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def format_duration(value_ms: int) -> str:
    """Return a duration in the form of the configuration, such as `90s` or `7d`."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m")):
        if value_ms >= unit_ms and value_ms % unit_ms == 0:
            return f"{value_ms // unit_ms}{unit}"
    return f"{value_ms / 1000:g}s"


MIN_SKEW_MS = 1000
"""Smaller differences between machines' clocks are not reported, because they only delay ticks by this difference."""


def format_skew(ahead_ms: int) -> str:
    """Return the difference between two machines' clocks as text, such as `1.5 s ahead of`."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
