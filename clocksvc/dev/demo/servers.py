"""The demo's Kafka and Valkey: children of this process, started side by side, or somebody's own."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from clocksvc.dev.errors import DevServerError
from clocksvc.dev.kafka_jars import KAFKA_VERSION, default_cache_dir
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.server import ChildServer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.redaction import without_password

_LOOK_S = 0.1
_TELL_S = 3.0


class Interrupted(Exception):
    """Somebody wants the demo to end before everything runs."""


class Servers:
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
        left_over = _fetched_mb(default_cache_dir())
        waiting = [_in_background(server) for server in own]
        looks, told = 0, left_over
        while waiting:
            for one in [one for one in waiting if one.done()]:
                one.result()
                waiting.remove(one)
            if ended.wait(_LOOK_S):
                raise Interrupted
            looks += 1
            if looks % round(_TELL_S / _LOOK_S) == 0 and (so_far := _fetched_mb(default_cache_dir())) > told:
                progress(f"downloading Kafka {KAFKA_VERSION}, once: {so_far} of about 45 MB …")
                told = so_far

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


def _in_background(server: ChildServer) -> "Future[None]":
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
