"""A replica as it announces itself, and in words what replicas disagree about. Decides nothing: see `hold.py`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NAMED = 5


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that is alive and leads this clock, or would.

    Attributes:
        holder: `host:pid`.
        digest: of its configuration of the clock.
        config_json: what that stands for, as `ClockSpec.config_json` gives it; empty where it did not say.
    """

    holder: str
    digest: str
    config_json: str = ""


def describe_config_conflict(replicas: Iterable[Replica]) -> str:
    """What differs between replicas, and who has which: a sentence for people."""
    given = sorted(replicas, key=lambda replica: (replica.digest, replica.holder))
    told = [(replica, fields) for replica in given if (fields := _fields(replica.config_json))]
    names = sorted({name for _, fields in told for name in fields})
    differing = [_who_has(name, told) for name in names if len({_word(fields, name) for _, fields in told}) > 1]
    if not differing or len(told) < len(given):
        differing.append(_who_has("digest", [(replica, {"digest": replica.digest}) for replica in given]))
    return f"replicas that are alive have different configurations of this clock: {'; '.join(differing)}"


def _who_has(name: str, told: Iterable[tuple[Replica, Mapping[str, Any]]]) -> str:
    holders: dict[str, list[str]] = {}
    for replica, fields in told:
        holders.setdefault(_word(fields, name), []).append(replica.holder)
    return f"{name} is " + ", ".join(f"{word} at {_listed(who)}" for word, who in sorted(holders.items()))


def _listed(holders: list[str]) -> str:
    more = len(holders) - NAMED
    return " and ".join(holders[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _word(fields: Mapping[str, Any], name: str) -> str:
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
