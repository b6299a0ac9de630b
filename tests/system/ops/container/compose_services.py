"""compose.yaml without an engine: a real Kafka with its settings, a real Valkey, and the image's commands over its
mounts.

Differences to `docker compose up`: all hosts are 127.0.0.1, ports are free ones, and the clock's interval is short.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import Process, kill_all
from tests.repository import ROOT
from tests.system.ops.container.image import Image

_END_SECONDS = 20


def model() -> dict[str, Any]:
    """compose.yaml, with its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def mounts(service: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """The files of the repository that a service mounts, and where."""
    split = [volume.split(":") for volume in service.get("volumes", [])]
    return [(ROOT / source, target) for source, target, *_ in split if source.startswith("./")]


@dataclass
class Composed:
    """The running services."""

    image: Image
    bootstrap: str
    redis_url: str
    port: int
    scheduler_port: int
    services: dict[str, Any] = field(default_factory=lambda: dict(model()["services"]))
    running: dict[str, Process] = field(default_factory=dict)

    def log(self, service: str) -> Path:
        """The output of a service."""
        return self.image.root.parent / f"{service}.log"

    def start(self, service: str) -> None:
        """Run a service's command over its mounts."""
        for source, target in mounts(self.services[service]):
            self._mount(source, Path(self.image.at(target)))
        words = [word.replace("0.0.0.0", LOOPBACK) for word in self.services[service]["command"]]
        self.running[service] = self.image.run(words, self.log(service), self._environ())

    def ask(self, *command: str) -> int:
        """The exit code of another command of the image."""
        return self.image.run(command, self.log("asked"), self._environ()).wait(60)

    def healthy(self, service: str) -> bool:
        """The health check of the service, or else of the image."""
        check = self.services[service].get("healthcheck", {}).get("test")
        if check is None:
            return self.ask(*self.image.health) == 0
        kind, *words = [word.replace("$$", "$") for word in check]
        return self.ask(*(["sh", "-c"] if kind == "CMD-SHELL" else []), *words) == 0

    def end(self, service: str) -> int:
        """SIGTERM, as `docker stop` sends it; the exit code."""
        return self.running.pop(service).end(within=_END_SECONDS)

    def _environ(self) -> dict[str, str]:
        return {
            "CLOCKSVC_API__PORT": str(self.port),
            "CLOCKSVC_SCHEDULER__PORT": str(self.scheduler_port),
            "CLOCKSVC_URL": f"http://{LOOPBACK}:{self.port}",
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "REDIS_URL": self.redis_url,
        }

    def _mount(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".yaml":
            shutil.copy(source, target)
            return
        text = source.read_text().replace("redis://valkey:6379/0", self.redis_url).replace("10s", "1s")
        target.write_text(text.replace("kafka:19092", self.bootstrap))


@contextmanager
def composed(image: Image) -> Iterator[Composed]:
    """Kafka and Valkey run, and the topic exists. All services are stopped at the end."""
    services = model()["services"]
    inside, outside, controller, http, scheduler = free_ports(5)
    ports = {"19092": inside, "${KAFKA_PORT:-9092}": outside, "9092": outside, "9093": controller}
    properties = _kafka_properties(services["kafka"]["environment"], ports)
    with (
        ValkeyServer() as valkey,
        KafkaServer(port=outside, controller_port=controller, properties=properties) as kafka,
    ):
        bootstrap = f"{LOOPBACK}:{inside}"
        for address in (bootstrap, kafka.bootstrap):  # for containers, and for programs on the machine itself
            AdminClient({"bootstrap.servers": address}).list_topics(timeout=20)
        _create_topic(services["topics"]["command"], bootstrap)
        parts = Composed(image, bootstrap, valkey.url, http, scheduler)
        try:
            yield parts
        finally:
            kill_all(parts.running)
            kafka.kill()  # faster than an orderly end


def _kafka_properties(environment: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, str]:
    """As the image does: KAFKA_NODE_ID is node.id. The data directory is set by the server itself."""
    properties = {}
    for name, value in environment.items():
        text = str(value)
        for written, port in ports.items():
            text = text.replace(f":{written}", f":{port}")
        for host in ("//kafka:", "//localhost:", "//:"):
            text = text.replace(host, f"//{LOOPBACK}:")
        properties[name.removeprefix("KAFKA_").replace("_", ".").lower()] = text.replace("@localhost:", f"@{LOOPBACK}:")
    del properties["log.dirs"]
    return properties


def _create_topic(command: list[str], bootstrap: str) -> None:
    """What kafka-topics.sh would do, which is not in these jars."""
    options = dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)
    config = dict([options["config"].split("=", 1)])
    topic = NewTopic(options["topic"], num_partitions=int(options["partitions"]), config=config)
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([topic])[options["topic"]].result(30)
