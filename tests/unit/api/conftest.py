"""Fixtures: a clock, and a client that compares every response with the OpenAPI."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from schemathesis.schemas import BaseSchema

from clocksvc.api.allowed_hosts import AllowedHosts
from clocksvc.api.app import create_app
from clocksvc.api.schedule_access import ScheduleAccess
from clocksvc.api.tokens import Token
from tests.faulty.clock_views import views_of
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.openapi_contract import check_documented

ClientOf = Callable[..., TestClient]


@pytest.fixture
def clock_fixture() -> ClockFixture:
    """A clock with a leader, without ticks."""
    return ClockFixture()


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The OpenAPI of the service."""
    made: dict[str, Any] = create_app(views_of(), metrics=lambda: (b"", ""), version="0.1.0").openapi()
    return made


@pytest.fixture
def api(request: pytest.FixtureRequest, schema: BaseSchema) -> BaseSchema:
    """A module's `schema`, for schemathesis: it reads an attribute of the test that pytest 9 has renamed."""
    request.node._nodeid = request.node.nodeid
    return schema


@pytest.fixture
def client_of(openapi: dict[str, Any]) -> Iterator[ClientOf]:
    """Makes clients of an application with these clocks. A feed reads only when `read()` of its fixture is called."""
    with ExitStack() as stack:

        def make(
            *fixtures: ClockFixture,
            tokens: Sequence[Token] = (),
            token: str | None = None,
            hosts: AllowedHosts | None = None,
            access: Mapping[str, ScheduleAccess] = {},
        ) -> TestClient:
            app = create_app(
                views_of(*(clock_fixture.view for clock_fixture in fixtures)),
                access=access,
                tokens=tokens,
                hosts=hosts,
                metrics=lambda: (b"clocksvc_build_info 1\n", "text/plain; version=0.0.4; charset=utf-8"),
                version="0.1.0",
            )

            def check(response: httpx2.Response) -> None:
                check_documented(openapi, response)

            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            client = stack.enter_context(TestClient(app, headers=headers, raise_server_exceptions=False))
            client.event_hooks["response"].append(check)
            return client

        yield make


@pytest.fixture
def client(clock_fixture: ClockFixture, client_of: ClientOf) -> TestClient:
    """A client of the one clock, whose feed has read."""
    clock_fixture.read()
    return client_of(clock_fixture)
