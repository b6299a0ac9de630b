"""Fixtures: a clock to read from, and a client whose every answer is compared with the OpenAPI."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api.app import create_app
from clocksvc.api.tokens import Token
from tests.unit.api.bed import Bed
from tests.unit.api.contract import check_documented

ClientOf = Callable[..., TestClient]


@pytest.fixture
def bed() -> Bed:
    """A led clock without ticks."""
    return Bed()


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """What the service says of itself."""
    made: dict[str, Any] = create_app({}, metrics=lambda: (b"", ""), version="0.1.0").openapi()
    return made


@pytest.fixture
def client_of(openapi: dict[str, Any]) -> Iterator[ClientOf]:
    """Makes clients of an application over beds; the feeds see what they see when `bed.read()` is called."""
    with ExitStack() as stack:

        def make(*beds: Bed, tokens: Sequence[Token] = (), token: str | None = None) -> TestClient:
            app = create_app(
                {bed.spec.name: bed.view for bed in beds},
                tokens=tokens,
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
def client(bed: Bed, client_of: ClientOf) -> TestClient:
    """A client of the one bed, whose feed has read."""
    bed.read()
    return client_of(bed)
