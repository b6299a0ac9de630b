"""Everything that is downloaded is pinned by its content. The Dockerfile and compose.yaml: tests/system/ops/container.

For Kafka's jars, see dev/test_kafka_jars.py; for the Go modules of `make test-ops`, tests/system/ops/test_programs.py.
"""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import ROOT

pytestmark = pytest.mark.core

FILES = sorted((ROOT / "requirements").glob("*.txt"))
_PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?P<marker> ; .+?)?(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, str]:
    """The versions in one of the files, by package."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return {pin["name"]: pin["version"] for pin in _PIN.finditer(text)}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_package_is_pinned_with_hashes(file: Path) -> None:
    """The files have pins with hashes, comments, and nothing else: no address, no option, no range of versions."""
    text = file.read_text(encoding="utf-8")

    assert _PIN.search(text)
    assert [line for line in _PIN.sub("", text).splitlines() if not line.startswith("#")] == []


def test_no_package_has_two_versions() -> None:
    """The files are installed together, except that of Go."""
    found: dict[str, str] = {}
    for name in ("service", "taskbroker", "build", "test"):
        for package, version in pins(name).items():
            assert found.setdefault(package, version) == version


TABLES = {**PROJECT["project"]["optional-dependencies"], **PROJECT["dependency-groups"]}
TABLES["plain"] = PROJECT["project"]["dependencies"]


@pytest.mark.parametrize(
    ("files", "tables"),
    [
        ("service", "plain server celery"),
        ("service taskbroker", "taskbroker"),
        ("service test", "dev"),
        ("service taskbroker build test", "test"),
        ("build", "build"),
        ("go", "go"),
        ("floors", "floors"),
    ],
)
def test_the_pins_are_what_the_project_needs(files: str, tables: str) -> None:
    """Each requirement in pyproject.toml has a pin in its range. `make requirements` writes them."""
    pinned = {package: version for name in files.split() for package, version in pins(name).items()}
    needed = [Requirement(line) for table in tables.split() for line in TABLES[table]]

    for requirement in needed:
        if requirement.name != "clocksvc":
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_make_installs_only_what_is_pinned() -> None:
    """Each pip of the Makefile verifies hashes, or has no index."""
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", ".venv/.installed"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    installs = [line for line in printed.splitlines() if re.search(r"-m pip install --quiet", line)]

    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_the_actions_of_the_ci_are_pinned() -> None:
    """By commit, with the version beside it: a tag can be moved."""
    workflows = (ROOT / ".github" / "workflows").glob("*.yml")
    used = re.findall(r"uses: (.*)", "\n".join(path.read_text(encoding="utf-8") for path in workflows))

    assert used
    assert [one for one in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", one)] == []
