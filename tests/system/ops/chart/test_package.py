"""The archive of `helm package`, which `make dist` writes: complete, valid, and the same as the folder."""

import tarfile
from pathlib import Path

import pytest

from release.version import version
from tests.repository import ROOT
from tests.system.ops.chart.rendering import CHART, Helm
from tests.system.ops.chart.value_sets import MATRIX


@pytest.fixture(scope="module")
def packaged(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm, with the archive of the chart."""
    return Helm(helm).package(tmp_path_factory.mktemp("package"))


def test_it_has_every_file_of_the_chart_and_its_version(packaged: Helm) -> None:
    """Templates, schema, alerts, dashboards, examples and README. The name has the project's version."""
    with tarfile.open(packaged.chart) as archive:
        held = {name.removeprefix("clocksvc/") for name in archive.getnames()}

    assert packaged.chart.name == f"clocksvc-{version()}.tgz"
    assert held == {path.relative_to(CHART).as_posix() for path in CHART.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", MATRIX)
def test_it_renders_as_the_folder(chart: Helm, packaged: Helm, name: str) -> None:
    """With every set of values."""
    assert packaged.template(MATRIX[name]) == chart.template(MATRIX[name])


def test_lint_has_nothing_to_say(packaged: Helm) -> None:
    """`helm lint --strict` accepts it, with its icon, which is in Chart.yaml itself."""
    said = packaged.lint(MATRIX["smallest"])

    assert "0 chart(s) failed" in said
    assert "icon" not in said
    assert "data:image/svg+xml;base64," in (CHART / "Chart.yaml").read_text(encoding="utf-8")


def test_make_dist_packages_this_chart() -> None:
    """Beside wheel and sdist."""
    assert "package helm/clocksvc --destination dist" in (ROOT / "Makefile").read_text(encoding="utf-8")
