"""Replicas of one installation that lead the clocks of all logs together, and what is done to them."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.evidence import LOGS, read_all_ticks
from tests.system.installation import Installation, create_topic, wall_ms
from tests.system.outages.fleet.leaders import LeaderWatch, shares
from tests.system.outages.fleet.load import PARTITIONS, Load
from tests.system.outages.rounds.brokers import Single
from tests.system.outages.rounds.observed_clock import Plan
from tests.tcp_proxy import TcpProxy
from tests.waiting import eventually

QUIET_S = 18.0
"""Logs are handed over from 10 s on after a replica became ready, one each second. Replicas announce themselves every
2 s."""
_SETTLES_WITHIN_S = 90.0
_LED_WITHIN_S = 60.0
_GROUP = "fleet"


class Phase(NamedTuple):
    """A part of the run, with the longest delay of a tick that is allowed in it.

    Attributes:
        before, after: how many logs each replica led.
        still: True if no log may move.
    """

    name: str
    limit_s: float
    began_ms: int
    ended_ms: int
    before: dict[str, int]
    after: dict[str, int]
    still: bool


def clock_names(count: int) -> list[str]:
    """Names of clocks, distributed over all logs as evenly as possible."""
    return list(Plan("fleet", PARTITIONS, 1, clocks=count).names())


class Fleet:
    """An installation with a load. A context manager: all replicas but the last one lead clocks when it begins.

    Attributes:
        replicas: the names of all replicas. One more than may run at a time, for rolling changes.
        live: the names of those that run.
        clocks: the configuration of each clock.
        phases: those that have ended.
        removed_ms: up to which time a removed clock must have ticked, by its name.
    """

    def __init__(
        self, folder: Path, kafka: Single, valkey: ValkeyServer, replicas: Sequence[str], clocks: Sequence[str], *,
        interval_s: int = 1,
    ) -> None:  # fmt: skip
        prefix = f"fleet{wall_ms() % 10**8}"
        self.kafka, self.valkey, self.replicas = kafka, valkey, list(replicas)
        self._topic, self._interval_s = f"{prefix}-records", interval_s
        self.clocks = {name: self.settings() for name in clocks}
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, prefix, self.clocks, replicas=replicas)
        self.store_proxies = {name: TcpProxy(valkey.port) for name in replicas}
        self.load = Load(valkey.url, prefix, self._topic, _GROUP, interval_s)
        self.load.add(clocks)
        self.watch = LeaderWatch(valkey.url, prefix)
        self.live: list[str] = []
        self.phases: list[Phase] = []
        self.removed_ms: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            for proxy in self.store_proxies.values():
                self._stack.callback(proxy.close)
            self._stack.enter_context(self.installation)
            create_topic(self.kafka.bootstrap, self._topic, PARTITIONS)
            for name in self.replicas[:-1]:
                self.start(name, wait=False)
            self._stack.enter_context(self.watch)
            self._stack.enter_context(self.load)
            self.until_led()
            eventually(self._all_tick, within=_LED_WITHIN_S, what="each clock to have a tick")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settings(self) -> dict[str, Any]:
        """The configuration of a clock, which no heartbeat and no hold of a quiet partition disturbs."""
        return {"topics": [self._topic], "group": _GROUP, "interval": f"{self._interval_s}s", "heartbeat": None}

    # -- replicas -----------------------------------------------------------------------------------------------------

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a replica with the present configuration, and wait until it answers."""
        proxied = {
            "redis": {"url": f"redis://{self.store_proxies[name].address}/0", "prefix": self.installation.prefix},
            "kafka": {"bootstrap.servers": self.kafka.proxies[name].address},
            "clocks": self.clocks,
        }
        self.installation.configure(name, **proxied)
        self.installation.start_replica(name, wait=wait)
        self._names[str(self.installation.processes[name].pid)] = name
        self.live.append(name)

    def kill(self, *names: str) -> None:
        """SIGKILL of replicas, at the same time."""
        for name in names:
            self.live.remove(name)
            self.installation.kill(name)

    def end(self, name: str) -> None:
        """SIGTERM of a replica, which must exit with 0."""
        self.live.remove(name)
        assert self.installation.end(name) == 0, name

    def replace_all(self) -> int:
        """Replace all replicas by ones with the present configuration, as a Deployment with maxSurge 1 does it: each
        one gets SIGTERM once a new one is ready.

        Returns:
            When the last one got SIGTERM, in ms.
        """
        ended_ms = 0
        for old in list(self.live):
            self.start(next(name for name in self.replicas if name not in self.live))
            ended_ms = wall_ms()
            self.end(old)
        return ended_ms

    # -- leaders ------------------------------------------------------------------------------------------------------

    def shares(self) -> dict[str, int]:
        """How many logs each replica leads."""
        return shares(self.watch.present(), self._name)

    def until_led(self, *without: str) -> float:
        """Wait until running replicas other than these lead all logs; the seconds that this takes."""
        began = time.monotonic()

        def led() -> bool:
            found = self.shares()
            return sum(found.get(name, 0) for name in self.live if name not in without) == LOGS

        eventually(led, within=_LED_WITHIN_S, what="all logs to be led")
        return time.monotonic() - began

    def until_leads(self, name: str) -> None:
        """Wait until a replica leads a log."""
        eventually(lambda: name in self.shares(), within=_SETTLES_WITHIN_S, what=f"{name} to lead a log")

    def until_shared(self) -> None:
        """Wait until each running replica leads a log, and no log has moved for a while."""

        def settled() -> bool:
            found, last_ms = self.shares(), self.watch.moves[-1].at_ms
            shared = all(found.get(name, 0) for name in self.live) and sum(found.values()) == LOGS
            return shared and wall_ms() - last_ms >= QUIET_S * 1000

        eventually(settled, within=_SETTLES_WITHIN_S, what=f"{self.live} to share all logs")

    @staticmethod
    def pause(seconds: float) -> None:
        """Let the replicas work."""
        threading.Event().wait(seconds)

    @contextmanager
    def phase(self, name: str, limit_s: float, *, still: bool = False) -> Iterator[None]:
        """Note a phase, whose work is the block."""
        before, began_ms = self.shares(), wall_ms()
        yield
        self.phases.append(Phase(name, limit_s, began_ms, wall_ms(), before, self.shares(), still))

    def _all_tick(self) -> bool:
        return self.clocks.keys() <= read_all_ticks(self.kafka.bootstrap, self.installation.tick_log).keys()

    def _name(self, replica: str) -> str:
        """A replica's name, from `HOST:PID ID`."""
        return self._names.get(replica.partition(" ")[0].rpartition(":")[2], replica)
