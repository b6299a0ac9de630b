"""An installation with three schedulers, whose clock runs through an hour faster than the wall clock."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from clocksvc.client.reporter import Reporter
from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import ClocksvcError
from tests import http_client
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

CLOCK, GROUP, TOPIC = "hour", "outages", "outages-events"
SCHEDULERS = ("scheduler-a", "scheduler-b", "scheduler-c")
_REPORT_EVERY_S = 0.25
_READY_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.25


class Target:
    """The installation. A process that ends by itself is remembered, and started again.

    Args:
        partitions: of the schedules.
        begin_s: the clock's time at the beginning, in epoch seconds.
        speed: how many seconds of the clock pass in a second.

    Attributes:
        ended: processes that ended by themselves: (name, exit code).
    """

    def __init__(
        self, folder: Path, kafka: KafkaServer, valkey: ValkeyServer, partitions: int, begin_s: int, speed: float
    ) -> None:
        self.kafka, self.valkey = kafka, valkey
        self.begin_s, self.speed = begin_s, speed
        clock = {
            "topics": [TOPIC],
            "group": GROUP,
            "heartbeat": None,
            "max_out_of_orderness": "0s",
            "schedules": {"partitions": partitions},
        }
        prefix = f"outages{wall_ms() % 10**8}"
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, prefix, {CLOCK: clock})
        self.ports = dict(zip(SCHEDULERS, free_ports(len(SCHEDULERS)), strict=True))
        self.ended: list[tuple[str, int]] = []
        self._lock, self._stop, self._clock_stop = threading.RLock(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._began: float | None = None

    def begin(self) -> None:
        """Start all processes, and wait until they are ready."""
        create_topic(self.kafka.bootstrap, TOPIC, 1, "CreateTime")
        self.installation.start_replica()
        for name in SCHEDULERS:
            self.start(name)
        for name in SCHEDULERS:
            self.until_ready(name)
        self._in_background(self._supervise)

    def run_clock(self) -> None:
        """Let the clock run from now on."""
        self._began = time.monotonic()
        self._in_background(self._report)

    def stop_clock(self) -> None:
        """No record is processed from now on."""
        self._clock_stop.set()

    def close(self) -> None:
        """Kill all processes."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.installation.close()

    @property
    def now_s(self) -> float:
        """The time of the clock's records, in epoch seconds."""
        return self.begin_s + (time.monotonic() - (self._began or time.monotonic())) * self.speed

    def pause(self, seconds: float) -> None:
        """Wait while a fault lasts."""
        self._stop.wait(seconds)

    # -- processes ----------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one scheduler."""
        with self._lock:
            self.installation.start(name, "clocksvc.cli.main", "scheduler", "--port", str(self.ports[name]))

    def kill(self, name: str) -> None:
        """SIGKILL; the process is gone when this returns."""
        with self._lock:
            self.installation.kill(name)

    def end(self, name: str) -> None:
        """SIGTERM; the process has exited with 0 when this returns. It can hand its partitions over for 30 s."""
        with self._lock:
            process = self.installation.processes.pop(name)
        code = process.end(within=60)
        if code:
            self.ended.append((f"{name} after SIGTERM", code))

    def until_ready(self, name: str) -> None:
        """Wait until `/readyz` of a scheduler answers 200."""
        url = f"http://{LOOPBACK}:{self.ports[name]}/readyz"
        eventually(
            lambda: http_client.get(url, timeout=2).status_code == 200,
            within=_READY_WITHIN_S,
            what=f"{name} to be ready",
        )

    def an_owner(self, rng: random.Random) -> str | None:
        """One of the schedulers that own a partition, by their metrics; None if none answers."""
        owners = [name for name in SCHEDULERS if self._owns(name)]
        return rng.choice(owners) if owners else None

    def _owns(self, name: str) -> bool:
        try:
            page = http_client.get(f"http://{LOOPBACK}:{self.ports[name]}/metrics", timeout=2).text
        except httpx2.HTTPError:
            return False
        samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
        return any(one.name == "clocksvc_scheduler_owner" and one.value == 1 for one in samples)

    def _supervise(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with self._lock:
                for name, process in list(self.installation.processes.items()):
                    if (code := process.exit_code) is not None:
                        self.ended.append((name, code))
                        if name in SCHEDULERS:
                            self.start(name)
                        else:
                            self.installation.start_replica(wait=False)

    # -- the clock ----------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Report as a consumer would: all records up to the present time of the clock are processed."""
        with Reporter(self.installation.report_url, CLOCK, group=GROUP, topic=TOPIC) as reporter:
            while not (self._clock_stop.is_set() or self._stop.wait(_REPORT_EVERY_S)):
                try:
                    reporter.observe(0, int(self.now_s * 1000))
                except ClocksvcError:
                    continue

    def _in_background(self, run: Any) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
