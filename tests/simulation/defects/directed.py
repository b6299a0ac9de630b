"""Runs one test by its id, as pytest would, with the defect in the product. Needs no servers."""

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from typing import Any

import pytest

from tests.interfaces.store_implementations import MemoryStoreImplementation
from tests.simulation.defects.defect import Defect

_STORE_FIXTURES = {"implementation", "store", "leases"}


def _store_fixtures() -> dict[str, object]:
    implementation = MemoryStoreImplementation()
    return {"implementation": implementation, "store": implementation.store, "leases": implementation.leases}


def run_directed(test_id: str) -> None:
    """Run `tests/folder/test_module.py::test_name` with all its parameters. Raises what the test raises."""
    path, name = test_id.split("::")
    test = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    for arguments in _calls(test):
        with pytest.MonkeyPatch.context() as monkeypatch:
            wanted = _wanted(test)
            given: dict[str, object] = {"monkeypatch": monkeypatch, "caplog": _NoLog()}
            given |= _store_fixtures() if set(wanted) & _STORE_FIXTURES else {}
            test(**arguments, **{name: given[name] for name in wanted if name not in arguments})


class _NoLog:
    """Takes the place of pytest's `caplog`."""

    def set_level(self, level: int, logger: str | None = None) -> None:
        """Nothing is captured."""


def _wanted(test: Callable[..., None]) -> tuple[str, ...]:
    function: Any = inspect.unwrap(test)
    names: tuple[str, ...] = function.__code__.co_varnames[: function.__code__.co_argcount]
    return names


def proves(test_id: str, defect: Defect) -> bool:
    """Whether a test passes without a defect and fails with it."""
    run_directed(test_id)
    with defect.patch():  # outside of the try: a patch that can't be applied proves nothing
        try:
            run_directed(test_id)
        except BaseException as error:  # pytest's own failures are not Exceptions
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            return True
    return False


def _calls(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for rows in product(*(_rows(*mark.args) for mark in marks)):
        yield {name: value for row in rows for name, value in row.items()}


def _rows(names: str | tuple[str, ...], values: Any) -> list[dict[str, Any]]:
    if isinstance(names, str):
        return [{names: getattr(value, "values", [value])[0] if hasattr(value, "marks") else value} for value in values]
    return [dict(zip(names, getattr(value, "values", value), strict=True)) for value in values]
