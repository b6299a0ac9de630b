"""Runs of many seeds in several processes, and of one seed with its story."""

import gc
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Counted(Protocol):
    """The result of a seed."""

    @property
    def counts(self) -> Counter[str]:
        """What was done and judged."""


class Seeded(Protocol):
    """A simulation with a seed."""

    @property
    def result(self) -> Counted:
        """What it has counted so far."""

    def run(self) -> object:
        """Run it to its end."""


S = TypeVar("S", bound=Seeded)


def in_parallel(run: Callable[[range], T], seeds: range, jobs: int, chunk: int) -> Iterator[T]:
    """Yield the results of parts of `chunk` seeds, as soon as each is there.

    Args:
        run: runs the seeds of a part. A function of a module, because it runs in other processes.
        jobs: the number of processes; with 1, the seeds run in this one.
    """
    chunks = [seeds[start : start + chunk] for start in range(0, len(seeds), chunk)]
    if jobs == 1:
        yield from map(run, chunks)
        return
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(run, chunks)


def replay(seed: int, simulation: S, failure: type[Exception], story: Callable[[S], str] | None) -> int:
    """Run one seed, and print its story and what it broke. Returns 1 if it broke a promise.

    Args:
        failure: what the simulation raises if a promise is broken.
        story: every step of the run as text; None to print none.
    """
    logging.disable(logging.CRITICAL)
    broken: Exception | None = None
    try:
        simulation.run()
    except failure as found:
        broken = found
    if story is not None:
        print(story(simulation))
    print(broken or f"seed {seed} breaks no promise: {dict(simulation.result.counts)}")
    return int(broken is not None)
