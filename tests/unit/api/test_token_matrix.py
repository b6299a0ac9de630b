"""Every route with every kind of token. The routes are read from the application, so that a new route without a check
fails."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from clocksvc.api import pages
from clocksvc.api.app import create_app
from clocksvc.api.tokens import Scope, Token
from tests.faulty.clock_views import views_of
from tests.unit.api.clock_fixture import ClockFixture, ticks
from tests.unit.api.schedule_fixture import ScheduleFixture

OPEN = {"/", "/livez", "/readyz", "/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"}
OPEN |= {f"/status/{one.name}" for one in (Path(pages.__file__).parent / "status").iterdir()} - {"/status/index.html"}
ALL_CLOCKS = {"/metrics"}
OWN, OTHER, MISSING = "checkins", "payments", "nosuch"
EVERY = ("read", "report", "schedule", "admin")
SCOPES = [set(chosen) for size in (1, 2, 3, 4) for chosen in itertools.combinations(EVERY, size)]
NOT_A_BODY = {"unknown": "field"}


def secret_of(scopes: set[str], everywhere: bool) -> str:
    """The secret of the token with these scopes, for all clocks or for `checkins` alone."""
    return f"{'-'.join(sorted(scopes))}-{'everywhere' if everywhere else 'one-clock-only'}"


TOKENS = [
    Token(
        secret_of(scopes, everywhere),
        secret_of(scopes, everywhere),
        frozenset(map(Scope, scopes)),
        None if everywhere else frozenset({OWN}),
    )
    for scopes in SCOPES
    for everywhere in (True, False)
]


def routes_of(routes: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of all routes, those of included routers and those that the OpenAPI hides too."""
    for route in routes:
        inner = getattr(route, "original_router", route)
        if getattr(inner, "routes", None):
            yield from routes_of(inner.routes)
        else:
            yield from ((method, route.path) for method in route.methods if method != "HEAD")


def application() -> FastAPI:
    """Two clocks, each with a tick."""
    fixtures = [ClockFixture(OWN), ClockFixture(OTHER)]
    for clock_fixture in fixtures:
        clock_fixture.publish(*ticks(1, clock=clock_fixture.spec.name))
        clock_fixture.read()
    views = views_of(*(clock_fixture.view for clock_fixture in fixtures))
    access = {name: ScheduleFixture(name).access for name in views}
    return create_app(views, access=access, tokens=TOKENS, metrics=lambda: (b"", "text/plain"), version="0.1.0")


APP = application()
ROUTES = sorted(set(routes_of(APP.routes)))
GUARDED = [(method, path) for method, path in ROUTES if path not in OPEN]


def needed(method: str, path: str) -> set[str]:
    """The scopes of which a route must require one, by its method and path; by default `admin`."""
    if "/schedules" in path:
        return {"schedule", "read"} if path.endswith("/missed-runs") else {"schedule"}
    if method == "GET":
        return {"read"}
    return {"report"} if (method, path) == ("POST", "/v1/clocks/{clock}/reports") else {"admin"}


def asked(client: TestClient, method: str, path: str, clock: str, secret: str | None) -> httpx2.Response:
    """Send a request that changes nothing and does not wait: HEAD for GET, and an invalid body."""
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    address = path.replace("{clock}", clock).replace("{id}", "monitor-1")
    if method == "GET":
        return client.head(address, headers=headers)
    return client.request(method, address, headers=headers, json=NOT_A_BODY)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """A client of the application."""
    with TestClient(APP, follow_redirects=False) as made:
        yield made


def test_the_routes_are_all_seen() -> None:
    """The routes include all of the OpenAPI."""
    shown = {(method.upper(), path) for path, methods in APP.openapi()["paths"].items() for method in methods}

    assert shown <= set(ROUTES)
    assert len(GUARDED) >= 8
    assert all(path.startswith("/v1/") or path in ALL_CLOCKS for _, path in GUARDED)


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_holds_no_data_needs_no_token(client: TestClient, path: str) -> None:
    """Pages and probes need no token."""
    assert asked(client, "GET", path, OWN, None).status_code == 200


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_valid_token_the_response_is_401(client: TestClient, method: str, path: str) -> None:
    """401 without a token, for any clock."""
    for clock in (OWN, MISSING):
        for secret in (None, "an-unknown-secret", TOKENS[0].secret + "x"):
            assert asked(client, method, path, clock, secret).status_code == 401


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: ",".join(sorted(scopes)))
def test_each_route_asks_for_its_scope(client: TestClient, method: str, path: str, scopes: set[str]) -> None:
    """403 without the required scope; only `admin` implies another one, `read`."""
    enough = needed(method, path)
    may = bool(enough & scopes) or ("read" in enough and "admin" in scopes)

    status = asked(client, method, path, OWN, secret_of(scopes, everywhere=True)).status_code

    assert (status not in (401, 403)) if may else (status == 403)
    assert status < 500


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_token_for_one_clock_opens_no_other(client: TestClient, method: str, path: str) -> None:
    """A token for one clock: other clocks and clocks that do not exist get the same response."""
    secret = secret_of(set(EVERY), everywhere=False)
    own, other, missing = (asked(client, method, path, clock, secret) for clock in (OWN, OTHER, MISSING))

    if "{clock}" in path:
        assert own.status_code not in (401, 403)
        assert (other.status_code, missing.status_code) == (403, 403)
        assert other.content == missing.content
    else:
        assert (own.status_code == 403) == (path in ALL_CLOCKS)


def test_a_route_without_a_check_would_be_seen() -> None:
    """A control: without the check of scopes the matrix fails."""
    app = application()

    async def careless() -> dict[str, str]:
        return {}

    app.router.routes.append(APIRoute("/v1/clocks/{clock}/careless", careless, methods=["GET"]))
    assert ("GET", "/v1/clocks/{clock}/careless") in set(routes_of(app.routes))
    with TestClient(app) as client:
        secret = secret_of({"report"}, everywhere=True)
        assert asked(client, "GET", "/v1/clocks/{clock}/careless", OWN, secret).status_code == 200


@pytest.mark.parametrize("given", [TOKENS[0].secret, TOKENS[-1].secret, "an-unknown-secret", "x"])
def test_every_token_is_compared_in_constant_time(client: TestClient, given: str) -> None:
    """Every configured token is compared, in constant time."""
    compared = []

    def compare(secret: bytes, other: bytes) -> bool:
        compared.append((secret.decode(), other.decode()))
        return secret == other

    with patch("clocksvc.api.tokens.hmac.compare_digest", compare):
        asked(client, "GET", "/v1/clocks", OWN, given)

    assert compared == [(token.secret, given) for token in TOKENS]
