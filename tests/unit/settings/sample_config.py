"""Sample configurations, and helpers that load them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from clocksvc.errors import SettingsError
from clocksvc.settings import Settings, load, settings_from

CLOCK: dict[str, Any] = {"topics": ["ingest"], "group": "consumer"}
MINIMAL: dict[str, Any] = {"clocks": {"checkins": CLOCK}}
TOKEN = "0123456789abcdef"
SECRET = "hunter2-hunter2-hunter2"


def file_reader(files: Mapping[str, str]) -> Callable[[str], str]:
    """A function that reads these files, and raises FileNotFoundError for any other path."""

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    return read


def loaded(text: str, environ: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> Settings:
    """Load the text of a configuration file; `files` are other files by path."""
    every = {"clocksvc.yaml": text, **(files or {})}
    return load("clocksvc.yaml", environ or {}, file_reader(every))


def with_section(section: str, value: object) -> dict[str, Any]:
    """The smallest configuration with one more section."""
    return {**MINIMAL, section: value}


def with_clock(**fields: object) -> dict[str, Any]:
    """A configuration of one clock with these fields and the required ones."""
    return {"clocks": {"checkins": {**CLOCK, **fields}}}


def problems_of(data: object, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The problems of an invalid configuration."""
    with pytest.raises(SettingsError) as raised:
        settings_from(data, environ or {}, file_reader({}))
    return raised.value.problems
