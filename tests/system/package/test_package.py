"""The wheel and the sdist that `python -m build` makes: complete, and they run where they are installed.

`make soak` installs both with pip's own downloads (`python -m tests.system.package`).
"""

import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release.version import version
from tests.http_client import get
from tests.process import Process
from tests.repository import ROOT
from tests.system.installation import Installation, create_topic
from tests.system.package.distributions import all_packages, build, install, run
from tests.waiting import eventually

pytestmark = pytest.mark.servers

PLAIN = ("redis", "hiredis", "urllib3")
"""What a plain install brings."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel, built once."""
    return build(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    """The wheel."""
    return built[1]


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What an index shows of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"clocksvc-{version()}.dist-info/METADATA"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and what a plain install brings."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    install(wheel, folder, PLAIN)
    return folder


def files(folder: str) -> set[str]:
    """The files of the repository below a folder."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    """Scripts for Redis, the page with its runbook, Kafka's pins and py.typed, too; and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        runbook = archive.read("clocksvc/api/status/runbook.md")

    assert held == files("clocksvc")
    assert {Path(name).suffix for name in held} >= {".lua", ".html", ".js", ".css", ".svg", ".sha256", ".typed"}
    assert runbook == (ROOT / "docs/runbook.md").read_bytes()


def test_the_sdist_has_package_and_documents(built: tuple[Path, Path]) -> None:
    """All that the wheel is built from, the documents with the schema of the tick log, licence and release notes."""
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
        assert all(member.isfile() or member.isdir() for member in archive.getmembers())

    assert files("clocksvc") | files("docs") <= held
    assert {"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "pyproject.toml"} <= held
    assert {"docs/tick-log-record.schema.json", "docs/compose/clocksvc.yaml"} <= held


def test_a_plain_install_brings_two_packages(metadata: Message) -> None:
    """redis (with its parser) and urllib3; everything else only with extras."""
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]

    assert {one.name for one in needed if one.marker is None} == {"redis", "urllib3"}
    assert {one.name for one in needed if one.marker and one.marker.evaluate({"extra": ""})} == set()
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "server",
        "celery",
        "taskbroker",
        "outbox",
        "postgres",
        "consumer",
        "arroyo",
        "aio",
        "dev",
    }


def test_a_plain_install_is_enough_for_a_consumer(environment: Path) -> None:
    """Every public name can be imported, a Reporter can be made, and the command runs. The version is the project's."""
    code = (
        "import importlib.util as u, clocksvc\n"
        "assert not u.find_spec('confluent_kafka') and not u.find_spec('pydantic')\n"
        "assert all(getattr(clocksvc, name) for name in clocksvc.__all__)\n"
        "clocksvc.Reporter('redis://127.0.0.1:1/0', 'c', group='g').close()\n"
        "import clocksvc.redis.scripts\n"
        "print(clocksvc.__version__, clocksvc.__file__)"
    )

    shown, file = run(environment / "bin/python", "-I", "-W", "error", "-c", code).split()
    assert shown == version()
    assert Path(file).is_relative_to(environment)
    assert run(environment / "bin/clocksvc", "--version").split() == ["clocksvc", version()]


def test_the_installed_service_runs(
    environment: Path, tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str
) -> None:
    """`clocksvc serve` of the wheel, outside the repository: ready, with its page and its scripts for Redis."""
    create_topic(bootstrap, key_prefix, 1)
    clocks = {"orders": {"topics": [key_prefix], "group": "g", "interval": "1s"}}
    installation = Installation(tmp_path, bootstrap, redis_url, key_prefix, clocks)
    command = (environment / "bin/clocksvc", "serve", "--config", installation.config)
    with all_packages(environment):
        service = Process(command, tmp_path / "serve.log", cwd="/", environ={"PYTHONPATH": ""})
        try:
            eventually(lambda: get(f"{installation.url}/readyz").status_code == 200, within=30, what="the service")
            page, runbook = get(f"{installation.url}/"), get(f"{installation.url}/status/runbook.md")
            metrics = get(f"{installation.url}/metrics").text
        finally:
            code = service.end()

    assert code == 0, service.output()
    assert "<title>" in page.text
    assert runbook.text == (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    assert f'clocksvc_build_info{{version="{version()}"' in metrics
