"""What a deliberate defect is, and helpers to write one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Patch = Callable[[], AbstractContextManager[object]]


class Promise(StrEnum):
    """The promise that a defect breaks."""

    NEVER_EARLY = "never early"
    NEVER_LOST = "never lost, never twice, in order"
    NEVER_BACK = "never back"
    NEVER_SILENT = "never silent"
    REBUILT = "the store holds nothing that can't be rebuilt"
    ALIVE = "the clock goes on once trouble is over"


@dataclass(frozen=True, slots=True)
class Defect:
    """One deliberate bug in the product.

    Attributes:
        name: for the command line and the table.
        does: what the product does then, in a sentence.
        breaks: the promise that this breaks.
        words: the beginnings of messages that fit the defect.
        patch: makes the defect, for the duration of the context.
        directed: the id of a test that always finds it; "" if there is none.
    """

    name: str
    does: str
    breaks: Promise
    words: tuple[str, ...]
    patch: Patch
    directed: str = ""


def defect(does: str, breaks: Promise, *words: str, directed: str = "") -> Callable[[Patch], Defect]:
    """Make a defect from a function that returns its patch. The function's name is the defect's name."""

    def make(patch: Patch) -> Defect:
        name = getattr(patch, "__name__", "").replace("_", "-")
        return Defect(name, does, breaks, words, patch, directed and f"tests/{directed}")

    return make


@contextmanager
def together(*patches: AbstractContextManager[object]) -> Iterator[None]:
    """Several patches that make one defect."""
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


class _Altered:
    def __init__(self, keeper: object, instead: dict[str, Callable[..., object]]) -> None:
        self._keeper, self._instead = keeper, instead

    def __getattr__(self, name: str) -> object:
        return self._instead.get(name) or getattr(self._keeper, name)


def altered(keeper: object, **instead: Callable[..., object]) -> Any:
    """An implementation with some methods replaced."""
    return _Altered(keeper, instead)
