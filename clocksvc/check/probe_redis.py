"""Reads the facts about the configured Redis, its time, and each clock's state there. Leaves nothing behind."""

import json
from collections.abc import Iterator

from clocksvc.check import rules_redis
from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.clock.holds import Reason
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.store import Snapshot
from clocksvc.interfaces.time import Time
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.diagnostics import missing_commands, read_facts
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

_NOT_OF_THE_INSTALLATION = frozenset(
    {Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND, Reason.REPORTS_REJECTED, Reason.PAUSED}
)
"""Holds that consumers, producers or operators end."""


def probe_redis(settings: Settings, time: Time) -> Iterator[Finding]:
    """The findings on Redis and on each clock's state.

    Raises:
        StoreUnavailable: no answer.
    """
    yield from probe_redis_servers(bootstrap.open_connection(settings))
    specs = settings.clock_specs()
    for spec in specs.values():
        yield from _clock(settings, spec)
    yield _clock_skew(settings, specs, time)


def probe_redis_servers(connection: RedisConnection) -> Iterator[Finding]:
    """The findings on the Redis itself, or on each master of a cluster: version, role, eviction and memory.

    Raises:
        StoreUnavailable: no answer.
    """
    for facts in read_facts(connection):
        yield from rules_redis.evaluate_server(facts)


def _clock_skew(settings: Settings, specs: dict[str, ClockSpec], time: Time) -> Finding:
    store = bootstrap.open_store(settings, next(iter(specs.values())))
    before_ms = time.now_ms()
    store_ms = store.now_ms()
    ahead_ms = store_ms - (before_ms + time.now_ms()) // 2
    return rules_redis.evaluate_store_time(ahead_ms, min(spec.max_future_ms for spec in specs.values()))


def _clock(settings: Settings, spec: ClockSpec) -> Iterator[Finding]:
    part, prefix = f"clock {spec.name}", settings.redis.prefix
    keys = f"keys {prefix}:*"
    try:
        if denied := missing_commands(bootstrap.open_connection(settings), prefix, spec.name):
            text = f"the Redis user may not run {', '.join(denied)} on {keys}"
            allowed = " ".join(f"+{command.lower()}" for command in denied)
            yield problem(part, text, f"ACL SETUSER … {allowed} (docs/security.md has the complete list)", spec.name)
        snapshot = bootstrap.open_store(settings, spec).snapshot()
    except ClocksvcError as error:
        to_do = f"allow the Redis user the commands that docs/security.md lists, on {keys}"
        yield problem(part, f"its state can't be read: {error}", to_do, spec.name)
        return
    if snapshot.leader is None:
        yield ok(part, "no process leads it now; clocksvc serve does", spec.name)
        return
    last = "no tick yet" if snapshot.last_tick_ms is None else f"last tick {to_rfc3339(snapshot.last_tick_ms)}"
    yield _leader_status(part, f"led by {snapshot.leader}, {last}", snapshot, spec)


def _leader_status(part: str, text: str, snapshot: Snapshot, spec: ClockSpec) -> Finding:
    """With the hold that the leader publishes: only the leader sees some problems, such as its missing Kafka ACLs."""
    hold = None if snapshot.leader_status is None else json.loads(snapshot.leader_status).get("hold")
    if hold is None:
        return ok(part, text, spec.name)
    level = warning if hold["reason"] in _NOT_OF_THE_INSTALLATION else problem
    return level(part, f"{text}; it holds, {hold['reason']}: {hold['detail']}", "see docs/runbook.md", spec.name)
