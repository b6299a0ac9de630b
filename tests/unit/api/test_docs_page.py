"""`/docs` loads nothing from other hosts."""

import base64
import hashlib
import re

from fastapi.testclient import TestClient


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    """Every URL of the page is relative and exists."""
    page = client.get("/docs")
    loads = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    addresses = [first or second for first, second in loads]

    assert page.status_code == 200
    assert len(addresses) >= 4
    for address in addresses:
        if address == "data:,":
            continue
        assert not address.startswith(("/", "http", "//"))
        assert client.get(f"/{address}").status_code == 200


def test_the_assets_are_what_they_say(client: TestClient) -> None:
    """Its script and style may be cached."""
    script, style = client.get("/docs/swagger-ui-bundle.js"), client.get("/docs/swagger-ui.css")

    assert "javascript" in script.headers["content-type"]
    assert "SwaggerUIBundle" in script.text
    assert "max-age" in script.headers["cache-control"]
    assert style.headers["content-type"].startswith("text/css")


def test_only_its_own_scripts_run_and_no_page_can_frame_it(client: TestClient) -> None:
    """Its Content-Security-Policy allows its files, and its one inline script by its hash."""
    page = client.get("/docs")
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert "//" not in page.headers["content-security-policy"]
