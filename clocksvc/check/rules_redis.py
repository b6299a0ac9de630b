"""Evaluates a Redis as a store: version, role, eviction, memory and time. Does no I/O."""

from clocksvc.check.finding import MIN_SKEW_MS, Finding, format_skew, ok, problem, warning
from clocksvc.redis.diagnostics import RedisFacts

MIN_VERSION = (6, 2)
NEARLY_FULL = 0.8


def evaluate_server(facts: RedisFacts) -> list[Finding]:
    """Version, role, eviction and memory of one Redis."""
    part = f"redis {facts.node}".rstrip()
    if facts.version is None:
        text = "answers, but this user may not read its version and eviction policy"
        return [warning(part, text, "allow its user INFO (ACL: +info) so that both can be checked")]
    return [*_version(part, facts.name, facts.version), *_role(part, facts), *_eviction(part, facts)]


def evaluate_store_time(ahead_ms: int, max_future_ms: int) -> Finding:
    """The store's clock against this machine's.

    Args:
        ahead_ms: how far the store's clock is ahead; negative if it is behind.
        max_future_ms: the smallest of all clocks: a store that is so far behind rejects correct reports.
    """
    part = "clock skew"
    text = f"the store's clock is {format_skew(ahead_ms)} this machine's"
    to_do = "synchronize the clocks of both machines with NTP"
    if abs(ahead_ms) < MIN_SKEW_MS:
        return ok(part, "the store's clock and this machine's agree within a second")
    if ahead_ms <= -max_future_ms:
        return problem(part, f"{text}: it rejects reports as too far ahead", to_do)
    return warning(part, f"{text}: ticks wait for the slower of the two", to_do)


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
        harm = "can evict rosters, partition clocks and recent ticks at any time: clocks hold until these are rebuilt"
    else:
        harm = (
            "can evict leases: leaders then change, and ticks wait until all replicas have announced themselves again"
        )
    to_do = "CONFIG SET maxmemory-policy noeviction, or use a separate Redis for clocksvc"
    return [warning(part, f"maxmemory-policy {policy} ({limit}) {harm}", to_do)]


def _memory(part: str, facts: RedisFacts) -> list[Finding]:
    if facts.maxmemory and facts.used > NEARLY_FULL * facts.maxmemory:
        share = 100 * facts.used // facts.maxmemory
        text = f"memory is {share}% of maxmemory: when it is full, Redis rejects writes and every clock holds"
        return [warning(part, text, "raise maxmemory, or use a separate Redis for clocksvc")]
    return [ok(part, "eviction policy noeviction: Redis evicts no key of a clock")]
