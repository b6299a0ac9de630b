"""`clocksvc scheduler` as a child process on real servers: what is due at a tick is in the topic of due records."""

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3
from confluent_kafka import Consumer, TopicPartition

from clocksvc import Schedules
from clocksvc.clock.log_record import ClockState, Record, encode_message
from clocksvc.clock.logs import log_of
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.dev.child_server import free_ports
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.unit.cli.conftest import Workspace
from tests.waiting import eventually

pytestmark = pytest.mark.servers

PARTITIONS = 2
SECOND_MS = 1_000


class Ticks:
    """The leader of a clock: writes its ticks."""

    def __init__(self, workspace: Workspace, clock: str) -> None:
        kafka = {"bootstrap.servers": workspace.bootstrap}
        self._clock = clock
        self._log = KafkaTickLog(workspace.log, log_of(clock), kafka, SystemTime(), 30 * 86_400_000)
        self._log.ensure_topic(_wait)
        self._log.fence(_wait)
        self._end = self._log.bounds(_wait).end
        self.last_ms = SystemTime().now_ms() // SECOND_MS * SECOND_MS - 100 * SECOND_MS
        self.advance(1)

    def advance(self, count: int) -> None:
        """Commit the next ticks, one a second of event time."""
        records = []
        for _ in range(count):
            before_ms, self.last_ms = self.last_ms, self.last_ms + SECOND_MS
            tick = Tick(self._clock, self.last_ms, before_ms, SECOND_MS, self.last_ms)
            records.append(encode_message(Record(self._clock, ClockState(last_tick_ms=self.last_ms), tick)))
        self._end = self._log.append(records, self._end, _wait)

    def close(self) -> None:
        """Close connections."""
        self._log.close()


class DueReader:
    """Reads the due records of a clock, committed ones only."""

    def __init__(self, workspace: Workspace, clock: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": workspace.bootstrap,
                "group.id": clock,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            }
        )
        self._consumer.assign([TopicPartition(f"{clock}-due", number, 0) for number in range(PARTITIONS)])
        self.found: list[tuple[str, str, dict[str, str], bytes]] = []

    def read(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        """All due records so far: the schedule, the due time, all headers and the value."""
        for message in self._consumer.consume(500, 0.05):
            assert message.error() is None, message.error()
            listed = cast("list[tuple[str, bytes]]", message.headers() or [])
            headers = {name: value.decode() for name, value in listed}
            if "clocksvc-type" not in headers:
                key, value = cast(bytes, message.key()).decode(), cast(bytes, message.value())
                self.found.append((key, headers["clocksvc-due"], headers, value))
        return self.found

    def close(self) -> None:
        """Close connections."""
        self._consumer.close()


class Scheduling:
    """A clock with schedules, and its scheduler."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.clock = workspace, f"c{uuid.uuid4().hex[:10]}"
        self.settings = workspace.settings
        own = {**workspace.clock, "schedules": {"partitions": PARTITIONS}}
        self.settings["clocks"] = {self.clock: own}
        self._port = free_ports(1)[0]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it."""
        return self.workspace.start("scheduler", "--port", str(self._port), *self.workspace.write())

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of a response."""
        response = urllib3.request("GET", f"http://127.0.0.1:{self._port}{path}", retries=False, timeout=5)
        return response.status, response.data

    def wait_ready(self) -> None:
        """Wait until `/readyz` answers 200, and each partition has a position."""
        eventually(lambda: self.get("/readyz")[0] == 200, within=30)
        position = b"clocksvc_scheduler_position_timestamp_seconds{"
        eventually(lambda: self.get("/metrics")[1].count(position) == PARTITIONS, within=30)

    def lines(self) -> list[dict[str, Any]]:
        """The log lines of all children."""
        return [json.loads(line) for line in self.workspace.output().splitlines()]


@pytest.fixture
def scheduling(workspace: Workspace) -> Iterator[Scheduling]:
    """A clock with schedules on real servers."""
    yield Scheduling(workspace)
    print(workspace.output())


@pytest.fixture
def ticks(scheduling: Scheduling) -> Iterator[Ticks]:
    """The clock's ticks."""
    with closing(Ticks(scheduling.workspace, scheduling.clock)) as made:
        yield made


def _wait() -> None:
    return None


def test_a_schedule_is_due_at_a_tick(scheduling: Scheduling, ticks: Ticks) -> None:
    """It is written to its topic, and due at a tick; the process answers for it, and ends at SIGTERM."""
    child = scheduling.start()
    scheduling.wait_ready()
    created = to_rfc3339(ticks.last_ms)
    schedule = {"interval": "1s", "task": "uptime.check", "payload": {"url": "a"}, "created_at": created}
    with Schedules(kafka=scheduling.workspace.bootstrap, clock=scheduling.clock) as schedules:
        schedules.put("monitor-1", schedule)
    ticks.advance(2)

    with closing(DueReader(scheduling.workspace, scheduling.clock)) as due:
        eventually(lambda: len(due.read()) == 2, within=15)
    (_, first, headers, value), (key, second, _, _) = due.found
    assert (key, json.loads(value)) == ("monitor-1", {"url": "a"})
    assert [first, second] == [to_rfc3339(ticks.last_ms - SECOND_MS), to_rfc3339(ticks.last_ms)]
    assert headers["clocksvc-task"] == "uptime.check"
    assert scheduling.get("/livez")[0] == 200
    assert b"clocksvc_scheduler_build_info" in scheduling.get("/metrics")[1]
    status, body = scheduling.get(f"/v1/clocks/{scheduling.clock}/schedules/monitor-1")
    assert (status, json.loads(body)["task"]) == (200, "uptime.check")

    began = SystemTime().monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
    assert SystemTime().monotonic() - began < 3.0
    messages = [line["message"] for line in scheduling.lines()]
    assert any(message.startswith("ready: 0 schedules of 2 partitions") for message in messages)
    assert messages[-1] == "ended"


def test_topics_with_other_partitions_are_refused(scheduling: Scheduling) -> None:
    """The log names the topic and what to do; the process waits for the correction, and is not ready."""
    scheduling.workspace.create_topic(f"{scheduling.clock}-due", partitions=3)
    child = scheduling.start()
    eventually(lambda: "has 3 partitions, but" in scheduling.workspace.output(), within=30)

    status, body = scheduling.get("/readyz")
    assert (status, scheduling.clock.encode() in body) == (503, False)
    (line,) = [line for line in scheduling.lines() if "do not run" in line["message"]]
    assert line["level"] == "ERROR"
    assert f"set clocks.{scheduling.clock}.schedules.partitions to 3" in line["message"]
    child.terminate()
    assert child.wait(10) == 0


def test_servers_out_of_reach_are_waited_for(offline_workspace: Workspace, tmp_path: Path) -> None:
    """The process starts, is not ready, and ends at SIGTERM."""
    scheduling = Scheduling(offline_workspace)
    child = scheduling.start()
    eventually(lambda: scheduling.get("/livez")[0] == 200, within=30)

    status, body = scheduling.get("/readyz")
    assert (status, json.loads(body)["type"]) == (503, "urn:clocksvc:problem:not-ready")
    child.terminate()
    assert child.wait(20) == 0
