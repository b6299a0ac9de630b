"""Choices that follow from one number: the same number gives the same choices, in each process and Python version.

`random.Random` is not used, because creating and seeding one for each step takes longer than the step.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Draw:
    """A stream of choices."""

    __slots__ = ("_state",)

    def __init__(self, number: int) -> None:
        # The multiplication and the shift spread numbers that differ in few bits, such as seeds in a row.
        mixed = (number + 1) * 0x9E3779B97F4A7C15 & _MASK
        self._state = (mixed ^ (mixed >> 31)) * 0xBF58476D1CE4E5B9 & _MASK

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return (self._state >> 33) % limit

    def chance(self, percent: int) -> bool:
        """Return True in `percent` of 100 cases."""
        return self.below(100) < percent

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices."""
        return choices[self.below(len(choices))]

    def some(self, choices: Sequence[T]) -> list[T]:
        """Return at least one of the choices, in their order."""
        sure = self.below(len(choices))
        return [choice for index, choice in enumerate(choices) if index == sure or self.chance(40)]

    def number(self) -> int:
        """Return a number from which another Draw can be created."""
        return self.below(1 << 31)
