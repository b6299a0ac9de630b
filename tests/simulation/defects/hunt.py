"""Searches one defect: by seeds, until one finds it, and by its directed test."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from tests.seed_runs.hunt import FoundSeeds, Hunted
from tests.seed_runs.hunt import hunt as hunt_by_seeds
from tests.simulation.defects.defect import Defect
from tests.simulation.defects.directed import proves
from tests.simulation.run import Failure, Simulation

FOUND = FoundSeeds(Path(__file__).with_name("found.toml"), "python -m tests.simulation.defects --write")
PATIENCE_S = 20


def hunt(defect: Defect, seeds: Iterable[int]) -> Hunted:
    """Search a defect by seeds, and run its directed test if it has one."""
    proved = proves(defect.directed, defect) if defect.directed else None
    return replace(hunt_by_seeds(defect, seeds, complaint), directed=proved)


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
