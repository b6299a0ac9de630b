"""Searches one defect: by seeds, until one finds it, and by its directed test."""

import signal
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.defects.defect import Defect
from tests.simulation.defects.directed import proves
from tests.simulation.run import Failure, Simulation

KEPT = Path(__file__).with_name("found.toml")
"""The first seed that finds each defect, for the tests."""
PATIENCE_S = 20


def kept() -> dict[str, int]:
    """The first seed that finds each defect, as of the last change of the simulation."""
    return tomllib.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


@dataclass(frozen=True, slots=True)
class Hunted:
    """The result of the search for one defect.

    Attributes:
        tried: how many seeds were run. seed: the one that found it; None if none did.
        words: the message.
        other: seeds with a message that does not fit; they do not count.
        directed: whether the directed test finds it too; None if there is none.
    """

    name: str
    tried: int
    seed: int | None
    words: str
    other: tuple[str, ...] = ()
    directed: bool | None = None

    @property
    def found(self) -> bool:
        """Whether a seed or the directed test finds it."""
        return self.seed is not None or bool(self.directed)


def hunt(defect: Defect, seeds: Iterable[int]) -> Hunted:
    """The first seed that finds a defect with a fitting message, and finds nothing in the product itself."""
    proved = proves(defect.directed, defect) if defect.directed else None
    tried, other = 0, list[str]()
    for seed in seeds:
        tried += 1
        words = complaint(seed, defect)
        if words is None:
            continue
        if words.startswith(defect.words) and complaint(seed) is None:
            return Hunted(defect.name, tried, seed, words, tuple(other), proved)
        other.append(f"seed {seed}: {words}")
    return Hunted(defect.name, tried, None, "", tuple(other), proved)


def complaint(seed: int, defect: Defect | None = None) -> str | None:
    """The message of a seed, with a defect in the product or without; None if no promise is broken."""
    try:
        with _patience(), nullcontext() if defect is None else defect.patch():
            Simulation(seed).run()
    except Failure as failure:
        return str(failure).splitlines()[0]
    except Exception as error:
        # not a violation: a process of the simulation failed with another exception
        return f"{type(error).__name__}: {error}"
    except _Stuck:
        return f"stuck: the seed takes longer than {PATIENCE_S} s"
    return None


class _Stuck(BaseException):
    """A BaseException, so that no code of the product catches it."""


@contextmanager
def _patience() -> Iterator[None]:
    """A defect can make a step that never ends, or a million ticks."""

    def give_up(*_: object) -> None:
        raise _Stuck

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
