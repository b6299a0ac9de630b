"""A release has one version, and notes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import clocksvc
from release import version as places
from release.notes import SECTIONS, notes
from release.version import PLACES, version, versions, write
from tests.repository import ROOT

pytestmark = pytest.mark.core

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
_HEADING = r"## (\d+)\.(\d+)\.(\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)"


@pytest.mark.parametrize("file", PLACES)
def test_every_file_has_the_projects_version(file: str) -> None:
    """`python -m release.version X.Y.Z` writes it."""
    assert set(versions(file)) == {version()}


def test_the_package_has_the_projects_version() -> None:
    """`clocksvc.__version__`, the API and `/metrics` have that of the installed package."""
    assert clocksvc.__version__ == version()


def test_a_version_is_written_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the files. No old version is left, and nothing else changes."""
    for file in PLACES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.setattr(places, "ROOT", tmp_path)
    old = version()
    write("47.11.0")

    assert version() == "47.11.0"
    for file in PLACES:
        assert set(versions(file)) == {"47.11.0"}
        assert (tmp_path / file).read_text().replace("47.11.0", old) == (ROOT / file).read_text()


@pytest.mark.parametrize("wrong", ["1.2", "v1.2.3", "1.2.3rc1", "1.2.3-rc.1"])
def test_what_is_no_version_is_refused(wrong: str) -> None:
    """The chart needs a semantic version, and the package one of Python: three numbers are both."""
    with pytest.raises(ValueError, match="is not a version"):
        write(wrong)


def test_the_changelog_has_a_part_for_each_version() -> None:
    """Newest first, this version at the top, and only the newest may be unreleased. Sections have the known names."""
    headings = re.findall(r"^## .*", CHANGELOG, re.MULTILINE)
    found = [re.fullmatch(_HEADING, heading) for heading in headings]
    numbers = [tuple(int(part) for part in one.groups()[:3]) for one in found if one]

    assert all(found), headings
    assert numbers == sorted(numbers, reverse=True)
    assert ".".join(map(str, numbers[0])) == version()
    assert not any("unreleased" in heading for heading in headings[1:])
    assert set(re.findall(r"^### (.*)", CHANGELOG, re.MULTILINE)) <= set(SECTIONS)


def test_the_notes_are_the_part_of_a_version() -> None:
    """Without its title, and without other versions; a missing part is an error."""
    text = "# Changes\n\n## 1.1.0 (unreleased)\n\n### Fixed\n- B.\n\n## 1.0.0 (2026-01-02)\n\n### Added\n- A.\n"

    assert notes("1.1.0", text) == "### Fixed\n- B.\n"
    assert notes("1.0.0", text) == "### Added\n- A.\n"
    printed = subprocess.run(
        [sys.executable, "-m", "release.notes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == notes(version(), CHANGELOG)
    with pytest.raises(ValueError, match=r"2\.0\.0"):
        notes("2.0.0", text)
