"""`clocksvc init` and `clocksvc heartbeat` from end to end, with real servers and a service that runs meanwhile."""

import json
import time
from typing import Any

import pytest
import urllib3
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from clocksvc import is_heartbeat
from clocksvc.cli.main import main
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.store import Report
from clocksvc.redis.store import open_store
from tests.unit.cli.conftest import (
    Workplace,
    wait_ready,
)
from tests.waiting import eventually

pytestmark = pytest.mark.servers


def now_s() -> int:
    """The test's own clock, in whole seconds."""
    return time.time_ns() // 1_000_000_000


def records(place: Workplace, topic: str, count: int, partition: int = 0) -> list[Any]:
    """The first committed records of a partition."""
    consumer = Consumer(
        {"bootstrap.servers": place.bootstrap, "group.id": "reads", "enable.auto.commit": False}
        | {"isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Any] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
        return len(found) >= count

    eventually(enough, within=20, what=f"{count} records")
    consumer.close()
    return found


def report_all(place: Workplace, timestamp_ms: int) -> None:
    """A report of the clock's group on both partitions, once its leader has written the roster."""
    store = open_store(place.redis_url, "checkins", place.prefix)
    readings = tuple(PartitionTimestamp(Partition(place.topic, number), timestamp_ms) for number in range(2))
    expected = {Outcome.ACCEPTED, Outcome.UNCHANGED}
    eventually(
        lambda: set(store.report(Report(place.group, readings)).outcomes) <= expected, within=30, what="the roster"
    )
    store.close()


def state(place: Workplace) -> dict[str, Any]:
    """`GET /v1/clocks/checkins`."""
    found: dict[str, Any] = urllib3.request("GET", f"{place.url}/v1/clocks/checkins", retries=False, timeout=10).json()
    return found


def test_init_before_the_first_tick(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """A control record in a log of the right shape, no tick; then the clock begins with the boundary after T."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    config = place.write()
    begin_s = now_s() - 20

    assert main(["init", "checkins", "--last-tick", str(begin_s), "--json", *config]) == 0

    said = json.loads(capsys.readouterr().out)
    record = records(place, place.log, 1)[0]
    body = json.loads(record.value())
    assert record.key() == b"checkins"
    assert dict(record.headers())["clocksvc-type"] == b"control"
    assert body["state"]["last_tick"] == said["last_tick"]
    assert "timestamp_seconds" not in body

    place.start("serve", *config)
    wait_ready(place)
    report_all(place, (begin_s + 5) * 1000)
    eventually(lambda: state(place)["timestamp_seconds"] == begin_s + 5, within=30, what="the ticks")
    ticks = urllib3.request("GET", f"{place.url}/v1/clocks/checkins/ticks", retries=False).json()["ticks"]
    assert [tick["timestamp_seconds"] for tick in ticks] == [begin_s + number for number in range(1, 6)]
    assert ticks[0]["previous"] == said["last_tick"]
    assert ticks[0]["time"] == said["next_tick"]

    capsys.readouterr()
    assert main(["init", "checkins", "--last-tick", str(begin_s + 10), *config]) == 1
    assert "has a last tick" in capsys.readouterr().err
    report_all(place, (begin_s + 8) * 1000)
    eventually(lambda: state(place)["timestamp_seconds"] == begin_s + 8, within=30, what="the clock to go on")


def test_init_is_the_way_out_of_a_truncated_log(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody deleted the tick log under a running leader: the clock holds, init says where it stood, it goes on."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    config = place.write()
    place.start("serve", *config)
    wait_ready(place)
    began_s = now_s() - 30
    report_all(place, began_s * 1000)
    eventually(lambda: state(place)["timestamp_seconds"] == began_s, within=30, what="the first tick")
    admin = AdminClient({"bootstrap.servers": place.bootstrap})
    admin.delete_topics([place.log])[place.log].result(30)
    report_all(place, (began_s + 1) * 1000)
    eventually(lambda: (state(place)["hold"] or {}).get("reason") == "ticklog_truncated", within=60, what="the hold")

    capsys.readouterr()
    assert main(["init", "checkins", "--last-tick", str(began_s - 1), *config]) == 1
    assert "the store knows" in capsys.readouterr().err
    assert main(["init", "checkins", "--last-tick", str(began_s), *config]) == 0
    assert "the next tick is" in capsys.readouterr().out

    eventually(lambda: state(place)["timestamp_seconds"] == began_s + 1, within=30, what="the clock to go on")


@pytest.mark.parametrize(
    ("clock", "last_tick", "words"),
    [
        ("chekins", "0", "no clock 'chekins' is configured: wanted one of checkins"),
        ("checkins", "yesterday", "--last-tick: 'yesterday' is not valid"),
        ("checkins", "1795348800.5", "multiple of the interval"),
        ("checkins", "4000000000", "future"),
    ],
)
def test_init_of_what_can_not_be(
    place: Workplace, clock: str, last_tick: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names what is wrong; exit code 1."""
    assert main(["init", clock, "--last-tick", last_tick, *place.write()]) == 1

    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_heartbeat_into_every_partition(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """One record each, marked as a heartbeat, its timestamp now; the clock without heartbeats is left out."""
    place.create_topic(message_timestamp_type="CreateTime")
    place.settings["clocks"]["quiet"] = place.clock | {"heartbeat": None, "tick_log": f"{place.log}-2"}
    before_ms = now_s() * 1000

    assert main(["heartbeat", "--json", *place.write()]) == 0

    rounds = json.loads(capsys.readouterr().out)["rounds"]
    assert [(made["clock"], made["delivered"], made["failed"]) for made in rounds] == [("checkins", 2, [])]
    for partition in range(2):
        record = records(place, place.topic, 1, partition)[0]
        assert is_heartbeat(record)
        assert before_ms <= record.timestamp()[1] <= now_s() * 1000 + 1000


def test_heartbeat_that_fails(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """A topic that is not there: named with why, exit code 1, and the other topic gets its heartbeats."""
    place.create_topic()
    place.clock["topics"] = [place.topic, f"{place.prefix}-missing"]

    assert main(["heartbeat", "checkins", *place.write()]) == 1

    said = capsys.readouterr().out.splitlines()
    assert said[0] == "checkins: 2 heartbeats delivered"
    assert said[1].startswith(f"checkins: topic {place.prefix}-missing failed: Kafka does not list it")


def test_heartbeat_of_a_clock_that_wants_none(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Named although switched off: said, not passed over. So is a clock that is not configured."""
    place.clock["heartbeat"] = None

    assert main(["heartbeat", "checkins", *place.write()]) == 1
    assert "clocks.checkins.heartbeat" in capsys.readouterr().err
    assert main(["heartbeat", "chekins", *place.write()]) == 1
    assert "no clock 'chekins' is configured" in capsys.readouterr().err


def test_password_from_a_file(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is opened with what the settings say, beside what its URL says."""
    place.create_topic()
    (place.folder / "password").write_text("pa:ss@w/rd#\n")
    with ValkeyServer(password="pa:ss@w/rd#") as valkey:
        place.settings["redis"] = {
            "url": f"redis://127.0.0.1:{valkey.port}/0",
            "password_file": str(place.folder / "password"),
        }

        assert main(["init", "checkins", "--last-tick", str(now_s() - 5), *place.write()]) == 0

    assert "the next tick is" in capsys.readouterr().out
