"""Searches a defect by seeds, until one finds it."""

import logging
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar


class Named(Protocol):
    """What the search needs to know of a defect."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def words(self) -> str | tuple[str, ...]:
        """The beginnings of messages that fit it."""


D = TypeVar("D", bound=Named)
FailureOf = Callable[[int, D | None], str | None]
"""The message of a seed, with a defect or without; None if nothing fails."""


@dataclass(frozen=True, slots=True)
class Hunted:
    """The result of the search for one defect.

    Attributes:
        tried: how many seeds were run. seed: the one that found it; None if none did.
        words: its message.
        other: messages that do not fit; they do not count.
        directed: whether a directed test finds it too; None if there is none.
    """

    name: str
    tried: int
    seed: int | None
    words: str = ""
    other: tuple[str, ...] = ()
    directed: bool | None = None

    @property
    def found(self) -> bool:
        """Whether a seed or a directed test finds it."""
        return self.seed is not None or bool(self.directed)

    @property
    def other_messages(self) -> str:
        """The messages that do not fit, for a table; "" if there are none."""
        return f" ({len(self.other)} other messages, such as {self.other[0]})" if self.other else ""


def hunt(defect: D, seeds: Iterable[int], failure: FailureOf[D]) -> Hunted:
    """The first seed that finds a defect with a fitting message, and finds nothing in the product itself."""
    tried, other = 0, list[str]()
    for seed in seeds:
        tried += 1
        words = failure(seed, defect)
        if words is None:
            continue
        if words.startswith(defect.words) and failure(seed, None) is None:
            return Hunted(defect.name, tried, seed, words, tuple(other))
        other.append(f"seed {seed}: {words}")
    return Hunted(defect.name, tried, None, "", tuple(other))


class FoundSeeds:
    """The file with the first seed that finds each defect, for the tests.

    Args:
        made_by: the command that writes it.
    """

    def __init__(self, path: Path, made_by: str) -> None:
        self._path, self._made_by = path, made_by

    def read(self) -> dict[str, int]:
        """The seeds by the defects' names, as of the last search."""
        return tomllib.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def write(self, seeds: Mapping[str, int], defects: Collection[str]) -> None:
        """Replace the seeds. Those of other defects than `defects` are left out."""
        head = f"# The first seed that finds each defect. Made by `{self._made_by}`.\n"
        lines = [f"{name} = {seed}\n" for name, seed in sorted(seeds.items()) if name in defects]
        self._path.write_text(head + "".join(lines), encoding="utf-8")

    def add(self, hunted: Iterable[Hunted], defects: Collection[str]) -> None:
        """Keep the seeds that found defects, and those that are known of the others."""
        self.write(self.read() | {one.name: one.seed for one in hunted if one.seed is not None}, defects)


def search(
    defects: Mapping[str, D],
    names: Iterable[str],
    seeds: range,
    failure: FailureOf[D],
    keep: FoundSeeds | None,
) -> int:
    """Search defects, and print a table. Returns 1 if one of them is not found.

    Args:
        keep: gets the seeds; None to keep none.
    """
    logging.disable(logging.CRITICAL)
    hunted = []
    for name in names:
        one = hunt(defects[name], seeds, failure)
        hunted.append(one)
        found = "NOT FOUND" if one.seed is None else one.tried
        print(f"{name:<28} {found:>9}  {one.words}{one.other_messages}", flush=True)
    if keep is not None:
        keep.add(hunted, defects)
    missed = [one.name for one in hunted if one.seed is None]
    print(f"{len(hunted)} defects, {len(missed)} not found: {missed}")
    return int(bool(missed))
