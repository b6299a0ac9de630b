"""`Schedules(kafka=…)` writes a real topic as the scheduler reads it."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc import Schedules
from clocksvc.client.schedule_values import ScheduleResult
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import InvalidValue, SchedulesRejected, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import partition_of
from clocksvc.schedules.entry import read_entry

pytestmark = pytest.mark.servers

PARTITIONS = 3
CREATED = "2026-11-22T12:00:00Z"
CHECK = {"interval": "60s", "task": "uptime.check", "created_at": CREATED}


@pytest.fixture
def clock(bootstrap: str, key_prefix: str) -> str:
    """A clock whose topic of schedules exists."""
    new = NewTopic(f"{key_prefix}-schedules", PARTITIONS, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([new])[new.topic].result(30)
    return key_prefix


@pytest.fixture
def schedules(bootstrap: str, clock: str) -> Iterator[Schedules]:
    """The clock's schedules."""
    with Schedules(kafka=bootstrap, clock=clock) as opened:
        yield opened


def records(bootstrap: str, clock: str) -> list[tuple[int, bytes, bytes | None]]:
    """The partition, key and value of each record of the topic, in order for each partition."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": clock, "enable.partition.eof": True, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(f"{clock}-schedules", number, 0) for number in range(PARTITIONS)])
    found, ends = [], 0
    while ends < PARTITIONS:
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            ends += 1
        else:
            found.append((message.partition() or 0, bytes(message.key() or b""), message.value()))
    consumer.close()
    return found


def test_a_record_is_as_the_scheduler_reads_it(bootstrap: str, clock: str, schedules: Schedules) -> None:
    """In the partition of CRC32, with `format`; a deletion is a tombstone in the same partition."""
    created = datetime(2026, 11, 22, 13, tzinfo=UTC)
    written = schedules.put("acme:1", {**CHECK, "payload": {"url": "https://a"}, "created_at": created})
    deleted = schedules.delete("acme:1")

    assert deleted is not None
    partition = partition_of(b"acme:1", PARTITIONS)
    (first, tombstone) = records(bootstrap, clock)
    assert first[:2] == tombstone[:2] == (partition, b"acme:1")
    assert tombstone[2] is None
    assert json.loads(first[2] or b"") == {
        **CHECK,
        "format": 1,
        "payload": {"url": "https://a"},
        "created_at": "2026-11-22T13:00:00Z",
    }
    assert read_entry(b"acme:1", first[2] or b"").key == b"acme:1"
    assert (written.partition, written.offset, deleted.offset) == (partition, 0, 1)
    assert (deleted.partition, deleted.etag) == (partition, None)


def test_it_reads_what_it_wrote(schedules: Schedules) -> None:
    """One schedule, those with a prefix, and those after an id. `created_at` is kept in fields that were read."""
    names = [f"acme:{number}" for number in range(5)]
    schedules.put_many((name, CHECK) for name in ["other:1", *reversed(names)])
    found = schedules.get("acme:3")

    assert found is not None
    assert found.fields == CHECK
    assert schedules.put("acme:3", {**found.fields, "paused": True}).etag != found.etag
    changed = schedules.get("acme:3")
    assert changed is not None
    assert changed.fields == {**CHECK, "paused": True}
    assert schedules.get("acme:9") is None
    assert [one.id for one in schedules.list("acme:")] == names
    assert [one.id for one in schedules.list("acme:", after="acme:2")] == names[3:]


def test_many_are_written_in_order(bootstrap: str, clock: str, schedules: Schedules) -> None:
    """With an outcome for each, in the order of the input. The records of a key keep their order; others are named."""
    items: list[tuple[str, dict[str, Any] | None]] = [
        (f"acme:{number % 100}", {**CHECK, "payload": number}) for number in range(2_000)
    ]
    items[500] = ("not valid!", CHECK)
    items[600] = ("acme:0", {"interval": "60s", "task": "uptime.check"})
    items[-1] = ("acme:99", None)
    results: list[ScheduleResult] = []

    assert schedules.put_many(items, results.append) == 1_998

    assert [one.position for one in results] == list(range(2_000))
    failed = {one.position: str(one.error) for one in results if one.error}
    assert set(failed) == {500, 600}
    assert "wanted 1 to 64 letters" in failed[500]
    assert "wanted the time when this id was first written" in failed[600]
    newest = {key: value for _, key, value in records(bootstrap, clock)}
    assert newest[b"acme:99"] is None
    assert {json.loads(value)["payload"] for value in newest.values() if value} == set(range(1_900, 1_999))


def test_an_export_can_be_written_again(schedules: Schedules) -> None:
    """Numbers keep all of their digits; a line of another id is an error."""
    line = b'{"id":"a","created_at":"2026-11-22T12:00:00Z","interval":"60s","task":"a.b","payload":[1.10,%d]}' % 10**30
    schedules.put_many([("a", line)])
    exported = list(schedules.export())

    assert exported == [line]
    with pytest.raises(SchedulesRejected, match="wanted the id of the line"):
        schedules.put_many([("b", line)])
    assert [one.id for one in schedules.list()] == ["a"]


def test_failures_without_a_callback_are_raised(schedules: Schedules) -> None:
    """After all others have been written."""
    with pytest.raises(SchedulesRejected, match=r"^1 of 2 were not written: position 0: interval: '0.5s'") as raised:
        schedules.put_many([("a", {**CHECK, "interval": "0.5s"}), ("b", CHECK)])

    assert set(raised.value.failed) == {0}
    assert schedules.get("b") is not None


def test_threads_can_share_it(schedules: Schedules) -> None:
    """Each gets its own outcomes."""
    offsets: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for _ in range(20):
            written = schedules.put(f"acme:{number}", CHECK)
            offsets.append((written.partition, written.offset))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(offsets)) == len(offsets) == 80


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"if_match": '"x"'}, "if_match: '\"x\"' is not valid: wanted no condition"),
        ({"if_absent": True}, "if_absent: True is not valid: wanted no condition"),
    ],
)
def test_conditions_are_not_possible(schedules: Schedules, change: dict[str, Any], says: str) -> None:
    """Only the owner of a partition can compare."""
    with pytest.raises(InvalidValue) as raised:
        schedules.put("acme:1", CHECK, **change)

    assert str(raised.value).startswith(says)


def test_missed_runs_are_known_by_the_service(schedules: Schedules) -> None:
    """Not by the topic of schedules."""
    with pytest.raises(InvalidValue, match="wanted a url"):
        schedules.missed()


def test_a_missing_topic_is_named(bootstrap: str, key_prefix: str) -> None:
    """It is not created."""
    with (
        Schedules(kafka=bootstrap, clock=key_prefix, timeout=5) as opened,
        pytest.raises(SchedulesUnavailable) as raised,
    ):
        opened.put("a", CHECK)

    assert str(raised.value).startswith(f"topic '{key_prefix}-schedules' does not exist: `clocksvc scheduler` creates")


def test_no_kafka_is_unavailable() -> None:
    """After the timeout."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with Schedules(kafka=address, clock="checkins", timeout=0.3) as opened, pytest.raises(SchedulesUnavailable):
        opened.put("a", CHECK)


@pytest.mark.parametrize("kafka", ["", {}, {"bootstrap.servers": "localhost:9092", "no.such": "1"}])
def test_wrong_settings_are_an_error_of_the_constructor(kafka: Any) -> None:
    """With what is wrong."""
    with pytest.raises(InvalidValue, match="kafka"):
        Schedules(kafka=kafka, clock="checkins")
