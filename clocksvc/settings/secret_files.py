"""Secrets from files: `password_file: /run/secrets/redis` gives `password` its value.

Must not keep or show what it read but in the secret's own field.
"""

from collections.abc import Callable
from typing import Any

from clocksvc.settings.field_types import (
    Kind,
    child,
    is_section,
    names,
)
from clocksvc.settings.fields import Path
from clocksvc.settings.kafka import KafkaSettings
from clocksvc.settings.librdkafka import is_secret
from clocksvc.settings.problems import Problems

ReadFile = Callable[[str], str]
_FILE = "_file"


def with_secrets_read(data: Any, kind: Kind, read: ReadFile, problems: Problems, path: Path = ()) -> Any:
    """A copy of `data` with every secret that is given as a file in its own field; a trailing newline is no part."""
    if kind is None:
        return data
    if isinstance(data, dict):
        below = {
            key: with_secrets_read(value, child(kind, key), read, problems, (*path, key)) for key, value in data.items()
        }
        for secret in _given_as_file(kind, below):
            _read_one(below, secret, read, problems, path)
            if kind is KafkaSettings:
                del below[secret + _FILE]
        return below
    if isinstance(data, list):
        items = enumerate(data)
        return [with_secrets_read(item, child(kind, i), read, problems, (*path, i)) for i, item in items]
    return data


def _given_as_file(kind: Kind, data: dict[Any, Any]) -> list[str]:
    given = [key for key in data if isinstance(key, str) and key.endswith(_FILE) and isinstance(data[key], str)]
    secrets = [key.removesuffix(_FILE) for key in given]
    if kind is KafkaSettings:
        return [secret for secret in secrets if is_secret(secret)]
    return [secret for secret in secrets if is_section(kind) and secret in names(kind)]


def _read_one(data: dict[Any, Any], secret: str, read: ReadFile, problems: Problems, path: Path) -> None:
    file, name = data[secret + _FILE], (*path, secret + _FILE)
    if data.get(secret) is not None:
        problems.add((*path, secret), f"given twice: wanted {secret} or {secret}{_FILE}")
        return
    try:
        data[secret] = read(file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.add(name, f"wanted a file that can be read: {reason}", file)
        problems.settle((*path, secret))
        return
    if not data[secret].strip():
        problems.add(name, "wanted a file that is not empty", file)
        problems.settle((*path, secret))
