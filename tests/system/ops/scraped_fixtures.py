"""The fixture `scraped`: a pytest plugin. It is shared by the session; tests must not change it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.ops.scraped_installation import ScrapedInstallation


@pytest.fixture(scope="session")
def scraped(
    tmp_path_factory: pytest.TempPathFactory, bootstrap: str, prometheus: Path
) -> Iterator["ScrapedInstallation"]:
    """A real installation under load, with a hold, and the real Prometheus that scrapes it."""
    from tests.system.ops.scraped_installation import (
        ScrapedInstallation,
    )  # imported here: every run of the tests loads this plugin, few start the installation

    with ScrapedInstallation(tmp_path_factory.mktemp("scraped"), bootstrap, prometheus) as installation:
        yield installation
