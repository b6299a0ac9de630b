"""Reads facts about the configured Redis, its time, and each clock's state in it, and evaluates them.

The probe does not change Redis: it removes the key that it writes. The functions `evaluate_…` do no I/O.
"""

from collections.abc import Iterator

from clocksvc.check.finding import MIN_SKEW_MS, Finding, format_skew, ok, problem, warning
from clocksvc.clock.holds import Reason
from clocksvc.clock.logs import group_by_log
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError, StoreUnavailable
from clocksvc.interfaces.progress import Snapshot
from clocksvc.interfaces.time import Time
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.diagnostics import RedisFacts, missing_commands, read_facts
from clocksvc.service import bootstrap
from clocksvc.service.clock_view import published_hold
from clocksvc.settings import Settings

_NOT_OF_THE_INSTALLATION = frozenset(
    {Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND, Reason.REPORTS_REJECTED, Reason.PAUSED}
)
"""Reasons of holds that are no mistakes of the installation. Consumers, producers or operators end these holds."""


def probe_redis(settings: Settings, time: Time, snapshots: dict[str, Snapshot]) -> Iterator[Finding]:
    """Yield the findings on Redis and on each clock's state.

    Args:
        snapshots: gets the state of each clock that can be read, by the clock's name.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    yield from probe_redis_servers(bootstrap.open_connection(settings))
    specs = settings.clock_specs()
    for clocks in group_by_log(specs).values():
        yield from _missing_commands(settings, clocks[0])
    reads = bootstrap.open_store_server(settings).clock_reads()
    readings, tails = reads.read(specs), reads.tails(dict.fromkeys(specs), 1)
    for name, spec in specs.items():
        reading, tail = readings[name], tails[name]
        if isinstance(reading, StoreUnavailable):
            yield _unreadable(settings, f"clock {name}", reading, name)
        elif isinstance(tail, StoreUnavailable):
            yield _unreadable(settings, f"clock {name}", tail, name)
        else:
            snapshots[name] = reading.snapshot
            yield _clock(spec, reading.snapshot, tail.base_ms)
    yield _clock_skew(settings, specs, time)


def probe_redis_servers(connection: RedisConnection) -> Iterator[Finding]:
    """Yield the findings on Redis itself: version, role, eviction and memory. For a cluster, test each master.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    for facts in read_facts(connection):
        yield from evaluate_server(facts)


def _clock_skew(settings: Settings, specs: dict[str, ClockSpec], time: Time) -> Finding:
    store = bootstrap.open_store(settings, next(iter(specs.values())))
    before_ms = time.now_ms()
    store_ms = store.now_ms()
    ahead_ms = store_ms - (before_ms + time.now_ms()) // 2
    return evaluate_store_time(ahead_ms, min(spec.max_future_ms for spec in specs.values()))


def _missing_commands(settings: Settings, clock: str) -> Iterator[Finding]:
    """Test the permissions on the keys of a clock. All clocks of a log are on the same Redis, with the same user."""
    part, prefix = f"clock {clock}", settings.redis.prefix
    try:
        denied = missing_commands(bootstrap.open_connection(settings), prefix, clock)
    except ClocksvcError as error:
        yield _unreadable(settings, part, error, clock)
        return
    if denied:
        text = f"the Redis user may not run {', '.join(denied)} on keys {prefix}:*"
        allowed = " ".join(f"+{command.lower()}" for command in denied)
        yield problem(part, text, f"ACL SETUSER … {allowed} (docs/security.md has the complete list)", clock)


def _unreadable(settings: Settings, part: str, error: ClocksvcError, clock: str) -> Finding:
    to_do = f"allow the Redis user the commands that docs/security.md lists, on keys {settings.redis.prefix}:*"
    return problem(part, f"its state can't be read: {error}", to_do, clock)


def _clock(spec: ClockSpec, snapshot: Snapshot, begins_after_ms: int | None) -> Finding:
    part = f"clock {spec.name}"
    if snapshot.leader is None:
        hold = published_hold(snapshot.leader_status)
        if hold is None or hold.reason is not Reason.STORE_MISMATCH:
            return ok(part, "has no leader now; start one with `clocksvc serve`", spec.name)
        return _leader_status(part, "has no leader now", snapshot, spec)
    if snapshot.last_tick_ms is not None:
        last = f"last tick {to_rfc3339(snapshot.last_tick_ms)}"
    elif begins_after_ms is not None:
        last = f"the next tick follows {to_rfc3339(begins_after_ms)}, which `clocksvc init` set"
    else:
        last = "no tick yet"
    return _leader_status(part, f"led by {snapshot.leader}, {last}", snapshot, spec)


def _leader_status(part: str, text: str, snapshot: Snapshot, spec: ClockSpec) -> Finding:
    """Evaluate the hold in the leader's status, because only the leader detects some problems, such as missing ACLs."""
    hold = published_hold(snapshot.leader_status)
    if hold is None:
        return ok(part, text, spec.name)
    level = warning if hold.reason in _NOT_OF_THE_INSTALLATION else problem
    partitions = hold.partitions_text()
    named = f" ({partitions})" if partitions else ""
    return level(
        part, f"{text}; the clock holds ({hold.reason}): {hold.detail}{named}", "see docs/runbook.md", spec.name
    )


MIN_VERSION = (6, 2)
NEARLY_FULL = 0.8


def evaluate_server(facts: RedisFacts) -> list[Finding]:
    """Evaluate version, role, eviction and memory of one Redis."""
    part = f"redis {facts.node}".rstrip()
    if facts.version is None:
        text = "answers, but this user may not read its version and eviction policy"
        return [warning(part, text, "allow the Redis user INFO (ACL: +info), so that both can be checked")]
    return [*_version(part, facts.name, facts.version), *_role(part, facts), *_eviction(part, facts)]


def evaluate_store_time(ahead_ms: int, max_future_ms: int) -> Finding:
    """Compare the time of the store's machine with this machine's time.

    Args:
        ahead_ms: how far the store's time is ahead of this machine's; negative if the store's time is behind.
        max_future_ms: the smallest `max_future` of all clocks. If the store's time is behind by this much, the store
            rejects correct reports.
    """
    part = "clock skew"
    text = f"the store's clock is {format_skew(ahead_ms)} this machine's"
    to_do = "synchronize the clocks of both machines with NTP"
    if abs(ahead_ms) < MIN_SKEW_MS:
        return ok(part, "the store's clock and this machine's clock differ by less than a second")
    if ahead_ms <= -max_future_ms:
        return problem(part, f"{text}, so the store rejects correct reports as too far ahead", to_do)
    return warning(part, f"{text}, and ticks wait for the slower of the two clocks", to_do)


def _version(part: str, name: str, version: str) -> list[Finding]:
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if len(numbers) == 2 and numbers < MIN_VERSION:
        return [problem(part, f"{name} is too old", "run Redis 6.2 or later, or any Valkey")]
    return [ok(part, f"answers: {name}")]


def _role(part: str, facts: RedisFacts) -> list[Finding]:
    if facts.role != "slave":
        return []
    to_do = "set redis.url to the master's address, or configure redis.sentinel"
    return [problem(part, "is a replica: clocksvc can't write there", to_do)]


def _eviction(part: str, facts: RedisFacts) -> list[Finding]:
    policy = facts.policy or "noeviction"
    if policy == "noeviction":
        return _memory(part, facts)
    limit = f"maxmemory {facts.maxmemory} bytes" if facts.maxmemory else "no maxmemory yet, so nothing is evicted"
    if policy.startswith("allkeys"):
        harm = "can evict rosters, partition clocks and recent ticks at any time; clocks then hold until a rebuild"
    else:
        harm = (
            "can evict leases; leaders then change, and ticks wait until all replicas have announced themselves again"
        )
    to_do = "CONFIG SET maxmemory-policy noeviction, or use a separate Redis for clocksvc"
    return [warning(part, f"maxmemory-policy {policy} ({limit}) {harm}", to_do)]


def _memory(part: str, facts: RedisFacts) -> list[Finding]:
    if facts.maxmemory and facts.used > NEARLY_FULL * facts.maxmemory:
        share = 100 * facts.used // facts.maxmemory
        text = f"used memory is {share}% of maxmemory; at 100%, Redis rejects writes and every clock holds"
        return [warning(part, text, "raise maxmemory, or use a separate Redis for clocksvc")]
    return [ok(part, "eviction policy noeviction: Redis evicts no key of a clock")]
