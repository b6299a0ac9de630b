"""A whole installation that outages are brought upon: replicas, consumers, Celery, producers, and who watches them.

A process that ends by itself is started again, as an operator's supervisor would, and remembered. What is broken on
purpose, and for how long, is `faults.py`'s.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import redis
import yaml

from clocksvc.dev.ports import LOOPBACK, free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.rounds.brokers import Brokers
from tests.system.outages.rounds.watched import (
    Plan,
    Watched,
)
from tests.system.outages.rounds.wire import Wire
from tests.system.path.installation import (
    Installation,
    wall_ms,
)
from tests.waiting import eventually

REPLICAS = ("serve-a", "serve-b")
_LOOK_EVERY_S = 0.25
_BEGINS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Fault:
    """A fault that was brought about: `at` in monotonic seconds, `wall_ms` the same by the wall clock."""

    kind: str
    at: float
    wall_ms: int


class World:
    """The clocks of `plans` in one installation. Each replica has wires of its own to Redis, and to Kafka if it can.

    Attributes:
        faults: those brought about, in order.
        ended: processes that ended by themselves: (name, exit code).
    """

    def __init__(self, folder: Path, kafka: Brokers, valkey: ValkeyServer, plans: Sequence[Plan]) -> None:
        self.folder, self.kafka, self.valkey = folder, kafka, valkey
        run = f"outages{wall_ms() % 10**8}"
        self.clocks = [Watched(plan, run, REPLICAS) for plan in plans]
        clocks = {watched.plan.name: watched.settings() for watched in self.clocks}
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, run, clocks)
        self.urls = {name: f"http://{LOOPBACK}:{port}" for name, port in zip(REPLICAS, free_ports(2), strict=True)}
        self.store_wires = {name: Wire(valkey.port) for name in REPLICAS}
        self.consumers = {name: watched for watched in self.clocks for name in watched.consumers}
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
        for watched in self.clocks:
            watched.stop()
        self.installation.close()
        for wire in self.store_wires.values():
            wire.close()

    def _begin(self) -> None:
        for name in REPLICAS:
            self._configure(name)
        for watched in self.clocks:
            watched.write(self.kafka.bootstrap, self.kafka.replication)
        for name in (*REPLICAS, *self.consumers, "worker", "beat"):
            self.restart(name)
        eventually(self.ready, within=_BEGINS_WITHIN_S, what="both replicas to be ready")
        self._in_background(self._supervise)
        for watched in self.clocks:
            watched.follow(list(self.urls.values()))
            for name in REPLICAS:
                self._in_background(self._look, watched, name)
        assert self.until_ticked(time.monotonic(), within=_BEGINS_WITHIN_S), "no first tick came"

    def _configure(self, name: str) -> None:
        settings = yaml.safe_load(self.installation.config.read_text())
        settings["redis"]["url"] = f"redis://{LOOPBACK}:{self.store_wires[name].port}/0"
        if wire := self.kafka.wires.get(name):
            settings["kafka"]["bootstrap.servers"] = f"{LOOPBACK}:{wire.port}"
        self._config_of(name).write_text(yaml.safe_dump(settings))

    def _config_of(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    # -- processes --------------------------------------------------------------------------------------------------

    def restart(self, name: str) -> None:
        """Start one process, which does not run."""
        with self._processes:
            if name in REPLICAS:
                port = self.urls[name].rpartition(":")[2]
                arguments = ["serve", "--port", port, "--config", str(self._config_of(name))]
                self.installation.start(name, "clocksvc.cli.main", *arguments)
            elif watched := self.consumers.get(name):
                self._start_consumer(name, watched)
            else:
                pool = ["--pool", "solo"] if name == "worker" else ["--pidfile="]
                self.installation.start(name, "celery", "-A", "clocksvc", name, *pool, "--loglevel", "WARNING")

    def _start_consumer(self, name: str, watched: Watched) -> None:
        # A file for each run: a killed one may leave half a line, which must not run into another's first.
        notes = self.folder / f"{name}.{len(watched.notes)}.notes"
        watched.notes.append(notes)
        url = f"{self.valkey.url}?prefix={self.installation.prefix}"
        arguments = [self.kafka.bootstrap, watched.topic, watched.group, url, watched.plan.name, str(notes)]
        self.installation.start(name, "tests.system.path.consumer", *arguments)

    def kill(self, name: str) -> None:
        """SIGKILL; returns when the process is gone."""
        with self._processes:
            process = self.installation.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def end(self, name: str) -> None:
        """SIGTERM; returns when the process has ended, in order."""
        assert self.installation.end(name) == 0

    def freeze(self, name: str) -> int:
        """SIGSTOP; the process id, for `thaw`."""
        pid = self.installation.processes[name].pid
        os.kill(pid, signal.SIGSTOP)
        return pid

    def thaw(self, pid: int) -> None:
        """SIGCONT."""
        os.kill(pid, signal.SIGCONT)

    def announce(self, kind: str) -> None:
        """A fault of a kind comes."""
        self.faults.append(Fault(kind, time.monotonic(), wall_ms()))

    def strike(self) -> None:
        """What the announced fault had to prepare is done: it comes now."""
        self.announce(self.faults.pop().kind)

    def pause(self, seconds: float) -> None:
        """Let a fault last."""
        self._stop.wait(seconds)

    def _supervise(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with self._processes:
                over = {name: one.poll() for name, one in self.installation.processes.items()}
                for name, code in over.items():
                    if code is not None:
                        self.ended.append((name, code))
                        self.restart(name)

    # -- what is seen -----------------------------------------------------------------------------------------------

    def state(self, name: str, watched: Watched) -> dict[str, Any] | None:
        """A clock as a replica shows it; None when it does not answer."""
        with suppress(httpx2.HTTPError):
            answer = httpx2.get(f"{self.urls[name]}/v1/clocks/{watched.plan.name}", timeout=5)
            return dict(answer.json()) if answer.status_code == 200 else None
        return None

    def ready(self) -> bool:
        """Whether both replicas are."""
        with suppress(httpx2.HTTPError):
            return all(httpx2.get(f"{url}/readyz", timeout=2).status_code == 200 for url in self.urls.values())
        return False

    def leader(self) -> str | None:
        """The replica that leads the first clock, by what the store says; None while nobody does."""
        key = f"{self.installation.prefix}:{{{self.clocks[0].plan.name}}}:lease"
        with suppress(redis.RedisError), redis.Redis.from_url(self.valkey.url, socket_timeout=2) as client:
            holder = client.hget(key, "holder")
            for name in REPLICAS:
                process = self.installation.processes.get(name)
                if holder and process and holder.decode().endswith(f":{process.pid}"):
                    return name
        return None

    def until_leader(self) -> str:
        """The replica that leads, once there is one."""
        return eventually(self.leader, within=30, what="a leader") or ""

    def until_ready(self, within: float) -> bool:
        """Whether both replicas are ready in time."""
        with suppress(AssertionError):
            return eventually(self.ready, within=within)
        return False

    def until_ticked(self, moment: float, within: float) -> bool:
        """Whether a tick of each clock arrived at its client after a moment, in time."""
        with suppress(AssertionError):
            return eventually(lambda: all(self._arrived(each, moment) for each in self.clocks), within=within)
        return False

    def until_followed(self, watched: Watched, within: float) -> bool:
        """Whether the client has in time what each replica shows; a tick may be on its way."""

        def followed() -> bool:
            states = [self.state(name, watched) for name in REPLICAS]
            return all(state and watched.follower.ticks()[-1] >= state["timestamp_seconds"] - 1 for state in states)

        with suppress(AssertionError):
            return eventually(followed, within=within)
        return False

    @staticmethod
    def _arrived(watched: Watched, moment: float) -> bool:
        arrived = watched.follower.arrived
        return bool(arrived) and arrived[-1][1] > moment

    def _look(self, watched: Watched, name: str) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            state = self.state(name, watched)
            if state is not None and state["timestamp_seconds"] is not None:
                watched.shown[name].append(state["timestamp_seconds"])

    def _in_background(self, run: Any, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
