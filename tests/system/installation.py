"""An installation of real processes: replicas of the service, Celery worker and beat, consumers. Independent of pytest.

Kafka and Redis are given. Nothing here shares code with the service: raw HTTP, raw metrics, the command line.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
import yaml
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from prometheus_client.parser import text_string_to_metric_families

from clocksvc.dev.child_server import LOOPBACK, free_ports
from tests import http_client
from tests.process import Process, kill_all, module
from tests.waiting import eventually

READY_WITHIN_S = 30.0
_COMMAND_S = 60.0


def wall_ms() -> int:
    """The wall clock of the test."""
    return time.time_ns() // 1_000_000


def create_topic(
    bootstrap: str, name: str, partitions: int, timestamp_type: str = "LogAppendTime", replication: int = 1
) -> None:
    """Create a topic and wait until a broker describes it: it can be later than the controller's answer."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topic = NewTopic(name, partitions, replication, config={"message.timestamp.type": timestamp_type})
    admin.create_topics([topic])[name].result(30)
    eventually(lambda: admin.describe_topics(TopicCollection([name]))[name].result(30), within=30, what=f"topic {name}")


class Installation:
    """The processes of one installation. A context manager that kills them at its end.

    Args:
        folder: for configuration files and the output of each process, `NAME.log`.
        prefix: `redis.prefix`. The tick log is the topic `PREFIX-ticks`.
        clocks: the section `clocks` of the configuration.
        replicas: names of the service's replicas. Each has a port of its own; none is started yet.
        sections: more sections of the configuration; they replace those made here.

    Attributes:
        url: the replica that `state` asks.
        processes: those started and not yet ended, by name.
    """

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        redis_url: str,
        prefix: str,
        clocks: Mapping[str, Any],
        *,
        replicas: Sequence[str] = ("serve",),
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.bootstrap, self.redis_url, self.prefix = folder, bootstrap, redis_url, prefix
        self.ports = dict(zip(replicas, free_ports(len(replicas)), strict=True))
        self.urls = {name: f"http://{LOOPBACK}:{port}" for name, port in self.ports.items()}
        self.url = self.urls[replicas[0]]
        self.processes: dict[str, Process] = {}
        self.config = folder / "clocksvc.yaml"
        self._settings = {
            "redis": {"url": redis_url, "prefix": prefix},
            "kafka": {"bootstrap.servers": bootstrap},
            "tick_log": {"topic": self.tick_log},
            "clocks": dict(clocks),
            "api": {"port": self.ports[replicas[0]]},
            **(sections or {}),
        }
        self.configure()

    @property
    def tick_log(self) -> str:
        """The topic of the tick log."""
        return f"{self.prefix}-ticks"

    @property
    def report_url(self) -> str:
        """The URL for a Reporter that writes to Redis."""
        return f"{self.redis_url}{'&' if '?' in self.redis_url else '?'}prefix={self.prefix}"

    def configure(self, replica: str | None = None, **sections: Any) -> None:
        """Replace sections of the configuration, for processes started from now on; only for one replica if named."""
        if replica is None:
            self._settings.update(sections)
            self.config.write_text(yaml.safe_dump(self._settings))
        else:
            self._own_config(replica).write_text(yaml.safe_dump({**self._settings, **sections}))

    # -- processes ------------------------------------------------------------------------------------------------

    def start(self, name: str, *command: str, environ: Mapping[str, str] | None = None) -> None:
        """Start a Python module with arguments as a process of the installation."""
        own = self._own_config(name)
        config = {"CLOCKSVC_CONFIG": str(own if own.exists() else self.config)}
        log = self.folder / f"{name}.log"
        self.processes[name] = Process(module(*command), log, environ={**config, **(environ or {})})

    def start_replica(self, name: str | None = None, *, wait: bool = True) -> None:
        """Start `clocksvc serve`, the first replica unless named. Returns when it is ready, if it should wait."""
        name = name or next(iter(self.urls))
        self.start(name, "clocksvc.cli.main", "serve", "--port", str(self.ports[name]))
        if wait:
            eventually(lambda: self.is_ready(name), within=READY_WITHIN_S, what=f"{name} to be ready")

    def start_worker(self) -> None:
        """Start a Celery worker."""
        self.start("worker", "celery", "-A", "clocksvc", "worker", "--pool", "solo", "--loglevel", "WARNING")

    def start_beat(self) -> None:
        """Start a Celery beat."""
        self.start("beat", "celery", "-A", "clocksvc", "beat", "--pidfile=", "--loglevel", "WARNING")

    def start_celery(self) -> None:
        """Start a worker and a beat."""
        self.start_worker()
        self.start_beat()

    def start_consumer(self, name: str, topic: str, group: str, *clocks: str, buffered: str | None = None) -> Path:
        """Start a consumer process that reports to some clocks. Each start has a new file of notes: a killed one may
        leave half a line.

        Args:
            buffered: None, or the rebalance protocol of a BufferedConsumer, which reports to one clock.
        """
        notes = self.folder / f"{name}.{len(list(self.folder.glob(f'{name}.*.notes')))}.notes"
        notes.touch()
        arguments = (self.bootstrap, topic, group, self.report_url, ",".join(clocks), str(notes))
        if buffered is None:
            self.start(name, "tests.system.consumer", *arguments)
        else:
            self.start(name, "tests.system.buffered_consumer", *arguments, buffered)
        return notes

    def end(self, name: str, *, within: float = 20.0) -> int:
        """SIGTERM; the exit code once the process has ended."""
        return self.processes.pop(name).end(within=within)

    def kill(self, name: str) -> None:
        """SIGKILL; the process is gone when this returns."""
        self.processes.pop(name).kill()

    def close(self) -> None:
        """Kill all processes."""
        kill_all(self.processes)
        self.processes.clear()

    def check_alive(self) -> None:
        """AssertionError if a process has ended that was not ended here."""
        for process in self.processes.values():
            process.check_alive()

    def output(self, name: str) -> str:
        """The last lines that a process wrote."""
        return (self.folder / f"{name}.log").read_text()[-3_000:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own_config(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    # -- HTTP and command line ------------------------------------------------------------------------------------

    def is_ready(self, name: str | None = None) -> bool:
        """Whether `/readyz` of a replica answers 200."""
        try:
            return http_client.get(f"{self._url(name)}/readyz", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def state(self, clock: str, replica: str | None = None) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`."""
        answer = http_client.get(f"{self._url(replica)}/v1/clocks/{clock}", timeout=10)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    def states(self, replica: str | None = None) -> list[dict[str, Any]]:
        """`GET /v1/clocks`: the states of all clocks, at most 1,000."""
        answer = http_client.get(f"{self._url(replica)}/v1/clocks?limit=1000", timeout=10)
        assert answer.status_code == 200, answer.text
        states: list[dict[str, Any]] = answer.json()["clocks"]
        return states

    def leader(self, state: Mapping[str, Any]) -> str | None:
        """The replica that leads a clock, by a state of it; None if there is none, or it has ended."""
        return self.replica_of(state["leader"] or "")

    def replica_of(self, holder: str) -> str | None:
        """The running replica that a lease's holder names, which is `HOST:PID`."""
        running = ((name, self.processes.get(name)) for name in self.urls)
        return next((name for name, process in running if process and holder.endswith(f":{process.pid}")), None)

    def samples(self, name: str, replica: str | None = None) -> dict[tuple[str, ...], float]:
        """A metric of `/metrics`, by the values of its labels in the order of the labels' names."""
        page = http_client.get(f"{self._url(replica)}/metrics", timeout=10)
        assert page.status_code == 200, page.text
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
            if sample.name == name
        }

    def metric(self, name: str, replica: str | None = None, **labels: str) -> float | None:
        """One sample of `/metrics`; None if there is none with exactly these labels."""
        return self.samples(name, replica).get(tuple(value for _, value in sorted(labels.items())))

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """The result of a `clocksvc` command."""
        return subprocess.run(
            module("clocksvc.cli.main", *arguments),
            env={**os.environ, "CLOCKSVC_CONFIG": str(self.config), "CLOCKSVC_URL": self.url, **environ},
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
        )

    def command(self, *arguments: str) -> str:
        """The output of a `clocksvc` command that succeeds."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def _url(self, replica: str | None) -> str:
        return self.url if replica is None else self.urls[replica]
