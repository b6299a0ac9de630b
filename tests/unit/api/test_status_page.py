"""`/`, the status page: it consists of the package's files only, and no content can be injected."""

import re
import shutil
import zipfile
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from subprocess import run
from sys import executable

import pytest
from fastapi.testclient import TestClient

from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.partition import REJECTIONS
from clocksvc.committed.rules import WaitsFor
from tests.repository import ROOT
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.conftest import ClientOf

ASSETS = Path(str(files("clocksvc.api"))) / "status"
TYPES = {".css": "text/css", ".js": "text/javascript", ".md": "text/plain", ".svg": "image/svg+xml"}
MAX_BYTES = 150_000


def loads(html: str) -> list[str]:
    """The URLs that the HTML loads or links to."""
    return re.findall(r'(?:src|href)="([^"#][^"]*)"', html)


def imports(script: str) -> set[str]:
    """The modules that a script imports."""
    return set(re.findall(r'^import [^;]*?"([^"]+)";', script, re.MULTILINE | re.DOTALL))


def test_the_page_is_html_that_allows_nothing_but_its_own_files(client: TestClient) -> None:
    """No inline script, none from other hosts, no frame around the page, and no caching."""
    page = client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))

    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page.text)


def test_all_files_are_served_with_their_media_types(client: TestClient) -> None:
    """Its URLs are relative, so that it works behind a path prefix; every file is served with its media type."""
    for address in loads(client.get("/").text):
        assert not address.startswith(("/", "http", "data:"))
        assert client.get(f"/{address}").status_code == 200
    for asset in ASSETS.iterdir():
        answer = client.get("/" if asset.name == "index.html" else f"/status/{asset.name}")
        assert answer.content == asset.read_bytes()
        if asset.name != "index.html":
            assert answer.headers["content-type"] == f"{TYPES[asset.suffix]}; charset=utf-8" or asset.suffix == ".svg"
            assert answer.headers["content-security-policy"]


def test_it_travels_packed_where_that_is_understood(client: TestClient) -> None:
    """Files are compressed only for clients that accept gzip."""
    packed = client.get("/status/app.js", headers={"Accept-Encoding": "br, gzip"})
    plain = client.get("/status/app.js", headers={"Accept-Encoding": "br, gzip;q=0"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_every_module_is_asked_for_at_once(client: TestClient) -> None:
    """Every module is preloaded: finding it in another module would cost a round trip."""
    preloaded = {Path(address).name for address in loads(client.get("/").text) if address.endswith(".js")}
    imported = {name for asset in ASSETS.glob("*.js") for name in imports(asset.read_text(encoding="utf-8"))}

    assert imported == {f"./{name}" for name in preloaded - {"app.js"}}
    assert preloaded == {asset.name for asset in ASSETS.glob("*.js")}


def test_no_address_of_another_host_is_in_it() -> None:
    """No file names another host, so that the page works in a closed network. An XML namespace is no URL."""
    for asset in ASSETS.iterdir():
        text = asset.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        if asset.suffix != ".md":
            assert not re.search(r"https?://|[\"'(]//", text), asset.name


def test_it_weighs_little() -> None:
    """The files have less than 150 kB, without the runbook, which is loaded on demand."""
    assert sum(asset.stat().st_size for asset in ASSETS.iterdir() if asset.suffix != ".md") < MAX_BYTES


@pytest.mark.parametrize(
    ("module", "table", "codes"),
    [
        ("advice.js", "ADVICE", Reason),
        ("advice.js", "REJECTED", REJECTIONS),
        ("words.js", "REASONS", Reason),
        ("advice.js", "OBSERVED", WaitsFor),
        ("words.js", "OUTCOMES", REJECTIONS),
        ("words.js", "WAITS_FOR", WaitsFor),
        ("words.js", "STATUSES", Status),
    ],
)
def test_every_code_has_its_words_and_its_advice(module: str, table: str, codes: Iterable[str]) -> None:
    """Every reason, status and rejected outcome has its words on the page, and each that needs it its advice."""
    script = (ASSETS / module).read_text(encoding="utf-8")
    (content,) = re.findall(rf"^const {table} = {{\n(.*?)^}};", script, re.MULTILINE | re.DOTALL)

    assert set(re.findall(r"^  ([a-z_]+): ", content, re.MULTILINE)) == {str(code) for code in codes}


def test_every_reason_has_its_section_in_the_runbook(client: TestClient) -> None:
    """Every reason has exactly one section with "Reason `…`" in the runbook, which is served unchanged."""
    served = client.get("/status/runbook.md").text
    sections = served.split("\n## ")

    assert served == (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for reason in Reason:
        assert len([one for one in sections if f"Reason `{reason}`" in one]) == 1, reason


def test_it_needs_no_token_and_the_clocks_do(client_of: ClientOf, clock_fixture: ClockFixture) -> None:
    """The page needs no token: it has no data of clocks."""
    client = client_of(clock_fixture, tokens=[Token("grafana", "s3cret-of-grafana", frozenset({Scope.READ}))])

    assert client.get("/").status_code == client.get("/status/app.js").status_code == 200
    assert client.get("/v1/clocks").status_code == 401


@pytest.mark.parametrize(
    "path", ["/status", "/status/", "/status/nothing.js", "/status/../page.py", "/status/index.html"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    """Only the files of the folder are served."""
    assert client.get(path).status_code == 404


def test_a_wheel_has_the_page(tmp_path: Path) -> None:
    """A wheel contains all files of the page. Built from a copy, because a build leaves files behind."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "clocksvc", source / "clocksvc", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "docs").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "docs/runbook.md"):
        shutil.copy(ROOT / name, source / name)
    pip = [executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    run([*pip, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for asset in ASSETS.iterdir():
            assert packed.read(f"clocksvc/api/status/{asset.name}") == asset.read_bytes()
