"""`is_duplicate`: a redelivery of a task that succeeded is recognised; any other task is run."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from celery.exceptions import Retry
from redis import Redis

from clocksvc.celery import duplicates, is_duplicate
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import SettingsError, UnknownClock
from clocksvc.interfaces.store import Store
from clocksvc.redis.keys import clock_key
from clocksvc.service.bootstrap import open_store
from clocksvc.settings import load

pytestmark = pytest.mark.servers

HEADERS = {"clocksvc-clock": "checkins"}
Configure = Callable[[str], Store]


@pytest.fixture
def configure(tmp_path: Path, key_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """A function that writes a worker's configuration with the store at a URL, and returns the clock's store."""

    def written(url: str) -> Store:
        config = tmp_path / "clocksvc.yaml"
        document = {
            "redis": {"url": url, "prefix": key_prefix},
            "clocks": {"checkins": {"topics": ["t"], "group": "g"}},
        }
        config.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("CLOCKSVC_CONFIG", str(config))
        duplicates._resources.cache_clear()
        settings = load(None, os.environ)
        return open_store(settings, settings.clock_specs()["checkins"])

    yield written
    duplicates._resources.cache_clear()


@pytest.fixture
def store(configure: Configure, redis_url: str) -> Store:
    return configure(redis_url)


class Task:
    """A bound task that calls `is_duplicate` twice and records each run. Raises `failing`, if set."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.failing: Exception | None = None
        app = Celery("duplicates", set_as_current=False, broker="memory://")

        def run(task: Any) -> None:
            self._run(task)

        self._task = app.task(bind=True, shared=False, name="duplicates.task")(run)

    def _run(self, task: Any) -> None:
        if is_duplicate(task):
            assert is_duplicate(task)
            self.runs.append("duplicate")
            return
        assert not is_duplicate(task)
        self.runs.append("run")
        if self.failing is not None:
            raise self.failing

    def deliver(self, task_id: str, headers: dict[str, str] | None = HEADERS) -> None:
        """Run the task as a worker does."""
        self._task.apply(task_id=task_id, headers=headers)

    def __call__(self) -> None:
        self._task()


def test_a_redelivery_of_a_task_that_succeeded_is_a_duplicate(store: Store) -> None:
    """Each time. It is counted once for each run. A task with another id is not a duplicate."""
    task = Task()
    for task_id in ("a", "a", "b", "a"):
        task.deliver(task_id)

    assert task.runs == ["run", "duplicate", "run", "duplicate"]
    assert store.counters().task_duplicates == 2


@pytest.mark.parametrize("error", [ValueError("half way"), Retry("later")])
def test_a_task_that_did_not_succeed_is_run_again(store: Store, error: Exception) -> None:
    """It failed, or is to be retried."""
    task = Task()
    task.failing = error
    task.deliver("a")
    task.failing = None
    task.deliver("a")
    task.deliver("a")

    assert task.runs == ["run", "run", "duplicate"]


def test_a_task_whose_process_died_is_run_again(store: Store) -> None:
    """Nothing was recorded before its end."""
    program = f"""
import os
from celery import Celery
from clocksvc.celery import is_duplicate
app = Celery("duplicates", set_as_current=False, broker="memory://")
@app.task(bind=True)
def task(self):
    assert not is_duplicate(self)
    os._exit(9)
task.apply(task_id="a", headers={HEADERS})
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 9

    task = Task()
    task.deliver("a")

    assert task.runs == ["run"]


def test_after_a_flush_of_the_store_tasks_are_run_again(store: Store, redis_url: str, key_prefix: str) -> None:
    """A redelivery is never dropped by mistake."""
    task = Task()
    task.deliver("a")
    with Redis.from_url(redis_url) as raw:
        assert raw.delete(clock_key(key_prefix, "checkins", "done-tasks")) == 1
    task.deliver("a")

    assert task.runs == ["run", "run"]


def test_without_a_store_a_task_is_run(configure: Configure) -> None:
    """Its result is unknown, and delivery is at least once."""
    configure(f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    task = Task()
    task.deliver("a")
    task.deliver("a")

    assert task.runs == ["run", "run"]


def test_a_task_that_no_clock_sent_is_no_duplicate(store: Store) -> None:
    """It was sent by hand, or called as a function: the store is not used."""
    task = Task()
    task.deliver("a", None)
    task.deliver("a", None)
    task()

    assert task.runs == ["run"] * 3
    assert store.counters().task_duplicates == 0


def test_a_wrong_configuration_is_raised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown clock, and a worker without a configuration."""
    raised: list[Exception] = []

    def run(task: Any) -> None:
        try:
            is_duplicate(task)
        except (UnknownClock, SettingsError) as error:
            raised.append(error)

    app = Celery("duplicates", set_as_current=False, broker="memory://")
    task = app.task(bind=True, shared=False, name="duplicates.wrong")(run)
    task.apply(task_id="a", headers={"clocksvc-clock": "other"})
    monkeypatch.setenv("CLOCKSVC_CONFIG", "/nowhere.yaml")
    duplicates._resources.cache_clear()
    task.apply(task_id="a", headers=HEADERS)

    assert [type(error) for error in raised] == [UnknownClock, SettingsError]
