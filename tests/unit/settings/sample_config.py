"""What the tests of the configuration begin with. Must not judge anything itself."""

from collections.abc import Mapping
from typing import Any

import pytest

from clocksvc.errors import SettingsError
from clocksvc.settings import Settings, load, settings_from

CLOCK: dict[str, Any] = {"topics": ["ingest"], "group": "consumer"}
MINIMAL: dict[str, Any] = {"clocks": {"checkins": CLOCK}}
TOKEN = "0123456789abcdef"
SECRET = "hunter2-hunter2-hunter2"


def read_fake_file(files: Mapping[str, str], path: str) -> str:
    """A file's text, from memory; a missing one is missed as on a disk."""
    if path not in files:
        raise FileNotFoundError(2, "No such file or directory")
    return files[path]


def loaded(text: str, environ: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> Settings:
    """Settings from the text of a file, with other files beside it."""
    every = {"clocksvc.yaml": text, **(files or {})}
    return load("clocksvc.yaml", environ or {}, lambda path: read_fake_file(every, path))


def with_section(section: str, value: object) -> dict[str, Any]:
    """The smallest configuration and one section more."""
    return {**MINIMAL, section: value}


def with_clock(**fields: object) -> dict[str, Any]:
    """One clock with these fields besides what it needs."""
    return {"clocks": {"checkins": {**CLOCK, **fields}}}


def problems_of(data: object, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Everything that is said against it."""
    with pytest.raises(SettingsError) as raised:
        settings_from(data, environ or {}, lambda path: read_fake_file({}, path))
    return raised.value.problems
