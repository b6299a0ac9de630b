"""Deliberate defects: each is a small patch that a seed must find."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

Patched = AbstractContextManager[object]
Patch = Callable[[], Patched]


@dataclass(frozen=True, slots=True)
class Defect:
    """One deliberate bug.

    Attributes:
        name: for the command line and the table.
        does: what the program does then.
        words: the beginnings of messages that fit the defect.
        patch: makes the defect.
    """

    name: str
    does: str
    words: tuple[str, ...]
    patch: Patch


class Defects(dict[str, Defect]):
    """The defects of a simulation, by name."""

    def define(self, does: str, *words: str) -> Callable[[Patch], Patch]:
        """Add a defect. The name of the decorated function is its name."""

        def add(make: Patch) -> Patch:
            name = defect_name(make)
            self[name] = Defect(name, does, words, make)
            return make

        return add


def defect_name(make: Patch) -> str:
    """The name of a defect that a function makes."""
    return getattr(make, "__name__", "").replace("_", "-")
