"""The OpenAPI against a running service with a real Kafka and Valkey: generated valid and invalid requests, with tokens
for everything, for another clock, and for nothing."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import ignored_auth, missing_required_header, negative_data_rejection, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from clocksvc.api.app import create_app
from tests.unit.cli.conftest import Workspace, wait_ready

pytestmark = pytest.mark.servers

ALL, OTHERS = "all-scopes-0123456789", "another-clock-0123456"
CHECKS = {
    # A day that does not exist, or a time before 1970, fits every schema of a string.
    "positive_data_acceptance": {"enabled": False},
}
API = schemathesis.pytest.from_fixture("api")
"""Its cases are generated when its tests run. Otherwise each process of a parallel run would generate them."""


@pytest.fixture(scope="module")
def schema() -> BaseSchema:
    """The OpenAPI of the service."""
    document = create_app({}, metrics=lambda: (b"", ""), version="0.1.0").openapi()
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict({"checks": CHECKS}))


@pytest.fixture(params=[ALL, OTHERS, None])
def token(request: pytest.FixtureRequest) -> str | None:
    """The token of each request of a test."""
    given: str | None = request.param
    return given


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_url: str, bootstrap: str) -> Iterator[Workspace]:
    """A service that leads its clock."""
    workspace = Workspace(tmp_path_factory.mktemp("openapi"), redis_url, bootstrap, f"openapi-{uuid.uuid4().hex[:12]}")
    workspace.settings["api"]["tokens"] = [
        {"name": "all", "token": ALL, "scopes": ["read", "report", "admin"]},
        {"name": "others", "token": OTHERS, "scopes": ["read", "report", "admin"], "clocks": ["bills"]},
    ]
    workspace.settings["clocks"]["bills"] = {"topics": [f"{workspace.topic}-of-bills"], "group": workspace.group}
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    child = workspace.start("serve", *workspace.write())
    try:
        wait_ready(workspace)
        yield workspace
        child.terminate()
        assert child.wait(20) == 0
        assert "Traceback" not in workspace.output()
    finally:
        workspace.close()


@API.exclude(operation_id="streamTicks").parametrize()
@pytest.mark.usefixtures("token")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_response_is_documented(case: Case[Any], token: str | None, service: Workspace) -> None:
    """No undocumented status, media type or body, and no 5xx. Most requests name the existing clock, and none waits."""
    if len(str(case.path_parameters.get("clock", ""))) % 4:
        case.path_parameters["clock"] = "checkins"
    if case.operation.path.endswith(("/wait", "/ticks")):
        case.query["timeout"] = 0
    case.headers.pop("Authorization", None)
    if token is not None:
        case.headers["Authorization"] = f"Bearer {token}"
    # Whether what does not fit is refused, `test_openapi.py` asks: here the questions have been changed.
    unasked = [not_a_server_error, ignored_auth, missing_required_header, negative_data_rejection]
    response = case.call_and_validate(base_url=service.url, excluded_checks=unasked)

    assert response.status_code != 500
    guarded = case.operation.path.startswith("/v1/") or case.operation.path == "/metrics"
    if guarded and token is None:
        assert response.status_code == 401
    if guarded and token == OTHERS and "{clock}" in case.operation.path:
        assert 400 <= response.status_code < 500
