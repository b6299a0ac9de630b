"""Fixtures for tests of the command line: a configuration file with its topics, and commands as child processes."""

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

from clocksvc.dev.child_server import free_ports
from tests.unit.api.clock_fixture import NOON, ClockFixture, ticks
from tests.unit.api.running_service import RunningService, serving_by_environment
from tests.waiting import eventually


class Workspace:
    """A folder with a configuration of one clock `checkins` on one topic, which tests can change."""

    def __init__(self, folder: Path, redis_url: str, bootstrap: str, prefix: str) -> None:
        self.folder, self.bootstrap, self.redis_url, self.prefix = folder, bootstrap, redis_url, prefix
        self.config = folder / "clocksvc.yaml"
        self.topic, self.log, self.group = f"{prefix}-topic", f"{prefix}-ticks", f"{prefix}-group"
        self.clock: dict[str, Any] = {
            "topics": [self.topic],
            "group": self.group,
            "interval": "1s",
            "heartbeat": {"every": "1s"},
        }
        self.port = free_ports(1)[0]
        self.settings: dict[str, Any] = {
            "redis": {"url": redis_url, "prefix": prefix},
            "kafka": {"bootstrap.servers": bootstrap},
            "tick_log": {"topic": self.log},
            "clocks": {"checkins": self.clock},
            "api": {"port": self.port},
        }
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """The address of the service."""
        return f"http://127.0.0.1:{self.port}"

    def write(self) -> list[str]:
        """Write the configuration. Returns the arguments that name it."""
        self.config.write_text(yaml.safe_dump(self.settings))
        return ["--config", str(self.config)]

    def create_topic(self, name: str | None = None, partitions: int = 2, **config: str) -> None:
        """Create a topic; settings such as `message_timestamp_type="CreateTime"`."""
        dotted = {setting.replace("_", "."): value for setting, value in config.items()}
        new = NewTopic(name or self.topic, partitions, 1, config=dotted)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([new])[name or self.topic].result(30)

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command as a child process; its output goes to `output.log`."""
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
        """The output of all child processes."""
        return (self.folder / "output.log").read_text()

    def close(self) -> None:
        """Kill the child processes that still run."""
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait(10)


@pytest.fixture
def offline_workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A configuration with addresses of Redis and Kafka where nothing listens."""
    dead = free_ports(2)
    workspace = Workspace(tmp_path, f"redis://127.0.0.1:{dead[0]}/0", f"127.0.0.1:{dead[1]}", "offline")
    yield workspace
    workspace.close()


@pytest.fixture
def workspace(tmp_path: Path, redis_url: str, bootstrap: str, key_prefix: str) -> Iterator[Workspace]:
    """A configuration for real servers; its topics do not exist yet."""
    workspace = Workspace(tmp_path, redis_url, bootstrap, key_prefix)
    yield workspace
    workspace.close()


@pytest.fixture
def clock_fixture() -> ClockFixture:
    """A clock with a leader and three ticks, the last at 11:02."""
    clock_fixture = ClockFixture()
    clock_fixture.report(NOON - 3_450, NOON - 3_455)
    clock_fixture.publish(*ticks(3))
    return clock_fixture


@pytest.fixture
def served(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """The service, with its address in the environment."""
    with serving_by_environment(clock_fixture, monkeypatch) as served:
        yield served


@pytest.fixture
def unused_url() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def wait_ready(workspace: Workspace) -> None:
    """Wait until `/readyz` answers 200."""
    import urllib3

    def ready() -> bool:
        return urllib3.request("GET", f"{workspace.url}/readyz", retries=False, timeout=2).status == 200

    eventually(ready, within=30, what=f"the service to become ready: {workspace.output()}")
