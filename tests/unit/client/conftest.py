"""Fixtures: the functions of `clocksvc` and of `clocksvc.aio`."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.unit.client.drivers import Driver, driver_of

KINDS = ("sync", "async")


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """The functions of `clocksvc`, then those of `clocksvc.aio`."""
    with ExitStack() as cleanup:
        yield driver_of(request.param, cleanup)


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    """Both of them, for a test whose service takes time to start."""
    with ExitStack() as cleanup:
        yield [driver_of(kind, cleanup) for kind in KINDS]
