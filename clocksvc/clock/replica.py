"""Announced replicas, and a sentence about how their configurations differ. `holds` decides what follows from it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.listing import name_first


@dataclass(frozen=True, slots=True)
class Replica:
    """A live process that leads a clock or is ready to.

    Attributes:
        holder: `host:pid`.
        digest: the digest of its configuration of the clock.
        config_json: that configuration, as `ClockSpec.config_json` gives it; empty if the replica did not publish it.
    """

    holder: str
    digest: str
    config_json: str = ""


def describe_config_conflict(replicas: Iterable[Replica]) -> str:
    """A sentence that names the fields in which the replicas' configurations differ, and who has which value."""
    listed = sorted(replicas, key=lambda replica: (replica.digest, replica.holder))
    known = [(replica, fields) for replica in listed if (fields := _fields(replica.config_json))]
    names = sorted({name for _, fields in known for name in fields})
    differing = [_values(name, known) for name in names if len({_text(fields, name) for _, fields in known}) > 1]
    if not differing or len(known) < len(listed):
        differing.append(_values("digest", [(replica, {"digest": replica.digest}) for replica in listed]))
    return f"live replicas have different configurations of this clock: {'; '.join(differing)}"


def _values(name: str, known: Iterable[tuple[Replica, Mapping[str, Any]]]) -> str:
    holders: dict[str, list[str]] = {}
    for replica, fields in known:
        holders.setdefault(_text(fields, name), []).append(replica.holder)
    values = (f"{text} at {name_first(found, separator=' and ')}" for text, found in sorted(holders.items()))
    return f"{name} is {', '.join(values)}"


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)


def _fields(config_json: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(config_json)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
