"""The chart with helm, and its manifests for each set of values, rendered once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.system.ops.chart.given import MATRIX
from tests.system.ops.chart.rendered import (
    Helm,
    Manifest,
)


@pytest.fixture(scope="session")
def chart(helm: Path) -> Helm:
    """helm, with this chart."""
    return Helm(helm)


@pytest.fixture(scope="session")
def rendered(chart: Helm) -> Callable[[str], list[Manifest]]:
    """The manifests of one of `MATRIX`, by its name. Tests must not change them."""
    return cache(lambda name: chart.template(MATRIX[name], "--kube-version", "1.37"))
