"""The changes to the replicas, one phase after the other. Each phase ends when no log moves any more."""

from collections.abc import Callable

import redis

from tests.system.outages.fleet.fleet import QUIET_S, Fleet
from tests.tcp_proxy import TcpProxy

WITHOUT_EVENT_S = 1.0
MOVED_S = 2.0
"""A log that moves between two replicas that work: after SIGTERM, and back to a replica that returns."""
LEASE_LOST_S = 5.5
"""A replica that is gone without a release, or does not reach Redis: its lease of 3 s expires first."""
STUCK_S = 10.0
"""A leader that does not reach Kafka releases its leases after 6 s."""
FLUSHED_S = 5.5
"""After a loss of the announcements, no clock ticks for 3 s."""
_ANNOUNCED_S = 8.0
"""Announcements live 5 s. They must be gone before the next phase."""
ADDED = "one-more"

Change = Callable[[Fleet], None]


def steady(fleet: Fleet) -> None:
    """Nothing happens."""
    with fleet.phase("steady", WITHOUT_EVENT_S, still=True):
        fleet.pause(10.0)


def kill_and_return(fleet: Fleet) -> None:
    """SIGKILL of a replica, which is started again."""
    victim = fleet.live[-1]
    with fleet.phase(f"SIGKILL of {victim}", LEASE_LOST_S):
        fleet.kill(victim)
        _rest(fleet)
    _start(fleet, victim)


def end_and_return(fleet: Fleet) -> None:
    """SIGTERM of a replica, which is started again."""
    victim = fleet.live[0]
    with fleet.phase(f"SIGTERM of {victim}", MOVED_S):
        fleet.end(victim)
        _rest(fleet)
    _start(fleet, victim)


def without_kafka(fleet: Fleet) -> None:
    """A replica reaches Redis, but not Kafka: connections are closed, or get no answer."""
    for name, fail in (("connections to Kafka cut", TcpProxy.cut), ("Kafka does not answer", TcpProxy.stall)):
        victim = fleet.live[-1]
        _without(fleet, victim, fleet.kafka.proxies[victim], f"{victim}: {name}", fail, STUCK_S)


def without_redis(fleet: Fleet) -> None:
    """A replica reaches Kafka, but not Redis."""
    for name, fail in (("connections to Redis cut", TcpProxy.cut), ("Redis does not answer", TcpProxy.stall)):
        victim = fleet.live[-1]
        _without(fleet, victim, fleet.store_proxies[victim], f"{victim}: {name}", fail, LEASE_LOST_S)


def redis_flaps(fleet: Fleet) -> None:
    """A replica loses Redis again and again. It must not get its logs back in between."""
    victim = fleet.live[-1]
    proxy = fleet.store_proxies[victim]
    with fleet.phase(f"{victim}: Redis away three times", LEASE_LOST_S):
        for _ in range(3):
            proxy.cut()
            fleet.pause(5.0)
            proxy.heal()
            fleet.pause(6.0)
    _settle(fleet, f"{victim}: Redis stays")


def redis_away(fleet: Fleet) -> None:
    """No replica reaches Redis, for longer than a lease, and for longer than announcements live."""
    for seconds in (4.0, 12.0):
        with fleet.phase(f"Redis away for {seconds:g} s", seconds + FLUSHED_S, still=True):
            for proxy in fleet.store_proxies.values():
                proxy.cut()
            fleet.pause(seconds)
            for proxy in fleet.store_proxies.values():
                proxy.heal()
            fleet.until_led()
            fleet.pause(QUIET_S)


def flush(fleet: Fleet) -> None:
    """FLUSHALL, three times."""
    with fleet.phase("FLUSHALL, 3 times", FLUSHED_S, still=True), redis.Redis.from_url(fleet.valkey.url) as client:
        for _ in range(3):
            client.flushall()
            fleet.pause(7.0)


def one_more_clock_and_one_less(fleet: Fleet) -> None:
    """A rolling change of the configuration adds a clock, and another one removes it."""
    fleet.clocks[ADDED] = fleet.settings()
    fleet.load.add([ADDED])
    with fleet.phase("rolling change: one clock more", MOVED_S):
        fleet.replace_all()
        fleet.until_shared()
    del fleet.clocks[ADDED]
    with fleet.phase("rolling change: one clock less", MOVED_S):
        # The last replica that knows the clock leads it until its end.
        fleet.removed_ms[ADDED] = fleet.replace_all() - round(1000 * MOVED_S)
        fleet.load.remove(ADDED)
        fleet.until_shared()


def preferred_without_kafka_and_another_killed(fleet: Fleet) -> None:
    """Of three replicas one reaches Redis but not Kafka, then one is killed: the third one leads all logs."""
    *_, unreachable, victim = fleet.live
    proxy = fleet.kafka.proxies[unreachable]
    with fleet.phase(f"{unreachable}: Kafka cut", STUCK_S):
        proxy.cut()
        fleet.until_led(unreachable)
        fleet.pause(_ANNOUNCED_S)
    with fleet.phase(f"{unreachable} without Kafka, SIGKILL of {victim}", LEASE_LOST_S):
        fleet.kill(victim)
        fleet.until_led(unreachable)
        fleet.pause(_ANNOUNCED_S)
    proxy.heal()
    _start(fleet, victim)


def kill_two(fleet: Fleet) -> None:
    """SIGKILL of all replicas but one: their announcements are still there."""
    victims = fleet.live[1:]
    with fleet.phase(f"SIGKILL of {' and '.join(victims)}", LEASE_LOST_S + len(victims)):
        fleet.kill(*victims)
        _rest(fleet)
    for victim in victims:
        fleet.start(victim)
    _settle(fleet, f"{' and '.join(victims)} return")


FOR_TWO: tuple[Change, ...] = (
    steady, kill_and_return, end_and_return, without_kafka, without_redis, redis_flaps, redis_away, flush,
    one_more_clock_and_one_less,
)  # fmt: skip
FOR_THREE: tuple[Change, ...] = (*FOR_TWO, preferred_without_kafka_and_another_killed, kill_two)


def _without(
    fleet: Fleet, victim: str, proxy: TcpProxy, name: str, fail: Callable[[TcpProxy], None], limit_s: float
) -> None:
    with fleet.phase(name, limit_s):
        fail(proxy)
        fleet.until_led(victim)
        fleet.pause(_ANNOUNCED_S)
    proxy.heal()
    _settle(fleet, f"{victim} is back")


def _start(fleet: Fleet, name: str) -> None:
    with fleet.phase(f"{name} returns", MOVED_S):
        fleet.start(name)
        fleet.until_shared()


def _settle(fleet: Fleet, name: str) -> None:
    with fleet.phase(name, MOVED_S):
        fleet.until_shared()


def _rest(fleet: Fleet) -> None:
    fleet.until_led()
    fleet.pause(_ANNOUNCED_S)
