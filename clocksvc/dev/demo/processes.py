"""The demo's Kafka and Valkey: children of this process, started side by side, or somebody's own."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from clocksvc.dev.child_process import ChildProcess, DevServerError
from clocksvc.dev.child_server import ChildServer
from clocksvc.dev.kafka_jars import KAFKA_VERSION, default_cache_dir
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redaction import without_password

_POLL_S = 0.1
_PROGRESS_S = 3.0


class Interrupted(Exception):
    """Somebody wants the demo to end before everything runs."""


class DemoServers:
    """What is started here; what is somebody's own is never touched.

    Args:
        kafka: the address of a Kafka that runs already; None starts one.
        redis: the URL of a Redis that runs already; None starts a Valkey.
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
        """Start what has to be started, and wait until it answers.

        Raises:
            DevServerError: one can't be fetched or started.
            Interrupted: `ended` was set meanwhile.
        """
        own = self._own()
        if own:
            named = {"Kafka": f"Kafka {KAFKA_VERSION}"}
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
                progress(f"downloading Kafka {KAFKA_VERSION}, once: {fetched_mb} of about 45 MB …")
                shown_mb = fetched_mb

    def names(self) -> tuple[str, str]:
        """Both servers and where they are, for people; without the password of a Redis."""
        kafka = f"Kafka {KAFKA_VERSION} :{self.kafka.port}" if self.kafka else f"Kafka {self.bootstrap}"
        valkey = f"Valkey :{self.valkey.port}" if self.valkey else f"Redis {without_password(self.redis_url)}"
        return kafka, valkey

    def check(self) -> None:
        """Raises DevServerError when one of them has ended by itself."""
        for server in self._own():
            if not server.running:
                tail = server.log_file.read_text(errors="replace").splitlines()[-10:]
                raise DevServerError("\n".join([f"{server.name} ended by itself. Its last lines:", *tail]))

    def close(self) -> None:
        """End them, side by side, and their data with them."""
        closing = [threading.Thread(target=server.close, daemon=True) for server in self._own()]
        for one in closing:
            one.start()
        for one in closing:
            one.join()

    def _own(self) -> list[ChildServer]:
        return [server for server in (self.kafka, self.valkey) if server is not None]


def _start_in_background(server: ChildServer) -> "Future[None]":
    """Not an executor's thread: those are waited for when the interpreter ends, be it in the middle of a download."""
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
    """How much of a download that is under way is there."""
    total = 0
    for folder in cache.glob("fetching-*"):
        for within, _, names in os.walk(folder):  # which passes over folders that are moved away meanwhile
            for name in names:
                with suppress(OSError):
                    total += os.stat(os.path.join(within, name)).st_size
    return round(total / 1e6)


_STOP_TIMEOUT_S = 3.0
_JOBS = "clocksvc.dev.demo.job_app"


class CeleryPrograms:
    """A worker and two beats over one configuration file, in whose folder their logs are.

    Args:
        queue: of the jobs; the worker takes heartbeats and them.

    Attributes:
        beat: sends the heartbeats, by the wall clock. jobs: the beat that goes by the clock.
        notes: where the jobs write down that they came.
    """

    def __init__(self, config: Path, queue: str) -> None:
        self.notes = config.with_name("jobs.notes")
        self._config = config
        small = ("--pool", "solo", "--concurrency", "1")
        self.worker = self._celery("worker", "clocksvc", *small, "--queues", f"clocksvc,{queue}", "--include", _JOBS)
        self.beat = self._celery("beat", "clocksvc")
        self.jobs = self._celery("beat", _JOBS, "--scheduler", "clocksvc.celery:ClockScheduler", name="jobs")

    def start(self) -> None:
        """Start all."""
        for program in self._all():
            program.start()

    def stop(self) -> None:
        """End all, side by side."""
        stopping = [
            threading.Thread(target=program.stop, kwargs={"timeout_seconds": _STOP_TIMEOUT_S}, daemon=True)
            for program in self._all()
        ]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()

    def stop_beat(self) -> None:
        """No heartbeats from now on."""
        self.beat.stop(timeout_seconds=_STOP_TIMEOUT_S)

    def _all(self) -> list[ChildProcess]:
        return [self.worker, self.beat, self.jobs]

    def _celery(self, command: str, app: str, *arguments: str, name: str | None = None) -> ChildProcess:
        # Settings of the user's own must not mix with the demo's.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CLOCKSVC_")}
        folder = self._config.parent
        return ChildProcess(
            f"celery {command}",
            [sys.executable, "-m", "celery", "-A", app, command, *arguments, "--loglevel", "INFO"],
            log_file=folder / f"{name or command}.log",
            leftovers=folder,
            environ=environ | {"CLOCKSVC_CONFIG": str(self._config), "DEMO_NOTES": str(self.notes)},
        )
