"""What is wrong with a Redis that is to keep clocks, from its facts. Asks nobody."""

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.redis.diagnostics import RedisFacts

FLOOR = (6, 2)
NEARLY_FULL = 0.8


def judge(facts: RedisFacts) -> list[Finding]:
    """Version, role, eviction and memory of one Redis."""
    part = f"redis {facts.node}".rstrip()
    if facts.version is None:
        text = "answers, but does not tell its version and eviction policy"
        return [warning(part, text, "allow its user INFO (ACL: +info) so that both can be checked")]
    return [*_version(part, facts.name, facts.version), *_role(part, facts), *_memory(part, facts)]


def _version(part: str, name: str, version: str) -> list[Finding]:
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if len(numbers) == 2 and numbers < FLOOR:
        return [problem(part, f"{name} is too old", "run Redis 6.2 or later, or any Valkey")]
    return [ok(part, f"answers: {name}")]


def _role(part: str, facts: RedisFacts) -> list[Finding]:
    if facts.role != "slave":
        return []
    to_do = "give redis.url the master's address, or configure redis.sentinel"
    return [problem(part, "is a replica: nothing can be written there", to_do)]


def _memory(part: str, facts: RedisFacts) -> list[Finding]:
    policy = facts.policy or "noeviction"
    if policy == "noeviction":
        return _limit(part, facts)
    limit = f"maxmemory {facts.maxmemory} bytes" if facts.maxmemory else "no maxmemory yet, so nothing is dropped"
    if policy.startswith("allkeys"):
        harm = "can drop rosters, partition clocks and recent ticks at any time: clocks hold until these are rebuilt"
    else:
        harm = "can drop leases: leaders then change, and ticks wait until all replicas are heard again"
    to_do = "CONFIG SET maxmemory-policy noeviction, or give clocksvc a Redis of its own"
    return [warning(part, f"maxmemory-policy {policy} ({limit}) {harm}", to_do)]


def _limit(part: str, facts: RedisFacts) -> list[Finding]:
    if facts.maxmemory and facts.used > NEARLY_FULL * facts.maxmemory:
        share = 100 * facts.used // facts.maxmemory
        text = f"memory is {share}% of maxmemory: once it is full, Redis refuses writes and every clock holds"
        return [warning(part, text, "raise maxmemory, or give clocksvc a Redis of its own")]
    return [ok(part, "eviction policy noeviction: no key of a clock is ever dropped")]
