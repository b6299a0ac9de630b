"""Runs one test by its id, as pytest would, with the defect in the product. Needs no servers."""

from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import product
from typing import Any

from clocksvc.interfaces.time import SystemTime
from tests.faulty.store import FaultyStore
from tests.interfaces.store_examples import CLOCK
from tests.simulation.defects.defect import Defect

_FIXTURES: dict[str, Callable[[], object]] = {"store": lambda: FaultyStore(CLOCK, SystemTime())}


def run_directed(test_id: str) -> None:
    """Run `tests/folder/test_module.py::test_name` with all its parameters. Raises what the test raises."""
    path, name = test_id.split("::")
    test = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    for arguments in _calls(test):
        test(**arguments)


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
        given = {name: value for row in rows for name, value in row.items()}
        wanted = test.__code__.co_varnames[: test.__code__.co_argcount]
        yield given | {name: _FIXTURES[name]() for name in wanted if name not in given}


def _rows(names: str | tuple[str, ...], values: Any) -> list[dict[str, Any]]:
    if isinstance(names, str):
        return [{names: getattr(value, "values", [value])[0] if hasattr(value, "marks") else value} for value in values]
    return [dict(zip(names, getattr(value, "values", value), strict=True)) for value in values]
