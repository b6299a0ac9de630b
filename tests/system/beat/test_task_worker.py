"""The documented worker, with the platform's own `taskbroker-client`, runs the tasks that a dispatcher sends.

The dispatcher writes to a real Kafka. The worker runs in processes of its own. Only the taskbroker between them is an
imitation: see `minimal_taskbroker`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.time import SystemTime
from clocksvc.schedules.due_log import due_id
from clocksvc.service import bootstrap as composition
from clocksvc.service import schedule_bootstrap
from clocksvc.settings import Settings, settings_from
from clocksvc.settings.tasks import TickTaskSettings
from tests.faulty.commits import CommitFault
from tests.system.beat.minimal_taskbroker import MinimalTaskbroker
from tests.system.docs.blocks import blocks
from tests.system.installation import create_topic
from tests.unit.jobs.dispatcher_fixture import MINUTE, START_MIN, DispatcherFixture
from tests.unit.scheduler.partition_fixture import CLOCK, PartitionFixture
from tests.waiting import eventually

pytestmark = pytest.mark.path

WITHIN_S = 60.0
SHOP = """
import json, os
from taskbroker_client.state import current_task

def noted(function, time, **given):
    task = current_task()
    line = {"function": function, "time": time, "id": task.id, "attempt": task.attempt, "more": task.retries_remaining}
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps({**line, **given}) + "\\n")
    return task.attempt

def mark_missed_before(time, region, key):
    attempt = noted("mark_missed_before", time, region=region, key=key)
    if (time == FLAKY and attempt == 0) or time == FAILING:
        raise ConnectionError("the database does not answer")

def send_invoices(time, key):
    noted("send_invoices", time, key=key)

def check(url, time, key):
    noted("check", time, url=url, key=key)
"""
"""The user's functions: they record each call. One tick's task fails in its first attempt, one in every attempt."""

RUNS, FLAKY, FAILING = (to_rfc3339((START_MIN + minute) * MINUTE) for minute in (1, 2, 3))


@dataclass
class Platform:
    """A taskbroker, the documented worker, and dispatchers whose tasks it runs."""

    settings: Settings
    taskbroker: MinimalTaskbroker
    folder: Path

    def dispatch(self, task: TickTaskSettings) -> DispatcherFixture:
        """A clock whose dispatcher sends one of the configured tasks to the real topic."""
        target = self.settings.platform_task(task)
        assert target is not None
        fixture = DispatcherFixture()
        fixture.queue = composition.open_taskbroker(self.settings, {task.schedule_name: target}, SystemTime())  # type: ignore[assignment]
        return fixture

    def calls(self, time: str) -> list[dict[str, Any]]:
        """The calls of the user's functions for one tick."""
        lines = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [line for line in lines if line["time"] == time]

    def wait_for(self, task: str, tick: str, *decisions: str) -> None:
        """Wait for the taskbroker's decisions about a task of one tick."""

        def found() -> bool:
            made = self.taskbroker.decisions(task, tick)
            assert made == list(decisions), (self.folder / "worker.log").read_text()[-3000:]
            return True

        eventually(found, within=WITHIN_S, what=f"the decisions about {task} at {tick}")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, redis_url: str) -> Iterator[Platform]:
    """The documented configuration and worker, over topics of this test."""
    folder = tmp_path_factory.mktemp("worker")
    topic, dead_letters = f"{folder.name}-{os.getpid()}", f"{folder.name}-{os.getpid()}-dlq"
    create_topic(bootstrap, topic, 3, "CreateTime")
    create_topic(bootstrap, dead_letters, 1, "CreateTime")
    (worker,) = [block.text for block in blocks("docs/jobs.md", "python") if block.file == "worker.py"]
    (folder / "worker.py").write_text(worker)
    (folder / "shop.py").write_text(f"FLAKY, FAILING = {FLAKY!r}, {FAILING!r}\n{SHOP}")
    (folder / "calls").touch()
    with MinimalTaskbroker(bootstrap, topic, 3, dead_letters) as taskbroker:
        environ = {"CALLS": str(folder / "calls"), "REDIS_URL": redis_url, "TASKBROKERS": taskbroker.address}
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "worker.py"],
                cwd=folder,
                env={**os.environ, **environ},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield Platform(_documented_settings(bootstrap, topic), taskbroker, folder)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the worker's children, too
            process.wait(10)


def _documented_settings(bootstrap: str, topic: str) -> Settings:
    (text,) = [block.text for block in blocks("docs/jobs.md", "yaml") if "send_invoices" in block.text]
    data = yaml.safe_load(text.replace("taskworker-ingest", topic))
    data["kafka"] = {"bootstrap.servers": bootstrap}
    data["clocks"]["checkins"]["tasks"][1]["processing_deadline"] = "1s"
    return settings_from(data)


def test_the_worker_follows_the_retry_state(platform: Platform, bootstrap: str) -> None:
    """A task that succeeds runs once. One that fails once gets a second attempt, with a new id and the same key. One
    that always fails ends in the dead-letter topic after three attempts."""
    close, _ = platform.settings.clocks["checkins"].tasks
    clock = platform.dispatch(close)
    dispatcher = clock.dispatcher([close.schedule()], "tasks")
    clock.run(dispatcher, steps=3)

    clock.tick(1, 2, 3)
    clock.run(dispatcher)

    platform.wait_for("close_minute", RUNS, "given", "completed")
    platform.wait_for("close_minute", FLAKY, "given", "retried", "given", "completed")
    platform.wait_for("close_minute", FAILING, *["given", "retried"] * 2, "given", "dead-lettered")
    (once,) = platform.calls(RUNS)
    assert (once["function"], once["region"], once["attempt"], once["more"]) == ("mark_missed_before", "eu", 0, True)
    first, second = platform.calls(FLAKY)
    assert (first["attempt"], first["more"], second["attempt"]) == (0, True, 1)
    assert (first["key"] == second["key"], first["id"] == second["id"]) == (True, False)
    assert [call["attempt"] for call in platform.calls(FAILING)] == [0, 1, 2]
    (dead,) = _records(bootstrap, f"{platform.settings.routes().topics()[0]}-dlq")
    assert (dead.headers["clocksvc-tick"], dead.headers["clocksvc-id"]) == (FAILING, platform.calls(FAILING)[0]["key"])


def test_a_schedule_that_is_due_is_a_task(platform: Platform) -> None:
    """The sink `taskbroker`: the worker runs the function of the schedule's task with its payload, once for each id."""
    topic = platform.settings.routes().topics()[0]
    data = {
        "kafka": {"bootstrap.servers": platform.settings.kafka_settings()["bootstrap.servers"]},
        "clocks": {"checkins": {"topics": ["t"], "group": "g", "schedules": {"sink": "taskbroker"}}},
        "namespaces": {"uptime": {"topic": topic}},
        "taskbroker": {"application": "shop"},
    }
    partition = PartitionFixture(sink=schedule_bootstrap.open_taskbroker_sink(settings_from(data), SystemTime()))
    partition.put("monitor-17", payload={"url": "https://example.org"})
    owner = partition.owner()
    partition.tick(2)
    partition.run(owner)

    for time in ("2026-11-22T12:01:00Z", "2026-11-22T12:02:00Z"):
        platform.wait_for("check", time, "given", "completed")
        (call,) = platform.calls(time)
        assert call["url"] == "https://example.org"
        assert call["key"] == due_id(CLOCK, "monitor-17", parse_timestamp("time", time))
    assert partition.positions()[-1] == "12:02"


def test_a_refused_duplicate_is_not_delivered_again(platform: Platform) -> None:
    """Beat sends a task again after a commit without an answer. The worker refuses it and reports nothing."""
    _, invoices = platform.settings.clocks["checkins"].tasks
    clock = platform.dispatch(invoices)
    dispatcher = clock.dispatcher([invoices.schedule()], "tasks")
    clock.run(dispatcher, steps=3)

    clock.tick(1)
    clock.topic.commit_faults.append(CommitFault.LOST)
    while clock.topic.commit_faults:
        clock.run(dispatcher, steps=1)
    platform.wait_for("send_invoices", RUNS, "given", "completed")
    clock.run(dispatcher)

    platform.wait_for("send_invoices", RUNS, "given", "completed", "given", "discarded")
    assert len([call for call in platform.calls(RUNS) if call["function"] == "send_invoices"]) == 1


def test_two_installations_with_equal_names_share_a_worker(platform: Platform) -> None:
    """No task of one is refused as a duplicate of the other's."""
    _, invoices = platform.settings.clocks["checkins"].tasks
    queue = platform.dispatch(invoices).queue
    at_ms = (START_MIN + 4) * MINUTE
    tick = Tick("checkins", at_ms, at_ms - MINUTE, MINUTE, at_ms)
    sent = [DueTask(name, "checkins", "clocksvc", invoices.schedule_name, at_ms, tick) for name in ("live", "test")]
    for task in sent:
        queue.send(task)

    calls = eventually(
        lambda: found if len(found := platform.calls(to_rfc3339(at_ms))) == 2 else [],
        within=WITHIN_S,
        what="the tasks of both",
    )
    assert {call["key"] for call in calls} == {task.id for task in sent}


def _records(bootstrap: str, topic: str) -> list[TaskActivation]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = consumer.consume(end, 20)
    consumer.close()
    return [TaskActivation.FromString(record.value() or b"") for record in records]
