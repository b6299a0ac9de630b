"""Searches a defect by seeds, until one finds it."""

import tomllib
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.observer_simulation.defects import DEFECTS, Defect
from tests.observer_simulation.run import Failure, Simulation

FOUND = Path(__file__).with_name("found.toml")
"""The first seed that finds each defect, for the tests."""


def found_seeds() -> dict[str, int]:
    """The first seed that finds each defect, as of the last search."""
    return tomllib.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}


def keep(hunted: "Sequence[Hunted]") -> None:
    """Write the seeds that found defects."""
    seeds = found_seeds() | {one.name: one.seed for one in hunted if one.seed is not None}
    head = "# The first seed that finds each defect. Made by `python -m tests.observer_simulation --defects --write`.\n"
    lines = [f"{name} = {seed}\n" for name, seed in sorted(seeds.items()) if name in DEFECTS]
    FOUND.write_text(head + "".join(lines), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Hunted:
    """The result of the search for one defect.

    Attributes:
        tried: how many seeds were run. seed: the one that found it; None if none did.
        words: its message.
        other: messages that do not fit; they do not count.
    """

    name: str
    tried: int
    seed: int | None
    words: str = ""
    other: tuple[str, ...] = ()


def hunt(name: str, seeds: Iterable[int]) -> Hunted:
    """The first seed that finds a defect with a fitting message, and finds nothing in the product itself."""
    defect = DEFECTS[name]
    tried, other = 0, list[str]()
    for seed in seeds:
        tried += 1
        words = failure(seed, defect)
        if words is None:
            continue
        if words.startswith(defect.words) and failure(seed) is None:
            return Hunted(name, tried, seed, words, tuple(other))
        other.append(f"seed {seed}: {words}")
    return Hunted(name, tried, None, "", tuple(other))


def failure(seed: int, defect: Defect | None = None) -> str | None:
    """The first line of a seed's failure, with a defect or without; None if nothing fails."""
    with nullcontext() if defect is None else defect.patch():
        try:
            Simulation(seed).run()
        except Failure as found:
            return str(found).splitlines()[0]
    return None
