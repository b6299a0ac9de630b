"""The OpenAPI against a running service and scheduler with a real Kafka and Valkey: generated valid and invalid
requests, with tokens for everything, for another clock, and for nothing; and the document's commands for schedules."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import ignored_auth, missing_required_header, negative_data_rejection, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from clocksvc.api.app import create_app
from tests.faulty.clock_views import views_of
from tests.system.docs.blocks import commands
from tests.unit.cli.conftest import Workspace, wait_ready
from tests.waiting import eventually

pytestmark = pytest.mark.servers

ALL, OTHERS = "all-scopes-0123456789", "another-clock-0123456"
CLOCK = "openapi-checkins"
PATH = f"/v1/clocks/{CLOCK}/schedules"
CHECKS = {
    # A day that does not exist, or a time before 1970, fits every schema of a string.
    "positive_data_acceptance": {"enabled": False},
}
API = schemathesis.pytest.from_fixture("api")
"""Its cases are generated when its tests run. Otherwise each process of a parallel run would generate them."""


@pytest.fixture(scope="module")
def schema() -> BaseSchema:
    """The OpenAPI of the service."""
    document = create_app(views_of(), metrics=lambda: (b"", ""), version="0.1.0").openapi()
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
    every = ["read", "report", "schedule", "admin"]
    workspace.settings["api"]["tokens"] = [
        {"name": "all", "token": ALL, "scopes": every},
        {"name": "others", "token": OTHERS, "scopes": every, "clocks": ["bills"]},
    ]
    # Topics of schedules have the name of their clock, and other tests use the same Kafka.
    workspace.clock["schedules"] = {"partitions": 2}
    workspace.settings["clocks"] = {CLOCK: workspace.clock}
    workspace.settings["scheduler"] = {"port": 0}
    workspace.settings["clocks"]["bills"] = {"topics": [f"{workspace.topic}-of-bills"], "group": workspace.group}
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    configuration = workspace.write()
    children = [workspace.start(program, *configuration) for program in ("scheduler", "serve")]
    try:
        wait_ready(workspace)
        eventually(
            lambda: request("GET", workspace.url + PATH, ALL).status == 200, within=30, what="owners of schedules"
        )
        yield workspace
        for child in children:
            child.terminate()
        assert [child.wait(20) for child in children] == [0, 0]
        assert "Traceback" not in workspace.output()
    finally:
        workspace.close()


def request(method: str, url: str, token: str) -> urllib3.BaseHTTPResponse:
    """The response to a request without a body."""
    return urllib3.request(method, url, headers={"Authorization": f"Bearer {token}"}, retries=False, timeout=20)


def test_the_commands_of_the_document(service: Workspace, tmp_path: Path) -> None:
    """The commands for schedules in docs/http.md, one after the other: their output is the one that is shown."""
    (tmp_path / ".curlrc").write_text(f'silent\nheader = "Authorization: Bearer {ALL}"\n')
    shown = [command for command in commands("docs/http.md") if "/schedules" in command.text]
    outputs = []
    for command in shown:
        text = command.text.replace("localhost:8080/v1/clocks/checkins", f"{service.url}/v1/clocks/{CLOCK}")
        environment = {**os.environ, "CURL_HOME": str(tmp_path)}
        done = subprocess.run(["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)

    assert set(json.loads(outputs[0])) == set(json.loads(shown[0].shown))
    (exported,) = (json.loads(line) for line in (tmp_path / "schedules.ndjson").read_text().splitlines())
    (result,) = (json.loads(line) for line in (tmp_path / "results.ndjson").read_text().splitlines())
    assert exported["payload"] == {"url": "https://example.com"}
    assert (result["line"], result["id"], result["status"]) == (1, "monitor-1", 200)
    assert result["offset"] > json.loads(outputs[0])["offset"]
    assert request("DELETE", f"{service.url}{PATH}/monitor-1", OTHERS).status == 403
    assert request("DELETE", f"{service.url}{PATH}/monitor-1", ALL).status == 200


@API.exclude(operation_id="streamTicks").parametrize()
@pytest.mark.usefixtures("token")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_response_is_documented(case: Case[Any], token: str | None, service: Workspace) -> None:
    """No undocumented status, media type or body, and no 5xx. Most requests name the existing clock, and none waits."""
    if len(str(case.path_parameters.get("clock", ""))) % 4:
        case.path_parameters["clock"] = CLOCK
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
