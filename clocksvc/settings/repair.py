"""Replaces invalid values with valid ones, so that the next validation finds the problems that the first one hid.

A section's own checks run only if its fields are valid, and the checks across sections only if all sections are. The
repaired configuration is never used: it only serves to find all problems in one pass.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from clocksvc.settings.environment import get, put, remove
from clocksvc.settings.fields import FieldPath

_Placeholder: TypeAlias = Callable[[Any, FieldPath], object]

_TEXT = "placeholder"
_CLOCK = {"topics": [_TEXT], "group": _TEXT}


def _numbered(_: Any, path: FieldPath) -> str:
    """Return a text for an element of a list in which no text may occur twice."""
    return f"{_TEXT}-{next(segment for segment in reversed(path) if isinstance(segment, int)):04}-token"


def _token(data: Any, path: FieldPath) -> dict[str, object]:
    text = _numbered(data, path)
    return {"name": text, "token": text, "scopes": ["read"]}


def _clock(data: Any, path: FieldPath) -> object:
    """Return a clock's fields if they are a mapping: then only the name is wrong, and it is not checked again."""
    found = get(data, path)
    return found if isinstance(found, dict) else _CLOCK


def _redis_url(data: Any, _: FieldPath) -> str:
    """Return a URL to which the other fields of the section fit."""
    section = get(data, ("redis",))
    tls = isinstance(section, dict) and any(str(name).startswith("ssl_") for name in section)
    return f"{'rediss' if tls else 'redis'}://{_TEXT}:6379/0"


def _fixed(value: object) -> _Placeholder:
    return lambda data, path: value


_PLACEHOLDERS: dict[tuple[str, ...], _Placeholder] = {
    ("clocks",): _fixed({_TEXT: _CLOCK}),
    ("clocks", "*"): _clock,
    ("clocks", "*", "topics"): _fixed([_TEXT]),
    ("clocks", "*", "topics", "*"): _numbered,
    ("clocks", "*", "group"): _fixed(_TEXT),
    ("clocks", "*", "interval"): _fixed("1d"),
    ("clocks", "*", "after", "*", "clock"): _numbered,
    ("clocks", "*", "after", "*", "url"): _fixed(f"http://{_TEXT}"),
    ("clocks", "*", "tasks", "*"): lambda data, path: {"task": _numbered(data, path)},
    ("clocks", "*", "tasks", "*", "task"): _numbered,
    ("api", "hosts", "*"): _fixed(_TEXT),
    ("api", "tokens", "*"): _token,
    ("api", "tokens", "*", "name"): _numbered,
    ("api", "tokens", "*", "token"): _numbered,
    ("api", "tokens", "*", "scopes"): _fixed(["read"]),
    ("api", "tokens", "*", "scopes", "*"): _fixed("read"),
    ("namespaces", "*"): _fixed({"queue": _TEXT}),
    ("namespaces", "*", "queue"): _fixed(_TEXT),
    ("redis", "url"): _redis_url,
    ("redis", "sentinel", "service"): _fixed(_TEXT),
    ("redis", "sentinel", "nodes"): _fixed([_TEXT]),
    ("redis", "sentinel", "nodes", "*"): _fixed(_TEXT),
    ("celery", "broker_url"): _fixed(f"redis://{_TEXT}"),
    ("taskbroker", "application"): _fixed(_TEXT),
    ("tick_log", "keep"): _fixed("3650d"),
}
"""For each field that is required, or whose default could cause a new problem: what replaces it. `*` is any segment.
All other fields are removed, so that they have their defaults."""


def repaired(data: object, paths: Iterable[FieldPath]) -> object:
    """Return a copy of the configuration in which the values at these paths are replaced or removed."""
    for path in paths:
        data = _repaired_at(data, path)
    return data


def _repaired_at(data: Any, path: FieldPath) -> object:
    if not path:
        return {"clocks": {_TEXT: _CLOCK}}
    if path == ("clocks",):
        data = _without_references(data)
    parent = get(data, path[:-1])
    if isinstance(parent, dict) and path[-1] not in parent:
        # A key that is not text. Its path has the text of the key.
        data = put(data, path[:-1], {str(key): value for key, value in parent.items()})
    placeholder = next((made for pattern, made in _PLACEHOLDERS.items() if _matches(pattern, path)), None)
    if placeholder is not None:
        return put(data, path, placeholder(data, path))
    if isinstance(parent, list):
        return _repaired_at(data, path[:-1])
    return remove(data, path[:-1] if path[-1] == "[key]" and len(path) > 1 else path)


def _without_references(data: Any) -> object:
    """Return a copy without the clocks of tokens, because there are no clocks that they could name."""
    tokens = get(data, ("api", "tokens"))
    for index, token in enumerate(tokens if isinstance(tokens, list) else ()):
        if isinstance(token, dict):
            data = remove(data, ("api", "tokens", index, "clocks"))
    return data


def _matches(pattern: tuple[str, ...], path: FieldPath) -> bool:
    return len(pattern) == len(path) and all(
        part in ("*", segment) for part, segment in zip(pattern, path, strict=True)
    )
