"""Compares the output of a command with what its document shows: the same words, and in JSON the same fields."""

import json
import re
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def missing(shown: str, printed: str) -> list[str]:
    """The lines that a document shows and a command did not print."""
    if shown.lstrip().startswith("{"):
        wanted, got = _shape(json.loads(shown)), _shape(json.loads(printed))
        return [] if wanted == got else [f"{wanted} is shown, {got} was printed"]
    lines = {_plain(line) for line in printed.splitlines()}
    return [line for line in shown.splitlines() if line.strip() and _plain(line) not in lines]


def _plain(line: str) -> str:
    """Without times and user names."""
    return re.sub(r"\bby \w+ at\b", "by <user> at", _TIME.sub("<time>", line)).strip()


def _shape(value: Any) -> Any:
    """Names of fields and types of values."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
