"""`--health-check-file-path`: the file's age shows whether a worker receives tasks."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from clocksvc.celery.worker import TOUCH_INTERVAL_S
from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import Process, module
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[Process, Path, ValkeyServer]]:
    """A worker with its own broker, and its file."""
    file = tmp_path / "health"
    with ValkeyServer() as valkey:
        config = tmp_path / "clocksvc.yaml"
        clocks = {"checkins": {"topics": ["t"], "group": "g"}}
        config.write_text(yaml.safe_dump({"redis": {"url": valkey.url}, "clocks": clocks}))
        command = module("celery", "-A", "clocksvc", "worker", "--pool", "solo", "-l", "CRITICAL")
        process = Process(
            [*command, "--health-check-file-path", str(file)],
            tmp_path / "worker.log",
            environ={"CLOCKSVC_CONFIG": str(config)},
        )
        try:
            yield process, file, valkey
        finally:
            process.kill()


def age_s(file: Path) -> float:
    return time.time() - file.stat().st_mtime


def test_the_file_is_touched_while_tasks_are_received(
    worker: tuple[Process, Path, ValkeyServer],
) -> None:
    """It is touched repeatedly, not touched without a broker, and removed when the worker ends."""
    process, file, valkey = worker
    eventually(file.exists, within=30, what="the file")
    first = file.stat().st_mtime
    eventually(lambda: file.stat().st_mtime > first, within=4 * TOUCH_INTERVAL_S, what="the file to be touched again")

    valkey.stop()
    eventually(lambda: age_s(file) > 2 * TOUCH_INTERVAL_S, within=6 * TOUCH_INTERVAL_S, what="the file to grow old")
    valkey.start()
    valkey.wait_ready()
    eventually(
        lambda: age_s(file) < TOUCH_INTERVAL_S, within=60, what="the file to be touched again with the broker back"
    )

    assert process.end(within=30) == 0
    assert not file.exists()
