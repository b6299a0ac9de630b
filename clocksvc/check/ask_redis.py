"""What the configured Redis says of itself, of its clock, and of every configured clock. It writes nothing."""

from collections.abc import Iterator

from clocksvc import wiring
from clocksvc.check import rules_redis, rules_time
from clocksvc.check.finding import Finding, ok, problem
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.timestamp import to_rfc3339
from clocksvc.errors import ClocksvcError
from clocksvc.settings import Settings
from clocksvc.stores.redis import facts as redis_facts
from clocksvc.timesource import Time


def ask_redis(settings: Settings, time: Time) -> Iterator[Finding]:
    """The findings on Redis.

    Raises:
        StoreUnavailable: no answer.
    """
    for facts in redis_facts.read(wiring.open_connection(settings)):
        yield from rules_redis.judge(facts)
    specs = settings.clock_specs()
    yield _skew(settings, specs, time)
    for spec in specs.values():
        yield _clock(settings, spec)


def _skew(settings: Settings, specs: dict[str, ClockSpec], time: Time) -> Finding:
    store = wiring.open_store(settings, next(iter(specs.values())))
    before_ms = time.now_ms()
    store_ms = store.now_ms()
    ahead_ms = store_ms - (before_ms + time.now_ms()) // 2
    return rules_time.judge_store(ahead_ms, min(spec.max_future_ms for spec in specs.values()))


def _clock(settings: Settings, spec: ClockSpec) -> Finding:
    """Also a trial of the permissions: this reads by a script, on the clock's own keys."""
    part = f"clock {spec.name}"
    try:
        snapshot = wiring.open_store(settings, spec).snapshot()
    except ClocksvcError as error:
        to_do = f"allow the Redis user scripts, and all commands on keys {settings.redis.prefix}:*"
        return problem(part, f"its state can't be read: {error}", to_do, spec.name)
    if snapshot.leader is None:
        return ok(part, "nobody leads it now: clocksvc serve does", spec.name)
    last = "no tick yet" if snapshot.last_tick_ms is None else f"last tick {to_rfc3339(snapshot.last_tick_ms)}"
    return ok(part, f"led by {snapshot.leader}, {last}", spec.name)
