"""A real installation with something of everything in it, and a real Prometheus that scrapes it.

Two replicas, Celery's worker and beat, consumers, producers, a stream that is read; two clocks, a tick a second:
`orders` ticks, with a record that came late, a timestamp that was refused, an excluded partition, a task at each tick,
and a leader that handed over; `parcels` is held by its partition 1. All of it goes on until it is closed.
"""

import itertools
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from clocksvc.dev.ports import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.repository import ROOT
from tests.system.ops.prometheus_server import (
    PrometheusServer,
    Series,
)
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.system.path.scene import (
    PATIENCE_S,
    Scene,
)
from tests.waiting import eventually

RULES = sorted((ROOT / "helm" / "clocksvc" / "rules").glob("*.yaml"))
"""The chart's own rules, evaluated beside the scrapes."""

TASK = "shop.close_second"
AN_HOUR_MS = 3_600_000

SCRAPED = {
    "both replicas": "sum(up) == 2",
    "ticks": 'sum(rate(clocksvc_ticks_total{clock="orders"}[10s])) > 0',
    "the hold": 'clocksvc_holding{clock="parcels",reason="partition_behind"} == 1',
    "the late record": 'clocksvc_late_records_total{clock="orders"} > 0',
    "the refused timestamp": 'clocksvc_reports_total{clock="orders",outcome="too_far_ahead"} > 0',
    "the excluded partition": 'clocksvc_partitions{clock="orders",state="excluded"} == 1',
    "the hand-over": 'sum by (clock) (changes(clocksvc_leader{clock="orders"}[1m])) > 0',
    "a round of heartbeats": 'clocksvc_heartbeat_last_success_timestamp_seconds{clock="orders"}',
    "a task": 'clocksvc_tasks_total{clock="orders",outcome="sent"} > 0',
    "a stream": 'sum(clocksvc_streams{clock="orders"}) > 0',
}
"""What Prometheus has seen when the installation is entered."""


class Scraped:
    """The installation, ready when entered; its `prometheus` may be asked anything.

    Args:
        folder: for configuration and the processes' output.
        bootstrap: Kafka's address.
        program: where Prometheus is.
    """

    def __init__(self, folder: Path, bootstrap: str, program: Path) -> None:
        run = f"scraped{wall_ms() % 10**8}"
        self.orders = Scene(run, "orders", 3, "CreateTime")
        self.parcels = Scene(run, "parcels", 2)
        self._folder, self._bootstrap, self._program, self._run = folder, bootstrap, program, run
        self._all = ExitStack()
        self.began_s = wall_ms() // 1000
        """When it began, epoch seconds: nothing was scraped before."""

    @property
    def installation(self) -> Installation:
        """Its processes."""
        return self.orders.installation

    def until(self, expression: str, what: str, within: float = PATIENCE_S) -> list[Series]:
        """The series of an expression, as soon as Prometheus has one."""

        def asked() -> list[Series]:
            self.installation.check_alive()
            return self.prometheus.query(expression)

        return eventually(asked, within=within, what=f"Prometheus to have {what}: {expression}")

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._all.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.close()

    def _begin(self) -> None:
        self._start(self._all.enter_context(ValkeyServer()))
        for scene in (self.orders, self.parcels):
            self._all.enter_context(scene)
            scene.member()
        self.orders.writer(0, 1, 2)
        writer = self.parcels.writer(0, 1)
        self.orders.follow(*(f"http://{instance}" for instance in self._instances.values()))
        self.orders.until_running()
        self.parcels.until_running()
        writer.partitions = frozenset({0})
        self._hand_over()
        self._spoil()
        for what, expression in SCRAPED.items():
            self.until(expression, what)

    def _start(self, valkey: ValkeyServer) -> None:
        tasks = [{"task": TASK, "name": TASK}]
        clocks = {
            "orders": self.orders.settings(max_out_of_orderness="1s", tasks=tasks),
            "parcels": self.parcels.settings(heartbeat=None),
        }
        for scene in (self.orders, self.parcels):
            create_topic(self._bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
        installation = Installation(self._folder, self._bootstrap, valkey.url, self._run, clocks)
        self._all.callback(installation.close)
        for scene in (self.orders, self.parcels):
            scene.of(installation)
        self._instances = {"one": f"127.0.0.1:{installation.port}", "two": f"127.0.0.1:{free_ports(1)[0]}"}
        for name in self._instances:
            self._start_replica(name)
        installation.start_celery()
        self.prometheus = self._all.enter_context(PrometheusServer(self._program, self._instances.values(), RULES))
        eventually(installation.ready, within=PATIENCE_S, what="a replica to be ready")

    def _start_replica(self, name: str) -> None:
        port = self._instances[name].rpartition(":")[2]
        self.installation.start(name, "clocksvc.cli.main", "serve", "--port", port)

    def _hand_over(self) -> None:
        """End the replica that leads `orders`, in order, and start it again, as a rolling update does."""
        leader = self.until('clocksvc_leader{clock="orders"} == 1', "a leader")[0].labels["instance"]
        name = next(name for name, instance in self._instances.items() if instance == leader)
        self.installation.end(name)
        self.until(f'clocksvc_leader{{clock="orders",instance!="{leader}"}} == 1', "another leader")
        self._start_replica(name)

    def _spoil(self) -> None:
        """A record of an hour ago, one of an hour ahead, and a partition that no tick waits for any more."""
        now_ms = wall_ms()
        self.orders.write({0: now_ms - AN_HOUR_MS, 1: now_ms + AN_HOUR_MS})
        body = {"topic": self.orders.topic, "partition": 2, "reason": "its disk is gone"}

        def asked(instance: str) -> bool:
            answer = httpx2.post(f"http://{instance}/v1/clocks/orders/exclusions", json=body, timeout=15)
            return answer.status_code == 200

        instances = itertools.cycle(self._instances.values())
        eventually(lambda: asked(next(instances)), within=PATIENCE_S, what="the exclusion")
