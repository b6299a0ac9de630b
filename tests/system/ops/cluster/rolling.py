"""A rolling update as the chart's Deployments do it, with real processes: commands, probes and order.

This module acts as kubelet and controllers: a new pod is started, awaited, and only then an old one is ended. The
programs, Kafka and Valkey are real.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import urllib3
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.dev.child_server import free_ports
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import Process
from tests.system.ops.chart.rendering import Helm, Manifest, configuration, one, pod_specs
from tests.system.ops.chart.value_sets import with_values
from tests.system.ops.cluster.objects import Wrong
from tests.waiting import eventually

TOPIC, PARTITIONS = "ingest-checkins", 2
_START_S, _END_S = 120.0, 40.0


class Pods:
    """Deployments of two, with processes as pods."""

    def __init__(self, folder: Path, manifests: list[Manifest]) -> None:
        self._folder, self._manifests = folder, manifests
        self._specs = pod_specs(manifests)
        self._number = 0
        self.running: dict[str, list[Pod]] = {}

    def start(self, name: str) -> "Pod":
        """Start one more."""
        self._number += 1
        spec = self._specs[f"clock-clocksvc-{name}"]
        pod = Pod(self._folder, f"{name}-{self._number}", spec["containers"][0])
        self.running.setdefault(name, []).append(pod)
        return pod

    def roll(self, name: str) -> None:
        """Replace each of the old ones: the new one must be ready before an old one is ended."""
        deployment = one(self._manifests, "Deployment", f"clock-clocksvc-{name}")["spec"]
        for old in list(self.running[name]):
            new = self.start(name)
            eventually(new.ready, within=_START_S, what=f"{name} to be ready")
            new.keeps_running(deployment.get("minReadySeconds", 0))
            self.running[name].remove(old)
            took_s = old.end()
            print(f"  {name}: a new one counts, the old one ended in {took_s:.1f} s", flush=True)

    def end(self) -> None:
        """End all."""
        for pod in [pod for pods in self.running.values() for pod in pods]:
            pod.end()


class Pod:
    """One container of the chart as a process, with its own paths and port instead of the container's."""

    def __init__(self, folder: Path, name: str, container: Mapping[str, Any]) -> None:
        self._folder, self._container, self._health = folder, container, folder / f"{name}.health"
        (self.port,) = free_ports(1)
        celery = container["command"][0] == "celery"
        config = folder / ("celery.yaml" if celery else "api.yaml")
        environ = {"CLOCKSVC_CONFIG": str(config), "CLOCKSVC_API__PORT": str(self.port), "PATH": os.environ["PATH"]}
        command = [self._own(argument) for argument in container["command"]]
        command[0] = str(Path(sys.executable).parent / command[0])
        self._process = Process(command, folder / f"{name}.log", environ=environ, inherit=False)

    def ready(self) -> bool:
        """Its readiness probe; ready at once without one."""
        self._check_alive()
        probe = self._container.get("readinessProbe", {})
        if "exec" in probe:
            command = [self._own(argument) for argument in probe["exec"]["command"]]
            return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
        return "httpGet" not in probe or self.answers(probe["httpGet"]["path"])

    def answers(self, path: str) -> bool:
        """Whether a path answers with 200."""
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=2, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def keeps_running(self, seconds: float) -> None:
        """Raises Wrong if it ends within this time."""
        self._process.ends_within(seconds)
        self._check_alive()

    def end(self) -> float:
        """SIGTERM; the seconds until it has ended. Raises Wrong if the exit code is not 0."""
        began = time.monotonic()
        code = self._process.end(within=_END_S)
        if code:
            raise Wrong(f"exit code {code}, see {self._process.log}")
        return time.monotonic() - began

    def _check_alive(self) -> None:
        if (code := self._process.exit_code) is not None:
            raise Wrong(f"ended with exit code {code}, see {self._process.log}")

    def _own(self, text: str) -> str:
        return text.replace("/tmp/health", str(self._health))


def roll(helm: Path, folder: Path) -> None:
    """Replace API, beats and workers one after the other. Raises Wrong for a moment without a ready replica, or a
    second without heartbeats."""
    with KafkaServer() as kafka, ValkeyServer() as valkey:
        _make_topic(kafka.bootstrap)
        values = with_values(
            {
                "config": {
                    "redis": {"url": valkey.url},
                    "kafka": {"bootstrap.servers": kafka.bootstrap},
                    "clocks": {"checkins": {"interval": "1s", "heartbeat": {"every": "1s"}}},
                    "api": {"host": "127.0.0.1"},
                }
            }
        )
        manifests = Helm(helm).template(values)
        (folder / "token").write_text("0123456789abcdef", encoding="utf-8")
        for name, of in (("api.yaml", "clock-clocksvc"), ("celery.yaml", "clock-clocksvc-celery")):
            text = configuration(manifests, of).replace("/run/secrets/clocksvc/api.tokens.ops", str(folder / "token"))
            (folder / name).write_text(text, encoding="utf-8")
        pods = Pods(folder, manifests)
        try:
            _roll_all(pods, kafka.bootstrap)
        finally:
            pods.end()


def _roll_all(pods: Pods, bootstrap: str) -> None:
    names = ("api", "worker-heartbeats", "beat-heartbeats")
    for pod in [pods.start(name) for name in names for _ in range(2)]:
        eventually(pod.ready, within=_START_S, what="the first pods to be ready")
    with _heartbeats(bootstrap) as beaten, _watched(pods) as moments:
        eventually(lambda: all(beaten), within=30, what="the first heartbeats")
        first = max(min(seconds) for seconds in beaten)
        for name in names:
            pods.roll(name)
        last = int(time.time())
        eventually(lambda: all(max(seconds) > last for seconds in beaten), within=30, what="the last heartbeats")
    missed = [second for second in range(first, last) if not all(second in seconds for seconds in beaten)]
    if missed:
        raise Wrong(f"no heartbeat in {len(missed)} of {last - first} seconds: {missed}")
    if not all(moments):
        raise Wrong(f"no replica was ready in {moments.count(False)} of {len(moments)} moments")
    print(f"rolling update: a heartbeat in each partition in each of {last - first} seconds,")
    print(f"  and a ready replica in each of {len(moments)} moments looked at", flush=True)


@contextmanager
def _heartbeats(bootstrap: str) -> Iterator[list[set[int]]]:
    """By partition: the seconds of the heartbeats that came."""
    beaten: list[set[int]] = [set() for _ in range(PARTITIONS)]
    with closing(Consumer({"bootstrap.servers": bootstrap, "group.id": "watcher"})) as consumer:
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])

        def look() -> None:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                beaten[message.partition() or 0].add(message.timestamp()[1] // 1000)

        with _again_and_again(look):
            yield beaten


@contextmanager
def _watched(pods: Pods) -> Iterator[list[bool]]:
    """Whether one of the API's replicas was ready, at each moment."""
    moments: list[bool] = []
    rest = threading.Event()

    def look() -> None:
        moments.append(any(pod.answers("/readyz") for pod in list(pods.running["api"])))
        rest.wait(0.05)

    with _again_and_again(look):
        yield moments


@contextmanager
def _again_and_again(look: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def _make_topic(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(60)
