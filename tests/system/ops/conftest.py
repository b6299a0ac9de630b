"""The programs as fixtures. A missing one is a failure that says what to do, never a skip."""

from pathlib import Path

import pytest

from tests.system.ops.programs import ProgramMissing, program


def _program(name: str) -> Path:
    try:
        return program(name)
    except ProgramMissing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The path of a Chromium, for Playwright's `executable_path`."""
    return _program("chromium")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The path of a Prometheus server."""
    return _program("prometheus")


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The path of promtool."""
    return _program("promtool")


@pytest.fixture(scope="session")
def helm() -> Path:
    """The path of helm 3."""
    return _program("helm")


@pytest.fixture(scope="session")
def compose() -> Path:
    """The path of a program that reads compose files as `docker compose config` does, without an engine."""
    return _program("compose")
