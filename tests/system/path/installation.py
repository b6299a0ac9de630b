"""A whole installation of real processes, as a user would start them: service, Celery worker and beat, consumers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from prometheus_client.parser import text_string_to_metric_families

from clocksvc.dev.ports import free_ports
from tests.waiting import eventually


def create_topic(bootstrap: str, name: str, partitions: int, timestamp_type: str) -> None:
    """Make a topic and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(name, partitions, 1, config={"message.timestamp.type": timestamp_type})
    admin.create_topics([topic])[name].result(30)


class Installation:
    """The processes of one installation, and how to talk to it.

    `log` names a process's output file, to read when something went wrong.
    """

    def __init__(self, folder: Path, bootstrap: str, redis_url: str, prefix: str, clocks: dict[str, Any]) -> None:
        self.folder = folder
        self.bootstrap = bootstrap
        self.redis_url = redis_url
        self.prefix = prefix
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "clocksvc.yaml"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        settings = {
            "redis": {"url": redis_url, "prefix": prefix},
            "kafka": {"bootstrap.servers": bootstrap},
            "clocks": clocks,
            "api": {"port": self.port},
        }
        self.config.write_text(yaml.safe_dump(settings))

    def start(self, name: str, *command: str) -> None:
        """Start one process by its module and arguments."""
        environ = {**os.environ, "CLOCKSVC_CONFIG": str(self.config)}
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], env=environ, stdout=log, stderr=subprocess.STDOUT
            )

    def start_service(self, name: str = "serve") -> None:
        """`clocksvc serve`, ready when it says so."""
        self.start(name, "clocksvc.cli.main", "serve")
        eventually(self.ready, within=30, what=f"{name} to become ready")

    def start_celery(self) -> None:
        """A worker and a beat."""
        self.start("worker", "celery", "-A", "clocksvc", "worker", "--pool", "solo", "--loglevel", "WARNING")
        self.start("beat", "celery", "-A", "clocksvc", "beat", "--loglevel", "WARNING")

    def start_consumer(self, name: str, topic: str, group: str, clock: str) -> Path:
        """A consumer process; the file with its notes."""
        notes = self.folder / f"{name}.notes"
        url = f"{self.redis_url}{'&' if '?' in self.redis_url else '?'}prefix={self.prefix}"
        self.start(name, "tests.system.path.consumer", self.bootstrap, topic, group, url, clock, str(notes))
        return notes

    def end(self, name: str, *, within: float = 20.0) -> int:
        """SIGTERM; the exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise AssertionError(f"{name} did not end on SIGTERM:\n{self.output(name)}") from None

    def close(self) -> None:
        """End everything that still runs, at once."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()

    def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def state(self, clock: str) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`."""
        answer = httpx2.get(f"{self.url}/v1/clocks/{clock}", timeout=10)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """A metric of `GET /metrics`, by the values of its labels in the order of their names."""
        page = httpx2.get(f"{self.url}/metrics", timeout=10).text
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name
        }

    def output(self, name: str) -> str:
        """The last lines that a process wrote."""
        return (self.folder / f"{name}.log").read_text()[-3_000:]

    def check_alive(self) -> None:
        """Raise when a process that should run has ended."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.output(name)}"


def wall_ms() -> int:
    """The test's own wall clock."""
    return time.time_ns() // 1_000_000
