"""The tree of errors that the docstring of `clocksvc.errors` draws is the tree of classes."""

import inspect
import re

import pytest

from clocksvc import errors
from clocksvc.clock.tick import Tick, cursor_too_old
from clocksvc.errors import ClocksvcError, InvalidValue

pytestmark = pytest.mark.core

_LINE = re.compile(r"^((?:│   |    )*)(├── |└── )?([A-Z]\w+)(?: {2,}.+)?$")


def drawn() -> list[tuple[str, str | None]]:
    """(error, the one it stands under), from top to bottom, as the docstring draws them."""
    found: list[tuple[str, str | None]] = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is None or not (match[2] or match[3] == "ClocksvcError"):
            continue
        depth = len(match[1]) // 4 + 1 if match[2] else 0
        found.append((match[3], above[depth - 1] if depth else None))
        above[depth:] = [match[3]]
    return found


def classes() -> list[type[ClocksvcError]]:
    """Every error class of the module, in the order of its definition."""
    members = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    ours = [member for member in members if issubclass(member, ClocksvcError)]
    return sorted(ours, key=lambda member: inspect.getsourcelines(member)[1])


def test_the_tree_is_the_classes() -> None:
    """Every error is drawn once, under the error that it is a kind of, in the order of the file."""
    defined = [
        (error.__name__, None if error is ClocksvcError else str(error.__bases__[0].__name__)) for error in classes()
    ]

    assert drawn() == defined


def test_the_module_holds_nothing_but_errors() -> None:
    """Catching ClocksvcError catches all errors that clocksvc raises on purpose."""
    made_here = [name for name, value in vars(errors).items() if getattr(value, "__module__", None) == errors.__name__]

    assert sorted(made_here) == sorted(error.__name__ for error in classes())


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_every_error_says_what_it_means(error: type[ClocksvcError]) -> None:
    """Each has a sentence of its own, which is its message where the raiser has no better one."""
    sentence = (vars(error).get("__doc__") or "").strip()

    assert re.fullmatch(r"[A-Z][^\n]+\.", sentence)
    if "__init__" not in vars(error):
        assert str(error()) == sentence
        assert str(error("the reason")) == "the reason"


def test_an_invalid_value_names_all_three() -> None:
    """The field, the value, and what would be right; and it is a ValueError to those who know no more."""
    error = InvalidValue("interval", "0s", "wanted whole seconds from 1s to 1d")

    assert str(error) == "interval: '0s' is not valid: wanted whole seconds from 1s to 1d"
    assert (error.field, error.value, error.wanted) == ("interval", "0s", "wanted whole seconds from 1s to 1d")
    assert isinstance(error, ValueError)


def test_a_cursor_too_old_names_the_oldest_kept() -> None:
    """A subscriber learns where it can go on."""
    error = cursor_too_old(60_000, Tick("checkins", 180_000, 120_000, 60_000, 180_000))

    assert str(error) == (
        "ticks after 1970-01-01T00:01:00Z are no longer kept; the oldest kept tick is 1970-01-01T00:03:00Z"
    )
    assert (error.cursor_ms, error.oldest_ms, error.oldest_previous_ms) == (60_000, 180_000, 120_000)
