"""What the configured Redis says of itself, of its clock, and of every configured clock. It leaves nothing behind."""

import json
from collections.abc import Iterator

from clocksvc.check import rules_redis, rules_time
from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.clock.holds import Reason
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.store import Snapshot
from clocksvc.interfaces.time import Time
from clocksvc.redis.connection import Connection
from clocksvc.redis.diagnostics import missing_commands, read_facts
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

PASSES = frozenset({Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND, Reason.REPORTS_REJECTED, Reason.PAUSED})
"""Holds that consumers, producers or operators end: the installation itself is right."""


def ask_redis(settings: Settings, time: Time) -> Iterator[Finding]:
    """The findings on Redis.

    Raises:
        StoreUnavailable: no answer.
    """
    yield from ask_servers(bootstrap.open_connection(settings))
    specs = settings.clock_specs()
    for spec in specs.values():
        yield from _clock(settings, spec)
    yield _skew(settings, specs, time)


def ask_servers(connection: Connection) -> Iterator[Finding]:
    """The findings on the Redis itself, or on each master of a cluster: version, role, eviction and memory.

    Raises:
        StoreUnavailable: no answer.
    """
    for facts in read_facts(connection):
        yield from rules_redis.judge(facts)


def _skew(settings: Settings, specs: dict[str, ClockSpec], time: Time) -> Finding:
    store = bootstrap.open_store(settings, next(iter(specs.values())))
    before_ms = time.now_ms()
    store_ms = store.now_ms()
    ahead_ms = store_ms - (before_ms + time.now_ms()) // 2
    return rules_time.judge_store(ahead_ms, min(spec.max_future_ms for spec in specs.values()))


def _clock(settings: Settings, spec: ClockSpec) -> Iterator[Finding]:
    part, prefix = f"clock {spec.name}", settings.redis.prefix
    keys = f"keys {prefix}:*"
    try:
        if denied := missing_commands(bootstrap.open_connection(settings), prefix, spec.name):
            text = f"the Redis user may not run {', '.join(denied)} on {keys}"
            allowed = " ".join(f"+{command.lower()}" for command in denied)
            yield problem(part, text, f"ACL SETUSER … {allowed} (docs/security.md has the whole list)", spec.name)
        snapshot = bootstrap.open_store(settings, spec).snapshot()
    except ClocksvcError as error:
        to_do = f"allow the Redis user what docs/security.md lists, on {keys}"
        yield problem(part, f"its state can't be read: {error}", to_do, spec.name)
        return
    if snapshot.leader is None:
        yield ok(part, "nobody leads it now: clocksvc serve does", spec.name)
        return
    last = "no tick yet" if snapshot.last_tick_ms is None else f"last tick {to_rfc3339(snapshot.last_tick_ms)}"
    yield _led(part, f"led by {snapshot.leader}, {last}", snapshot, spec)


def _led(part: str, text: str, snapshot: Snapshot, spec: ClockSpec) -> Finding:
    """With the leader's own word: some trouble, such as a right that it lacks in Kafka, nobody else can see."""
    said = None if snapshot.leader_status is None else json.loads(snapshot.leader_status).get("hold")
    if said is None:
        return ok(part, text, spec.name)
    judge = warning if said["reason"] in PASSES else problem
    return judge(part, f"{text}; it holds, {said['reason']}: {said['detail']}", "see docs/operations.md", spec.name)
