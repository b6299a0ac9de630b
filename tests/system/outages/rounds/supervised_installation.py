"""An installation under outages: replicas, consumers, Celery, producers, and observers of its clocks.

A process that ends by itself is restarted, as a supervisor does, and remembered. `faults.py` decides what is broken,
and for how long.
"""

import signal
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx2
import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import stopped
from tests.system.installation import Installation, wall_ms
from tests.system.outages.rounds.brokers import Brokers
from tests.system.outages.rounds.observed_clock import ObservedClock, ObservedTopic, Plan
from tests.tcp_proxy import TcpProxy
from tests.waiting import eventually

REPLICAS = ("serve-a", "serve-b")
_LOOK_EVERY_S = 0.25
_OBSERVE_EVERY_S = 1.0
_BEGINS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault that was injected.

    Attributes:
        at, wall_ms: when it began, in monotonic seconds, and by the wall clock.
        led: the logs that the replica led with which the fault interfered.
        server_back_at: when the killed server answered again, in monotonic seconds.
    """

    kind: str
    at: float
    wall_ms: int
    led: frozenset[int] = frozenset()
    server_back_at: float | None = None


class SupervisedInstallation:
    """The topics and clocks of `plans` in one installation. Each replica has proxies to Redis, and perhaps to Kafka.

    Attributes:
        faults: those injected, in order.
        ended: processes that ended by themselves: (name, exit code).
    """

    def __init__(self, folder: Path, kafka: Brokers, valkey: ValkeyServer, plans: Sequence[Plan]) -> None:
        self.kafka, self.valkey = kafka, valkey
        run = f"outages{wall_ms() % 10**8}"
        self.topics = [ObservedTopic(plan, run, REPLICAS) for plan in plans]
        self.clocks = [clock for topic in self.topics for clock in topic.clocks]
        settings = {clock.name: clock.topic.settings(clock.name) for clock in self.clocks}
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, run, settings, replicas=REPLICAS)
        self.store_proxies = {name: TcpProxy(valkey.port) for name in REPLICAS}
        self.consumers = {name: topic for topic in self.topics for name in topic.consumers}
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
        for topic in self.topics:
            topic.stop_writing()
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
        for topic in self.topics:
            topic.write(self.kafka.bootstrap, self.kafka.replication)
        for name in (*REPLICAS, *self.consumers, "worker", "beat"):
            self.restart(name)
        eventually(self.ready, within=_BEGINS_WITHIN_S, what="both replicas to be ready")
        self._in_background(self._supervise)
        for clock in self.clocks:
            clock.follow(list(self.installation.urls.values()))
        for name in REPLICAS:
            self._in_background(self._observe, name)
        waiting = self.until_ticked(time.monotonic(), within=_BEGINS_WITHIN_S)
        assert not waiting, f"no first tick came: {[(clock.name, self.hold_of(clock)) for clock in waiting[:3]]}"

    # -- processes --------------------------------------------------------------------------------------------------

    def restart(self, name: str) -> None:
        """Start one process, which must not be running."""
        with self._processes:
            if name in REPLICAS:
                self.installation.start_replica(name, wait=False)
            elif topic := self.consumers.get(name):
                clocks = [clock.name for clock in topic.clocks]
                notes = self.installation.start_consumer(
                    name, topic.name, topic.group, *clocks, buffered=topic.plan.buffered
                )
                topic.notes.append(notes)
            elif name == "worker":
                self.installation.start_worker()
            else:
                self.installation.start_beat()

    def kill(self, name: str) -> None:
        """SIGKILL; the process is gone when this returns."""
        with self._processes:
            self.installation.kill(name)

    def end(self, name: str, *, and_while_starting: bool = False) -> None:
        """SIGTERM; the process has exited with 0 when this returns.

        Args:
            and_while_starting: whether the process may have just been started, and does not handle the signal yet.
        """
        assert self.installation.end(name) in ({0, -signal.SIGTERM} if and_while_starting else {0})

    def stopped(self, name: str) -> AbstractContextManager[None]:
        """SIGSTOP a process for the duration of the block."""
        return stopped(self.installation.processes[name].pid)

    def end_writing(self) -> None:
        """End producers and heartbeats, and wait until the BufferedConsumers have committed all records."""
        for name in ("beat", "worker"):
            self.end(name)
        for topic in self.topics:
            topic.stop_writing()
            if topic.commits is not None:
                eventually(
                    topic.all_committed, within=_BEGINS_WITHIN_S, what=f"all records of {topic.name} to be committed"
                )
                topic.commits.close()

    def announce(self, kind: str) -> None:
        """Record that a fault begins now."""
        self.faults.append(Fault(kind, time.monotonic(), wall_ms()))

    def strike(self, victim: str | None = None) -> None:
        """Record that the announced fault begins only now, because its preparation is done.

        Args:
            victim: the process with which it interferes.
        """
        self.announce(self.faults.pop().kind)
        # Read afterwards: a log that was handed over just before has its next leader already.
        led = frozenset(log for log, replica in self.leaders().items() if replica == victim)
        self.faults[-1] = replace(self.faults[-1], led=led)

    def server_is_back(self) -> None:
        """Record that the server that the last fault killed answers again: no clock can tick without it."""
        self.faults[-1] = replace(self.faults[-1], server_back_at=time.monotonic())

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

    def shown_by(self, name: str) -> dict[str, int]:
        """The global clocks that a replica shows, in epoch seconds, by clock; {} if it does not answer."""
        with suppress(httpx2.HTTPError, AssertionError):
            states = self.installation.states(name)
            return {one["clock"]: one["timestamp_seconds"] for one in states if one["timestamp_seconds"] is not None}
        return {}

    def hold_of(self, clock: ObservedClock) -> object:
        """The hold of a clock as a replica shows it, for a report."""
        for name in REPLICAS:
            with suppress(httpx2.HTTPError, AssertionError):
                state = self.installation.state(clock.name, name)
                return {key: state[key] for key in ("time", "status", "hold", "leader")}
        return "no replica answers"

    def ready(self) -> bool:
        """Whether both replicas are ready."""
        return all(self.installation.is_ready(name) for name in REPLICAS)

    def leaders(self) -> dict[int, str]:
        """The replicas that lead logs, by the leases in Redis."""
        found: dict[int, str] = {}
        with suppress(redis.RedisError), redis.Redis.from_url(self.valkey.url, socket_timeout=2) as client:
            for log in {clock.log for clock in self.clocks}:
                holder = client.hget(f"{self.installation.prefix}:{{{log}}}:lease", "replica")
                name = self.installation.replica_of(holder.decode().partition(" ")[0]) if holder else None
                if name is not None:
                    found[log] = name
        return found

    def until_leader(self, log: int | None = None) -> str:
        """The replica that leads a log, or the first clock's log, as soon as there is one."""
        log = self.clocks[0].log if log is None else log
        return eventually(lambda: self.leaders().get(log), within=30, what=f"a leader of log {log}") or ""

    def until_ready(self, within: float) -> bool:
        """Whether both replicas are ready in time."""
        with suppress(AssertionError):
            return eventually(self.ready, within=within)
        return False

    def until_ticked(self, moment: float, within: float) -> list[ObservedClock]:
        """The clocks of which no tick arrived at the follower after a moment, in time."""
        with suppress(AssertionError):
            eventually(lambda: not self._without_tick(moment), within=within)
        return self._without_tick(moment)

    def until_followed(self, within: float) -> list[str]:
        """The clocks whose follower does not have in time what each replica shows; one tick may be in flight."""

        def behind() -> list[str]:
            shown = [self.shown_by(name) for name in REPLICAS]
            reached = {clock.name: (clock, [one.get(clock.name) for one in shown]) for clock in self.clocks}
            return [
                f"{name}: the client is at {clock.follower.ticks()[-1:]}, replicas at {states}"
                for name, (clock, states) in reached.items()
                if any(at_s is None or clock.follower.ticks()[-1] < at_s - clock.interval_s for at_s in states)
            ]

        with suppress(AssertionError):
            eventually(lambda: not behind(), within=within)
        return behind()

    def _without_tick(self, moment: float) -> list[ObservedClock]:
        return [clock for clock in self.clocks if not clock.has_ticked_since(moment)]

    def _observe(self, name: str) -> None:
        while not self._stop.wait(_OBSERVE_EVERY_S):
            shown = self.shown_by(name)
            for clock in self.clocks:
                if clock.name in shown:
                    clock.shown[name].append(shown[clock.name])

    def _in_background(self, run: Any, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
