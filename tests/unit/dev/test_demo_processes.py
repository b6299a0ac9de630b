"""Progress messages while the demo's servers start."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from clocksvc.dev.demo import processes
from clocksvc.dev.demo.processes import DemoServers

pytestmark = pytest.mark.core


class Downloading:
    """A Kafka whose start lasts until `fetched` is set."""

    name = "Kafka"

    def __init__(self) -> None:
        self.fetched = threading.Event()

    def start(self) -> None:
        self.fetched.wait(30)

    def wait_ready(self) -> None:
        pass


class Looks(threading.Event):
    """An event that is never set; at each wait the download grows, by a megabyte at every fourth."""

    def __init__(self, kafka: Downloading, part: Path) -> None:
        super().__init__()
        self._kafka, self._part, self._looks = kafka, part, 0

    def wait(self, timeout: float | None = None) -> bool:
        self._looks += 1
        if self._looks == 12:
            self._kafka.fetched.set()
        self._part.write_bytes(b"x" * (1_000_000 * (1 + min(self._looks, 11) // 4) + self._looks))
        return super().wait(timeout)


def test_a_download_is_shown_only_when_it_progresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is repeated; a directory that is moved while it is counted is ignored."""
    scandir = os.scandir

    def moved_away(folder: Any) -> Any:
        if os.fspath(folder).endswith("whole"):
            raise FileNotFoundError(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", moved_away)
    monkeypatch.setenv("CLOCKSVC_DEV_CACHE", str(tmp_path))
    monkeypatch.setattr(processes, "_POLL_S", 0.01)
    monkeypatch.setattr(processes, "_PROGRESS_S", 0.01)
    (tmp_path / "fetching-1" / "whole").mkdir(parents=True)
    told: list[str] = []
    starting = DemoServers("elsewhere:9092", "redis://elsewhere")
    kafka: Any = Downloading()
    starting.kafka = kafka
    starting.start(Looks(kafka, tmp_path / "fetching-1" / "a.jar"), told.append)

    assert [line.partition("once: ")[2] for line in told[1:]] == [f"{mb} of about 45 MB …" for mb in (1, 2, 3)]
