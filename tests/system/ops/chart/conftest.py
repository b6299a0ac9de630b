"""The chart with helm, and its manifests for each set of values, rendered once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.system.ops.chart.rendering import Helm, Manifest
from tests.system.ops.chart.value_sets import MATRIX


@pytest.fixture(scope="session")
def chart(helm: Path) -> Helm:
    """helm, with this chart."""
    return Helm(helm)


@pytest.fixture(scope="session")
def rendered(chart: Helm) -> Callable[[str], list[Manifest]]:
    """The manifests of one of `MATRIX`, by its name. Tests must not change them."""
    return cache(lambda name: chart.template(MATRIX[name], "--kube-version", "1.37"))
