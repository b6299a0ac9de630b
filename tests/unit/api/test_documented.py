"""docs/http.md has every route of the OpenAPI, and every problem of the operator overrides."""

from typing import Any

from tests.repository import ROOT
from tests.unit.api.openapi_contract import documented_problems, operations

DOCUMENT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


def test_every_address_is_in_the_document(openapi: dict[str, Any]) -> None:
    """Each route is named, with its method unless it is GET."""
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]

    for method, path in operations(openapi):
        row = next((row for row in rows if f"{path}`" in row), "")
        assert row, f"docs/http.md has no row for {path}"
        assert method in row or (method == "GET" and "`/" in row), f"docs/http.md does not say {method} {path}"


def test_what_is_known_of_an_outcome_is_in_the_document(openapi: dict[str, Any]) -> None:
    """Each problem that an override request can get is named by its type."""
    outcomes = {
        (status, name)
        for operation, status, name in documented_problems(openapi)
        if operation == "exclude" and (status == 504 or status == 422 or name in ("not-done", "store-unavailable"))
    }

    assert len(outcomes) == 4
    for status, name in outcomes:
        assert any(row.startswith(f"| {status}") and f"`{name}`" in row for row in DOCUMENT.splitlines()), name
