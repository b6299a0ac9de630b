"""Serialises the schema. The text is the same in every run."""

import json
from pathlib import Path
from typing import Any

from helm.schema import chart

FILE = Path(__file__).resolve().parent.parent / "clocksvc" / "values.schema.json"
_WIDTH = 120


def text() -> str:
    """Return the text of values.schema.json. Each of Kubernetes' own definitions is on one line."""
    schema = chart.schema()
    lines = [f" {_key(name)}{_laid(value, 1)}" for name, value in schema.items() if name != "definitions"]
    definitions = [f"  {_key(name)}{_flat(value)}" for name, value in schema["definitions"].items()]
    lines.append(f' "definitions": {{\n{_joined(definitions)}\n }}')
    return f"{{\n{_joined(lines)}\n}}\n"


def _laid(value: Any, depth: int) -> str:
    """Return the JSON on one line if it fits."""
    flat = _flat(value)
    if not isinstance(value, dict) or len(flat) + 20 + depth < _WIDTH:
        return flat
    inner = [f"{' ' * (depth + 1)}{_key(name)}{_laid(one, depth + 1)}" for name, one in value.items()]
    return f"{{\n{_joined(inner)}\n{' ' * depth}}}"


def _key(name: str) -> str:
    return f"{_flat(name)}: "


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _joined(lines: list[str]) -> str:
    return ",\n".join(lines)
