"""Runs the demo's child processes: Kafka, Valkey, a scheduler, a Celery worker and two Celery beats."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from clocksvc.dev.child_process import ChildProcess, DevServerError
from clocksvc.dev.child_server import ChildServer
from clocksvc.dev.kafka_jars import KAFKA, default_cache_dir
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redaction import without_password

_POLL_S = 0.1
_PROGRESS_S = 3.0


class Interrupted(Exception):
    """A signal has ended the demo before every part had started."""


class DemoServers:
    """Kafka and Valkey as child processes, or running servers, which this class never stops.

    Args:
        kafka: the address of a running Kafka; None to start one.
        redis: the URL of a running Redis; None to start a Valkey.
    """

    def __init__(self, kafka: str | None, redis: str | None) -> None:
        self.kafka = None if kafka else KafkaServer()
        self.valkey = None if redis else ValkeyServer()
        self._given_kafka, self._given_redis = kafka, redis

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.kafka.bootstrap if self.kafka else self._given_kafka or ""

    @property
    def redis_url(self) -> str:
        """The URL of Redis."""
        return self.valkey.url if self.valkey else self._given_redis or ""

    def start(self, ended: threading.Event, progress: Callable[[str], None]) -> None:
        """Start the child servers and wait until they answer.

        Raises:
            DevServerError: a server can't be downloaded or started.
            Interrupted: `ended` was set during the start.
        """
        own = self._own()
        if own:
            named = {"Kafka": f"Kafka {KAFKA.version}"}
            progress(f"starting {' and '.join(named.get(server.name, server.name) for server in own)} …")
        initial_mb = _fetched_mb(default_cache_dir())
        waiting = [_start_in_background(server) for server in own]
        polls, shown_mb = 0, initial_mb
        while waiting:
            for one in [one for one in waiting if one.done()]:
                one.result()
                waiting.remove(one)
            if ended.wait(_POLL_S):
                raise Interrupted
            polls += 1
            if (
                polls % round(_PROGRESS_S / _POLL_S) == 0
                and (fetched_mb := _fetched_mb(default_cache_dir())) > shown_mb
            ):
                progress(f"downloading Kafka {KAFKA.version}, once: {fetched_mb} of about 45 MB …")
                shown_mb = fetched_mb

    def names(self) -> tuple[str, str]:
        """Return names and addresses of both servers, for display. Passwords are masked."""
        kafka = f"Kafka {KAFKA.version} :{self.kafka.port}" if self.kafka else f"Kafka {self.bootstrap}"
        valkey = f"Valkey :{self.valkey.port}" if self.valkey else f"Redis {without_password(self.redis_url)}"
        return kafka, valkey

    def check(self) -> None:
        """Check the child servers. Raises DevServerError if one has ended unexpectedly."""
        for server in self._own():
            if not server.running:
                tail = server.log_file.read_text(errors="replace").splitlines()[-10:]
                raise DevServerError("\n".join([f"{server.name} ended by itself. Its last lines:", *tail]))

    def close(self) -> None:
        """Stop the child servers in parallel and remove their data."""
        closing = [threading.Thread(target=server.close, daemon=True) for server in self._own()]
        for one in closing:
            one.start()
        for one in closing:
            one.join()

    def _own(self) -> list[ChildServer]:
        return [server for server in (self.kafka, self.valkey) if server is not None]


def _start_in_background(server: ChildServer) -> "Future[None]":
    """Start a server in a daemon thread.

    The threads of an executor would delay the end of the process during a download.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            server.start()
            server.wait_ready()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=f"start-{server.name}", daemon=True).start()
    return future


def _fetched_mb(cache: Path) -> int:
    """Return how many megabytes of Kafka are downloaded."""
    total = 0
    for folder in cache.glob("fetching-*"):
        for within, _, names in os.walk(folder):  # os.walk ignores directories that are moved meanwhile
            for name in names:
                with suppress(OSError):
                    total += os.stat(os.path.join(within, name)).st_size
    return round(total / 1e6)


_STOP_TIMEOUT_S = 3.0
_JOBS = "clocksvc.dev.demo.job_app"


class CeleryPrograms:
    """Celery's own programs: a worker, `celery -A clocksvc beat`, and the beat of an app that follows the clock.

    Args:
        config: the configuration file. Logs are written to the same directory.
        queue: the queue of the jobs. The worker runs the jobs and the heartbeats.

    Attributes:
        beat: the beat that sends the heartbeats, by the wall clock.
        jobs: the beat that follows the clock.
        notes: the file to which each job appends a line.
    """

    def __init__(self, config: Path, queue: str) -> None:
        self.notes = config.with_name("jobs.notes")
        self._config = config
        small = ("--pool", "solo", "--concurrency", "1")
        self.worker = self._celery("worker", "clocksvc", *small, "--queues", f"clocksvc,{queue}", "--include", _JOBS)
        self.beat = self._celery("beat", "clocksvc")
        self.jobs = self._celery("beat", _JOBS, "--scheduler", "clocksvc.celery:ClockScheduler", name="jobs")

    def start(self) -> None:
        """Start all programs."""
        for program in self._all():
            program.start()

    def stop(self) -> None:
        """Stop all programs in parallel."""
        stopping = [
            threading.Thread(target=program.stop, kwargs={"timeout_seconds": _STOP_TIMEOUT_S}, daemon=True)
            for program in self._all()
        ]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()

    def stop_beat(self) -> None:
        """Stop sending heartbeats."""
        self.beat.stop(timeout_seconds=_STOP_TIMEOUT_S)

    def _all(self) -> list[ChildProcess]:
        return [self.worker, self.beat, self.jobs]

    def _celery(self, command: str, app: str, *arguments: str, name: str | None = None) -> ChildProcess:
        folder = self._config.parent
        return ChildProcess(
            f"celery {command}",
            [sys.executable, "-m", "celery", "-A", app, command, *arguments, "--loglevel", "INFO"],
            log_file=folder / f"{name or command}.log",
            leftovers=folder,
            environ=_environ(self._config) | {"DEMO_NOTES": str(self.notes)},
        )


def scheduler_program(config: Path) -> ChildProcess:
    """Return `clocksvc scheduler`. Its log is written to the directory of the configuration file."""
    return ChildProcess(
        "clocksvc scheduler",
        [sys.executable, "-m", "clocksvc.cli.main", "scheduler", "--log-format", "text"],
        log_file=config.with_name("scheduler.log"),
        leftovers=config.parent,
        environ=_environ(config),
    )


def _environ(config: Path) -> dict[str, str]:
    """Return the environment of a program of clocksvc. Variables that the user has set must not affect the demo."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLOCKSVC_")}
    return environ | {"CLOCKSVC_CONFIG": str(config)}
