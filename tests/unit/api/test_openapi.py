"""The OpenAPI is complete, and responses to generated requests match it."""

import re
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import negative_data_rejection
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from clocksvc.api.app import create_app
from clocksvc.api.tokens import Scope, Token
from tests.faulty.clock_views import views_of
from tests.unit.api.clock_fixture import NOON, ClockFixture, ticks
from tests.unit.api.openapi_contract import PROBLEM, operations
from tests.unit.api.schedule_fixture import ScheduleFixture

SECRET = "secret-0123456789"
REJECTIONS = [400, 401, 403, 404, 405, 406, 413, 415, 422]
CHECKS = {
    "negative_data_rejection": {"expected-statuses": REJECTIONS},
    # A day that does not exist, or a time before 1970, fits every schema of a string.
    "positive_data_acceptance": {"enabled": False},
}
API = schemathesis.pytest.from_fixture("api")
"""Its cases are generated when its test runs. Otherwise each process of a parallel run would generate them."""


class Bearer:
    """Adds the token; schemathesis also tries without one, and with a wrong one."""

    def get(self, case: Case[Any], context: schemathesis.AuthContext) -> str:
        """The token."""
        return SECRET

    def set(self, case: Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        """Set the header."""
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The API of a clock with ticks."""
    clock = ClockFixture(keep=3)
    clock.have(ticks(10)[1:])
    clock.report(NOON, NOON - 60)
    clock.read()
    schedules = ScheduleFixture()
    schedules.add("monitor-1")
    return create_app(
        views_of(clock.view),
        access={"checkins": schedules.access},
        tokens=[Token("all", SECRET, frozenset(Scope))],
        metrics=lambda: (b"clocksvc_build_info 1\n", "text/plain; version=0.0.4; charset=utf-8"),
        version="0.1.0",
    )


@pytest.fixture(scope="module")
def schema(app: FastAPI) -> BaseSchema:
    """The OpenAPI of this app."""
    config = SchemathesisConfig.from_dict({"checks": CHECKS})
    made = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    made.auth()(Bearer)
    return made


def test_every_operation_reads_well(openapi: dict[str, Any]) -> None:
    """Every operation has an id, a summary, a description and a documented tag."""
    tags = {tag["name"] for tag in openapi["tags"]}
    for (method, path), operation in operations(openapi).items():
        assert re.fullmatch("[a-z]+[A-Za-z]*", operation["operationId"]), (method, path)
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags
        assert len(operation["tags"]) == 1


def test_every_parameter_is_described(openapi: dict[str, Any]) -> None:
    """Every parameter has a description, and times have an example."""
    for operation in operations(openapi).values():
        for parameter in operation.get("parameters", []):
            assert parameter["description"], parameter["name"]
            if parameter["name"] in ("after", "until"):
                assert parameter["schema"]["examples"]


def test_every_problem_has_an_example(openapi: dict[str, Any]) -> None:
    """Every documented problem has an example with its status."""
    for operation in operations(openapi).values():
        for status, response in operation["responses"].items():
            if status == "200":
                continue
            assert list(response["content"]) == [PROBLEM]
            for example in response["content"][PROBLEM]["examples"].values():
                assert example["value"]["status"] == int(status)
                assert example["value"]["detail"]


def test_tokens_are_asked_for_everywhere_but_at_probes(openapi: dict[str, Any]) -> None:
    """Each operation on data names the security scheme."""
    for operation in operations(openapi).values():
        assert bool(operation.get("security")) == (operation["operationId"] not in ("live", "ready"))


@API.exclude(operation_id="streamTicks").parametrize()
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_response_is_documented(case: Case[Any]) -> None:
    """No 5xx and no undocumented status, media type or body; invalid requests are rejected."""
    query = case.query
    if case.path.endswith("/wait"):
        query.setdefault("timeout", 0)
    try:
        if 0 <= float(query["timeout"]) <= 55:
            query["timeout"] = 0
    except (KeyError, TypeError, ValueError):
        pass
    # An import accepts each text, and rejects its lines.
    any_body = [negative_data_rejection] if case.method == "POST" and case.path.endswith("/schedules") else []
    case.call_and_validate(excluded_checks=any_body)


@given(after=st.one_of(st.none(), st.text(max_size=30)), last_id=st.one_of(st.none(), st.binary(max_size=20)))
@settings(max_examples=300)
def test_a_stream_with_any_cursor(app: FastAPI, after: str | None, last_id: bytes | None) -> None:
    """A stream begins, or is a documented problem; HEAD, so that it ends."""
    headers = [(b"Authorization", f"Bearer {SECRET}".encode())]
    headers += [] if last_id is None else [(b"Last-Event-ID", last_id)]
    params = {} if after is None else {"after": after}
    response = TestClient(app).head("/v1/clocks/checkins/ticks/stream", params=params, headers=headers)

    assert response.status_code in (200, 422)
