"""Explores interleavings of an author's consumer: many seeds, a failing one made short, and its steps in words."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from clocksvc.interfaces.time import SystemTime
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import BrokenPromise
from clocksvc.testing.consumer.record import Record
from clocksvc.testing.consumer.storm import Storm

if TYPE_CHECKING:
    from clocksvc.testing.consumer.run import ConsumerRun

Build: TypeAlias = "Callable[[], ConsumerRun]"
Check: TypeAlias = "Callable[[ConsumerRun], None] | None"

CALM = "from now on, everything succeeds"
"""The step after which nothing fails any more."""
_MOST_REPLAYS = 400
"""How often a failing seed is run again with fewer steps."""


@dataclass
class Explored:
    """The result of an exploration in which nothing failed.

    Attributes:
        seeds: how many seeds were run.
        seconds: how long it took.
        hits: how often each interleaving came.
    """

    seeds: int = 0
    seconds: float = 0.0
    hits: Counter[Interleaving] = field(default_factory=Counter)

    @property
    def never(self) -> Sequence[Interleaving]:
        """The interleavings that did not come."""
        return [one for one in Interleaving if not self.hits[one]]

    def __str__(self) -> str:
        lines = [f"{self.hits[one]:>9}  {one}" for one in Interleaving]
        return "\n".join([f"{self.seeds} seeds, {self.seconds:.1f} s", *lines])


@dataclass(frozen=True)
class Exploration:
    """What an exploration runs for each seed: see `ConsumerRun.explore`."""

    build: Build
    records: Sequence[Record | bytes]
    check: Check

    def all(self, seeds: Iterable[int]) -> Explored:
        """Run seeds. Raises AssertionError with the steps of the first one that fails."""
        explored, began = Explored(), SystemTime().monotonic()
        with _quiet():
            for seed in seeds:
                try:
                    run = self._play(seed)
                except AssertionError as error:
                    raise AssertionError(self._describe(seed, error)) from error
                explored.seeds += 1
                explored.hits.update(run.world.judge.hits)
        explored.seconds = SystemTime().monotonic() - began
        return explored

    def story(self, seed: int) -> str:
        """Return all steps of one seed, numbered. Never raises because of the consumer."""
        with _quiet():
            story, error = self._tell(seed, None)
        return f"{_numbered(story)}\n{error or 'nothing fails'}"

    def failure(self, seed: int) -> str | None:
        """Run one seed, and return in one line what failed; None if nothing did. Other exceptions are failures, too."""
        with _quiet():
            try:
                self._play(seed)
            except AssertionError as error:
                return str(error).partition("\n")[0]
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        return None

    def _play(self, seed: int, steps: Sequence[int] | None = None, story: list[str] | None = None) -> "ConsumerRun":
        run = self.build()
        run.world.story = story
        storm = Storm(run, self.records, seed)
        storm.play(storm.steps() if steps is None else steps)
        if self.check is not None:
            self.check(run)
        return run

    def _tell(self, seed: int, steps: Sequence[int] | None) -> tuple[list[str], AssertionError | None]:
        story: list[str] = []
        try:
            self._play(seed, steps, story)
        except AssertionError as error:
            return story, error
        return story, None

    def _describe(self, seed: int, error: AssertionError) -> str:
        steps = self._steps(seed)
        fewer = self._shrink(seed, steps, _kind(error))
        story, found = self._tell(seed, fewer)
        if not isinstance(found, BrokenPromise) and CALM in story:
            # `check` has failed at the end. What led to it is in front.
            del story[story.index(CALM) + 1 :]
        text = _numbered(story)
        return (
            f"seed {seed}: {found or error}\n{len(fewer)} of its {len(steps)} steps are enough:\n{text}\n"
            f"All of its steps: ConsumerRun.replay(build, records=…, seed={seed})"
        )

    def _steps(self, seed: int) -> Sequence[int]:
        return Storm(self.build(), self.records, seed).steps()

    def _shrink(self, seed: int, steps: Sequence[int], kind: Hashable) -> Sequence[int]:
        """Leave out steps, as long as the same promise is broken."""
        left, size = _MOST_REPLAYS, len(steps) // 2
        while size:
            first = 0
            while first < len(steps) and left:
                left -= 1
                fewer = [*steps[:first], *steps[first + size :]]
                _, error = self._tell(seed, fewer)
                if error is not None and _kind(error) == kind:
                    steps = fewer
                else:
                    first += size
            size //= 2
        return steps


def _kind(error: AssertionError) -> Hashable:
    """Return what failed: the promise, or the line of the author's check, because its text can have values."""
    if isinstance(error, BrokenPromise):
        return str(error).partition(":")[0]
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at and (at.tb_frame.f_code, at.tb_lineno)


def _numbered(story: Sequence[str]) -> str:
    return "\n".join(f"{number:>4}. {line}" for number, line in enumerate(story, 1))


@contextmanager
def _quiet() -> Iterator[None]:
    """The consumer logs each failure, and here most of them are wanted."""
    logger = logging.getLogger("clocksvc.consumer")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
