"""How many faults of each kind a round must have, and which fault comes next. No I/O."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.system.outages.rounds.faults import GROUPS

_ANY = 0.15
"""How often any kind is chosen while goals are open."""


class Goals:
    """`wanted`: counts by kind or group (`GROUPS`). `kinds`: name to anything and weight."""

    def __init__(self, kinds: Mapping[str, tuple[Any, int]], wanted: Mapping[str, int]) -> None:
        self._weights = {name: weight for name, (_, weight) in kinds.items()}
        self._wanted = {name: (self._members(name), count) for name, count in wanted.items()}
        self.seen: Counter[str] = Counter()

    def _members(self, name: str) -> list[str]:
        members = [kind for kind in GROUPS.get(name, (name,)) if kind in self._weights]
        if not members:
            raise ValueError(f"{name!r} is no kind of fault here: wanted one of {[*self._weights, *GROUPS]}")
        return members

    def left(self) -> dict[str, int]:
        """How many faults are missing, by goal."""
        missing = {
            name: count - sum(self.seen[kind] for kind in members) for name, (members, count) in self._wanted.items()
        }
        return {name: count for name, count in missing.items() if count > 0}

    def choose(self, rng: random.Random) -> str:
        """The next kind: one that is missing, else by weight."""
        left, kinds = self.left(), list(self._weights)
        if left and rng.random() >= _ANY:
            goal = rng.choices(list(left), list(left.values()))[0]
            kinds = self._wanted[goal][0]
        return rng.choices(kinds, [self._weights[kind] for kind in kinds])[0]


class InTurn(Goals):
    """These kinds of faults, one after the other."""

    def __init__(self, kinds: Mapping[str, tuple[Any, int]], names: Sequence[str]) -> None:
        super().__init__(kinds, Counter(names))
        self._names = list(names)

    def choose(self, _: random.Random) -> str:
        """The next one."""
        return self._names[self.seen.total()]


def parse(text: str) -> dict[str, int]:
    """`kill=200,flush=20` as counts. Raises ValueError for anything else."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: int(count) for name, _, count in pairs}
