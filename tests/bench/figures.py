"""Figures with their spread, as every benchmark prints them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of repeated measurements."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """From at least one value."""
        return cls(min(values), statistics.median(values), max(values))

    def show(self, unit: str = "", digits: int = 2) -> str:
        """`0.93 / 0.94 / 0.97 us`."""
        numbers = " / ".join(f"{value:.{digits}f}" for value in (self.low, self.median, self.high))
        return f"{numbers} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a benchmark's result: the wanted value and the measured one."""

    name: str
    seen: str
    wanted: str = ""
    good: bool = True

    def show(self) -> str:
        """One line of text."""
        verdict = "" if not self.wanted else f"   wanted {self.wanted}: {'yes' if self.good else 'NO'}"
        return f"  {self.name}: {self.seen}{verdict}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie (nearest rank)."""
    ordered = sorted(values)
    rank = max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered)) - 1))
    return ordered[rank]


def interleaved(pairs: int, *contestants: Callable[[], float]) -> list[list[float]]:
    """Measure contestants alternately, so that a noisy machine affects all alike; one list of values for each."""
    values: list[list[float]] = [[] for _ in contestants]
    for turn in range(pairs):
        order = range(len(contestants)) if turn % 2 == 0 else reversed(range(len(contestants)))
        for index in order:
            values[index].append(contestants[index]())
    return values


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """The ratio of each pair, with its spread."""
    return Spread.of([value / other for value, other in zip(values, base, strict=True)])
