"""Whether a Redis can keep a clock: version, role, and what it does when its memory is full. Sentences for a log."""

from clocksvc.redis.connection import Connection
from clocksvc.redis.facts import (
    RedisFacts,
    read,
)

_FLOOR = (6, 2)


def check(connection: Connection) -> list[str]:
    """Warnings in words; [] where nothing is wrong. A server that forbids INFO gives a note.

    Raises:
        StoreUnavailable: no answer.
    """
    return [f"{facts.node}: {text}".removeprefix(": ") for facts in read(connection) for text in warnings(facts)]


def warnings(facts: RedisFacts) -> list[str]:
    """What is wrong with one server."""
    if facts.version is None:
        return ["Redis does not tell its version and eviction policy (INFO is forbidden): not checked"]
    found = [_version(facts.name, facts.version), _role(facts), _eviction(facts)]
    return [warning for warning in found if warning]


def _version(name: str, version: str) -> str:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) < 2 or numbers >= _FLOOR:
        return ""
    return f"{name} is too old: clocksvc needs Redis 6.2 or later"


def _role(facts: RedisFacts) -> str:
    if facts.role != "slave":
        return ""
    return "this Redis is a replica: clocksvc writes, so it needs the master's address, or Sentinel"


def _eviction(facts: RedisFacts) -> str:
    policy = facts.policy or "noeviction"
    if policy == "noeviction" or not facts.maxmemory:
        return ""
    if policy.startswith("allkeys"):
        harm = "drop rosters, partition clocks and recent ticks: clocks then hold until these are rebuilt"
    else:
        harm = "drop leases and what replicas announce: leaders then change, and ticks wait until all are heard again"
    return f"maxmemory-policy {policy} lets Redis {harm}; use noeviction, or a Redis of clocksvc's own"
