"""Reads the OpenAPI and compares responses with it. Shares no code with the service."""

import re
from typing import Any

import httpx2
import schemathesis
from schemathesis.transport import SerializationContext

PROBLEM = "application/problem+json"


@schemathesis.serializer("application/x-ndjson")
def serialize_ndjson(context: SerializationContext, value: Any) -> bytes:
    """Send the generated text as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def operations(openapi: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation by method and path."""
    return {
        (method.upper(), path): operation
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    }


def documented_problems(openapi: dict[str, Any]) -> set[tuple[str, int, str]]:
    """(operation id, status, problem name) of every documented problem."""
    return {
        (operation["operationId"], int(status), name)
        for operation in operations(openapi).values()
        for status, documented in operation["responses"].items()
        for name in documented["content"].get(PROBLEM, {}).get("examples", {})
    }


def check_documented(openapi: dict[str, Any], response: httpx2.Response) -> None:
    """Check that the status and media type of a response are documented."""
    method = "GET" if response.request.method == "HEAD" else response.request.method
    operation = next(
        (
            operation
            for (its_method, path), operation in operations(openapi).items()
            if its_method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), response.request.url.path)
        ),
        None,
    )
    if operation is None:
        return
    documented = operation["responses"].get(str(response.status_code))
    assert documented is not None, f"{response.request.method} {response.request.url} answered {response.status_code}"
    assert response.headers["content-type"].split(";")[0] in documented["content"]


def problem_name(response: httpx2.Response) -> str:
    """The name of a problem response, whose members must be complete."""
    assert response.headers["content-type"] == PROBLEM
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    prefix = "urn:clocksvc:problem:"
    assert body["type"].startswith(prefix)
    return str(body["type"].removeprefix(prefix))
