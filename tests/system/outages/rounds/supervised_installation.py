"""An installation under outages: replicas, consumers, Celery, producers, and observers of its clocks.

A process that ends by itself is restarted, as a supervisor does, and remembered. `faults.py` decides what is broken,
and for how long.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import redis

from clocksvc.clock.logs import log_of
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redis.keys import log_key
from tests.process import stopped
from tests.system.installation import Installation, wall_ms
from tests.system.outages.rounds.brokers import Brokers
from tests.system.outages.rounds.observed_clock import ObservedClock, Plan
from tests.tcp_proxy import TcpProxy
from tests.waiting import eventually

REPLICAS = ("serve-a", "serve-b")
_LOOK_EVERY_S = 0.25
_BEGINS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault that was injected: `at` in monotonic seconds, `wall_ms` the same by the wall clock."""

    kind: str
    at: float
    wall_ms: int


class SupervisedInstallation:
    """The clocks of `plans` in one installation. Each replica has its own proxies to Redis, and to Kafka if possible.

    Attributes:
        faults: those injected, in order.
        ended: processes that ended by themselves: (name, exit code).
    """

    def __init__(self, folder: Path, kafka: Brokers, valkey: ValkeyServer, plans: Sequence[Plan]) -> None:
        self.kafka, self.valkey = kafka, valkey
        run = f"outages{wall_ms() % 10**8}"
        self.clocks = [ObservedClock(plan, run, REPLICAS) for plan in plans]
        settings = {clock.plan.name: clock.settings() for clock in self.clocks}
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, run, settings, replicas=REPLICAS)
        self.store_proxies = {name: TcpProxy(valkey.port) for name in REPLICAS}
        self.consumers = {name: clock for clock in self.clocks for name in clock.consumers}
        self.faults: list[Fault] = []
        self.ended: list[tuple[str, int]] = []
        self._processes = threading.RLock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        for clock in self.clocks:
            clock.stop()
        self.installation.close()
        for proxy in self.store_proxies.values():
            proxy.close()

    def _begin(self) -> None:
        for name in REPLICAS:
            proxied: dict[str, Any] = {
                "redis": {
                    "url": f"redis://{self.store_proxies[name].address}/0",
                    "prefix": self.installation.prefix,
                }
            }
            if proxy := self.kafka.proxies.get(name):
                proxied["kafka"] = {"bootstrap.servers": proxy.address}
            self.installation.configure(name, **proxied)
        for clock in self.clocks:
            clock.write(self.kafka.bootstrap, self.kafka.replication)
        for name in (*REPLICAS, *self.consumers, "worker", "beat"):
            self.restart(name)
        eventually(self.ready, within=_BEGINS_WITHIN_S, what="both replicas to be ready")
        self._in_background(self._supervise)
        for clock in self.clocks:
            clock.follow(list(self.installation.urls.values()))
            for name in REPLICAS:
                self._in_background(self._observe, clock, name)
        assert self.until_ticked(time.monotonic(), within=_BEGINS_WITHIN_S), "no first tick came"

    # -- processes --------------------------------------------------------------------------------------------------

    def restart(self, name: str) -> None:
        """Start one process, which must not be running."""
        with self._processes:
            if name in REPLICAS:
                self.installation.start_replica(name, wait=False)
            elif clock := self.consumers.get(name):
                clock.notes.append(self.installation.start_consumer(name, clock.topic, clock.group, clock.plan.name))
            elif name == "worker":
                self.installation.start_worker()
            else:
                self.installation.start_beat()

    def kill(self, name: str) -> None:
        """SIGKILL; the process is gone when this returns."""
        with self._processes:
            self.installation.kill(name)

    def end(self, name: str) -> None:
        """SIGTERM; the process has exited with 0 when this returns."""
        assert self.installation.end(name) == 0

    def stopped(self, name: str) -> AbstractContextManager[None]:
        """SIGSTOP a process for the duration of the block."""
        return stopped(self.installation.processes[name].pid)

    def announce(self, kind: str) -> None:
        """Record that a fault begins now."""
        self.faults.append(Fault(kind, time.monotonic(), wall_ms()))

    def strike(self) -> None:
        """Record that the announced fault begins only now: its preparation is done."""
        self.announce(self.faults.pop().kind)

    def pause(self, seconds: float) -> None:
        """Wait while a fault lasts."""
        self._stop.wait(seconds)

    def _supervise(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with self._processes:
                codes = {name: process.exit_code for name, process in self.installation.processes.items()}
                for name, code in codes.items():
                    if code is not None:
                        self.ended.append((name, code))
                        self.restart(name)

    # -- what is observed -------------------------------------------------------------------------------------------

    def state(self, name: str, clock: ObservedClock) -> dict[str, Any] | None:
        """A clock as a replica shows it; None if it does not answer."""
        with suppress(httpx2.HTTPError, AssertionError):
            return self.installation.state(clock.plan.name, name)
        return None

    def ready(self) -> bool:
        """Whether both replicas are ready."""
        return all(self.installation.is_ready(name) for name in REPLICAS)

    def leader(self) -> str | None:
        """The replica that leads the first clock, by the lease in Redis; None if there is none."""
        key = log_key(self.installation.prefix, log_of(self.clocks[0].plan.name), "lease")
        with suppress(redis.RedisError), redis.Redis.from_url(self.valkey.url, socket_timeout=2) as client:
            replica = client.hget(key, "replica")
            return self.installation.replica_of(replica.decode().partition(" ")[0]) if replica else None
        return None

    def until_leader(self) -> str:
        """The replica that leads, as soon as there is one."""
        return eventually(self.leader, within=30, what="a leader") or ""

    def until_ready(self, within: float) -> bool:
        """Whether both replicas are ready in time."""
        with suppress(AssertionError):
            return eventually(self.ready, within=within)
        return False

    def until_ticked(self, moment: float, within: float) -> bool:
        """Whether a tick of each clock arrived at its follower after a moment, in time."""
        with suppress(AssertionError):
            return eventually(lambda: all(self._arrived(each, moment) for each in self.clocks), within=within)
        return False

    def until_followed(self, clock: ObservedClock, within: float) -> bool:
        """Whether the follower has in time what each replica shows; one tick may be in flight."""

        def followed() -> bool:
            states = [self.state(name, clock) for name in REPLICAS]
            return all(state and clock.follower.ticks()[-1] >= state["timestamp_seconds"] - 1 for state in states)

        with suppress(AssertionError):
            return eventually(followed, within=within)
        return False

    @staticmethod
    def _arrived(clock: ObservedClock, moment: float) -> bool:
        arrived = clock.follower.arrived
        return bool(arrived) and arrived[-1][1] > moment

    def _observe(self, clock: ObservedClock, name: str) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            state = self.state(name, clock)
            if state is not None and state["timestamp_seconds"] is not None:
                clock.shown[name].append(state["timestamp_seconds"])

    def _in_background(self, run: Any, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
