"""Schedules over HTTP in real partitions: what a response promises holds at ticks, and for two owners at once."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient

from clocksvc.api.local_schedules import LocalSchedules
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.scheduler.partition import SchedulePartition
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.schedule_fixture import PATH
from tests.unit.scheduler.partition_fixture import CLOCK, MINUTE, PartitionFixture

T = TypeVar("T")

CHECK = {"interval": "60s", "task": "uptime.check"}
NDJSON = {"Content-Type": "application/x-ndjson"}
EXPORT = {"Accept": "application/x-ndjson"}
ONE = f"{PATH}/monitor-1"


class SteppedPartition:
    """A partition that is stepped until a function has run."""

    def __init__(self, partition: SchedulePartition) -> None:
        self._partition = partition

    def call(self, function: Callable[[OwnedPartition], T]) -> "Future[T]":
        """Run a function, as `SchedulePartition.call`."""
        future = self._partition.call(function)
        for _ in range(50):
            if future.done():
                break
            self._partition.step()
        return future


@pytest.fixture
def partition() -> PartitionFixture:
    """The only partition of the clock's schedules."""
    return PartitionFixture()


@pytest.fixture
def replica(clock_fixture: ClockFixture, client_of: ClientOf, partition: PartitionFixture) -> Callable[..., TestClient]:
    """Makes clients of the process of an owner."""

    def make(owner: SchedulePartition) -> TestClient:
        partitions = {0: SteppedPartition(owner)}
        access = LocalSchedules(SchedulesSpec(CLOCK, 1), MINUTE, lambda: partitions, partition.time)
        return client_of(clock_fixture, access={CLOCK: access})

    return make


def put(client: TestClient, path: str = ONE, **more: Any) -> Any:
    """The response to a write of a schedule."""
    return client.put(path, json=CHECK, **more)


def test_what_was_acknowledged_before_a_tick_counts(
    partition: PartitionFixture, replica: Callable[..., TestClient]
) -> None:
    """A schedule is due from the next tick on after its PUT, and not due after its DELETE."""
    owner = partition.owner()
    client = replica(owner)
    assert put(client).status_code == 200
    partition.tick()
    partition.run(owner)
    partition.tick()
    partition.run(owner)
    deleted = client.delete(ONE)
    partition.tick()
    partition.run(owner)

    assert deleted.status_code == 200
    assert partition.due() == [("monitor-1", "12:01"), ("monitor-1", "12:02")]
    assert client.get(ONE).status_code == 404


def test_reads_see_what_other_programs_have_written(
    partition: PartitionFixture, replica: Callable[..., TestClient]
) -> None:
    """A relay of an outbox writes Kafka directly; the owner reads to the end before it answers or compares."""
    client = replica(partition.owner())
    etag = put(client).headers["etag"]
    partition.put("monitor-1", payload=7)
    partition.put("monitor-2")

    assert problem_name(put(client, headers={"If-Match": etag})) == "precondition-failed"
    assert client.get(ONE).json()["payload"] == 7
    assert [one["id"] for one in client.get(PATH).json()["schedules"]] == ["monitor-1", "monitor-2"]
    assert put(client).json()["created_at"] == "2026-11-01T00:00:00Z"


def test_two_owners_do_not_overwrite_each_other(
    partition: PartitionFixture, replica: Callable[..., TestClient]
) -> None:
    """An owner that does not know yet that it was fenced writes nothing, and answers from no old state."""
    former = partition.owner()
    old = replica(former)
    etag = put(old).headers["etag"]
    new = replica(partition.owner())
    changed = put(new, headers={"If-Match": etag, "Content-Type": "application/json"})
    assert changed.status_code == 200

    late = old.put(ONE, json={**CHECK, "paused": True}, headers={"If-Match": etag})

    assert problem_name(late) in ("precondition-failed", "schedules-unavailable")
    assert "nothing has changed" in late.json()["detail"]
    assert new.get(ONE).headers["etag"] == changed.headers["etag"]
    assert put(new).status_code == 200


def test_import_and_export(partition: PartitionFixture, replica: Callable[..., TestClient]) -> None:
    """An export has the form of an import, and an import of it changes nothing."""
    client = replica(partition.owner())
    body = b"".join(
        json.dumps({"id": f"m{number:03}", **CHECK, "payload": number}).encode() + b"\n" for number in range(300)
    )
    offsets = [json.loads(line)["offset"] for line in client.post(PATH, content=body, headers=NDJSON).text.splitlines()]

    exported = client.get(PATH, headers=EXPORT).content
    client.post(PATH, content=exported, headers=NDJSON)

    assert offsets == list(range(offsets[0], offsets[0] + 300))
    assert exported.count(b"\n") == 300
    assert client.get(PATH, headers=EXPORT).content == exported


def test_missed_runs(partition: PartitionFixture, replica: Callable[..., TestClient]) -> None:
    """They can be read in pages, and after a takeover, the newest tick first."""
    owner = partition.owner()
    client = replica(owner)
    client.put(ONE, json={**CHECK, "max_age": "30s"})
    client.put(f"{PATH}/monitor-2", json=CHECK)
    for _ in range(3):
        partition.tick()
        partition.time.advance(45)
        partition.run(owner)
    other = replica(partition.owner())

    first = other.get(f"{PATH}/missed-runs", params={"limit": 2}).json()
    second = other.get(f"{PATH}/missed-runs", params={"limit": 2, "after": first["next"]}).json()

    runs = first["missed_runs"] + second["missed_runs"]
    assert [one["due"] for one in runs] == [f"2026-11-22T12:0{minute}:00Z" for minute in (3, 2, 1)]
    assert {one["id"] for one in runs} == {"monitor-1"}
    assert {one["reason"] for one in runs} == {"expired"}
    assert (len(first["missed_runs"]), second["next"]) == (2, None)
    assert [schedule for schedule, _ in partition.due()] == ["monitor-2"] * 3
