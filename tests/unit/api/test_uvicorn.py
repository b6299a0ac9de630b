"""uvicorn's internal protocol is subclassed: its version is bounded, and what is used of it exists."""

import inspect
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from uvicorn import __version__ as installed
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.repository import ROOT

pytestmark = pytest.mark.core

USED_METHODS = [
    "connection_made",
    "connection_lost",
    "data_received",
    "on_response_complete",
    "send_400_response",
    "pause_writing",
    "resume_writing",
    "shutdown",
]
USED_ATTRIBUTES = ["app_state", "config", "conn", "cycle", "flow", "loop", "scope", "transport"]


def test_the_next_minor_version_is_excluded() -> None:
    """uvicorn may change its internals in any minor version: raising the bound is a decision."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (uvicorn,) = [one for one in map(Requirement, extras["server"]) if one.name == "uvicorn"]
    version = Version(installed)

    assert uvicorn.specifier.contains(version)
    assert not uvicorn.specifier.contains(f"{version.major}.{version.minor + 1}.0")
    assert not uvicorn.specifier.contains(f"{version.major + 1}.0.0")


@pytest.mark.parametrize("method", USED_METHODS)
def test_the_methods_exist(method: str) -> None:
    """Each method that `Connection` overrides is one that uvicorn calls."""
    assert inspect.isfunction(getattr(H11Protocol, method))


def test_the_attributes_exist() -> None:
    """Each attribute that `Connection` reads is one that uvicorn sets."""
    source = inspect.getsource(H11Protocol)

    assert [name for name in USED_ATTRIBUTES if f"self.{name}" not in source] == []
