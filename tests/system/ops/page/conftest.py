"""One browser for all tests of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.system.ops.page.browser import launched


@pytest.fixture(scope="package")
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium."""
    with launched(chromium) as made:
        yield made
