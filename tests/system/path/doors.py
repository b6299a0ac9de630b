"""The doors that users use: the command line, the metrics page, server-sent events. Shares no code with the product."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import httpx2

from tests.system.path.installation import Installation
from tests.unit.api.events import (
    Event,
    streaming,
)

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_AGAIN_AFTER_S = 0.1


def command(installation: Installation, *arguments: str) -> str:
    """What a command prints that succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "clocksvc.cli.main", *arguments],
        env={**os.environ, "CLOCKSVC_CONFIG": str(installation.config), "CLOCKSVC_URL": installation.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def metric(url: str, name: str, **labels: str) -> float | None:
    """One sample of a replica's metrics page; None where there is none with just these labels."""
    page = httpx2.get(f"{url}/metrics", timeout=10)
    assert page.status_code == 200, page.text
    for found, given, value in _SAMPLE.findall(page.text):
        if found == name and dict(_LABEL.findall(given)) == labels:
            return float(value)
    return None


def first_event(url: str, clock: str) -> Event:
    """What a client sees that opens a clock's stream now."""
    with streaming(f"{url}/v1/clocks/{clock}/ticks/stream") as events:
        return next(events)


class Follower:
    """Follows a clock's stream in a thread, as a browser does: when a connection ends, it goes on with the next of its
    replicas, behind the last id that it saw.

    Args:
        urls: the replicas, asked in turn.
        after: where to begin, epoch seconds; None for live.
        hang_up_every: end a connection by itself after so many ticks.

    `arrived` holds each tick's id in seconds with the monotonic time of its arrival, as they came.
    """

    def __init__(
        self, urls: Sequence[str], clock: str, *, after: int | None = None, hang_up_every: int | None = None
    ) -> None:
        self._urls = [f"{url}/v1/clocks/{clock}/ticks/stream" for url in urls]
        self._after, self._last_id = after, ""
        self._hang_up_every = hang_up_every
        self._stop = threading.Event()
        self.arrived: list[tuple[int, float]] = []
        self.connections = 0
        self.trouble: list[str] = []
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End with the next event. The connection ends with its service, if none comes."""
        self._stop.set()

    def begun(self) -> bool:
        """Whether a stream has said where it begins."""
        return self._last_id != ""

    def ticks(self) -> list[int]:
        """The ticks seen, in seconds, as they came."""
        return [at_s for at_s, _ in self.arrived]

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            try:
                self._listen(self._urls[turn % len(self._urls)])
            except (httpx2.HTTPError, AssertionError) as error:
                self.trouble.append(repr(error))
                self._stop.wait(_AGAIN_AFTER_S)
            turn += 1

    def _listen(self, url: str) -> None:
        with streaming(url, after=self._after, last_event_id=self._last_id or None) as events:
            self.connections += 1
            seen = 0
            for event in events:
                if self._stop.is_set():
                    return
                self._last_id = event.id or self._last_id
                if event.kind == "tick":
                    self.arrived.append((int(event.id), time.monotonic()))
                    seen += 1
                if seen == self._hang_up_every:
                    return
