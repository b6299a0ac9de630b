"""What tests of the command line share: a configuration in a file, its topics, and commands run as a shell would."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.ports import free_ports
from tests.waiting import eventually


class Workplace:
    """A folder with one configuration, for one clock `checkins` on one topic unless changed."""

    def __init__(self, folder: Path, redis_url: str, bootstrap: str, prefix: str) -> None:
        self.folder, self.bootstrap, self.redis_url, self.prefix = folder, bootstrap, redis_url, prefix
        self.config = folder / "clocksvc.yaml"
        self.topic, self.log, self.group = f"{prefix}-topic", f"{prefix}-ticks", f"{prefix}-group"
        self.clock: dict[str, Any] = {
            "topics": [self.topic],
            "group": self.group,
            "tick_log": self.log,
            "interval": "1s",
            "heartbeat": {"every": "1s"},
        }
        self.port = free_ports(1)[0]
        self.settings: dict[str, Any] = {
            "redis": {"url": redis_url, "prefix": prefix},
            "kafka": {"bootstrap.servers": bootstrap},
            "clocks": {"checkins": self.clock},
            "api": {"port": self.port},
        }
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self.port}"

    def write(self) -> list[str]:
        """Write the configuration; the argument that names it."""
        self.config.write_text(yaml.safe_dump(self.settings))
        return ["--config", str(self.config)]

    def create_topic(self, name: str | None = None, partitions: int = 2, **config: str) -> None:
        """Make a topic; `message_timestamp_type="CreateTime"` and the like."""
        dotted = {setting.replace("_", "."): value for setting, value in config.items()}
        new = NewTopic(name or self.topic, partitions, 1, config=dotted)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([new])[name or self.topic].result(30)

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A command as a child process, its output in `output.log`."""
        with open(self.folder / "output.log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "clocksvc.cli.main", *arguments],
                env={**os.environ, **(environ or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._children.append(child)
        return child

    def output(self) -> str:
        """What child processes wrote."""
        return (self.folder / "output.log").read_text()

    def close(self) -> None:
        """End what still runs."""
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait(10)


@pytest.fixture
def folder_only(tmp_path: Path) -> Iterator[Workplace]:
    """A configuration whose Redis and Kafka nobody runs."""
    dead = free_ports(2)
    place = Workplace(tmp_path, f"redis://127.0.0.1:{dead[0]}/0", f"127.0.0.1:{dead[1]}", "nobody")
    yield place
    place.close()


@pytest.fixture
def place(tmp_path: Path, redis_url: str, bootstrap: str, key_prefix: str) -> Iterator[Workplace]:
    """A configuration for real servers; its topics are not there yet."""
    place = Workplace(tmp_path, redis_url, bootstrap, key_prefix)
    yield place
    place.close()


def wait_ready(place: Workplace) -> None:
    """Until `/readyz` answers 200."""
    import urllib3

    def ready() -> bool:
        return urllib3.request("GET", f"{place.url}/readyz", retries=False, timeout=2).status == 200

    eventually(ready, within=30, what=f"the service to become ready: {place.output()}")
