"""Faults of a scheduler installation. Each injects one, repairs what it broke, and returns."""

import random
from collections.abc import Callable, Mapping

import redis

from tests.process import stopped
from tests.system.scheduler_outages.target import SCHEDULERS, Target

Inject = Callable[[Target, random.Random], None]


def kill_owner(target: Target, rng: random.Random) -> None:
    """SIGKILL of the scheduler that owns a partition."""
    _kill(target, target.an_owner(rng) or rng.choice(SCHEDULERS), rng)


def kill_scheduler(target: Target, rng: random.Random) -> None:
    """SIGKILL of any scheduler."""
    _kill(target, rng.choice(SCHEDULERS), rng)


def stop_owner(target: Target, rng: random.Random) -> None:
    """SIGSTOP of an owner for longer than its lease, then SIGCONT: other schedulers own its partitions by then."""
    name = target.an_owner(rng) or rng.choice(SCHEDULERS)
    with stopped(target.installation.processes[name].pid):
        target.pause(rng.uniform(3.0, 9.0))


def rolling_restart(target: Target, _: random.Random) -> None:
    """SIGTERM of one scheduler after the other; each is started again and ready before the next."""
    for name in SCHEDULERS:
        target.end(name)
        target.start(name)
        target.until_ready(name)


def kill_broker(target: Target, rng: random.Random) -> None:
    """SIGKILL of the broker, and a restart on its data."""
    target.kafka.kill()
    target.pause(rng.choice([0.0, rng.uniform(0.5, 3.0)]))
    target.kafka.start()
    target.kafka.wait_ready()


def flush(target: Target, _: random.Random) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(target.valkey.url) as client:
        client.flushall()


def _kill(target: Target, name: str, rng: random.Random) -> None:
    target.kill(name)
    target.pause(rng.choice([0.0, rng.uniform(0.0, 1.5)]))
    target.start(name)


KINDS: Mapping[str, tuple[Inject, int]] = {
    "kill-owner": (kill_owner, 60),
    "kill-scheduler": (kill_scheduler, 40),
    "kill-broker": (kill_broker, 20),
    "flush": (flush, 10),
    "rolling-restart": (rolling_restart, 4),
    "stop-owner": (stop_owner, 6),
}
"""Each with its weight."""
