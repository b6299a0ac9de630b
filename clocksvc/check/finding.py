"""What a check has found: one sentence, how bad it is, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. A `problem` stops a clock or makes it wrong; a `warning` may, on a bad day."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: what was looked at, such as `redis` or `topic ingest-checkins`.
        clock: whose part it is; empty for parts that all clocks share.
        text: a sentence; to_do: another one, empty where nothing is to be done.
    """

    level: Level
    part: str
    text: str
    to_do: str = ""
    clock: str = ""

    def to_wire(self) -> dict[str, str | None]:
        """As JSON."""
        return {
            "level": self.level.value,
            "part": self.part,
            "clock": self.clock or None,
            "text": self.text,
            "to_do": self.to_do or None,
        }


def ok(part: str, text: str, clock: str = "") -> Finding:
    """As it should be."""
    return Finding(Level.OK, part, text, clock=clock)


def warning(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """Works, but."""
    return Finding(Level.WARNING, part, text, to_do, clock)


def problem(part: str, text: str, to_do: str, clock: str = "") -> Finding:
    """Does not work."""
    return Finding(Level.PROBLEM, part, text, to_do, clock)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among them."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)


def span(value_ms: int) -> str:
    """A duration as the configuration writes it."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m")):
        if value_ms >= unit_ms and value_ms % unit_ms == 0:
            return f"{value_ms // unit_ms}{unit}"
    return f"{value_ms / 1000:g}s"
