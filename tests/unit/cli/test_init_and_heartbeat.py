"""`clocksvc init` and `clocksvc heartbeat` end to end, with real servers and a running service."""

import json
import time
from typing import Any

import pytest
import urllib3
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from clocksvc import is_heartbeat, ticks
from clocksvc.cli.main import main
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import CursorTooOld
from clocksvc.interfaces.progress import Report
from clocksvc.redis.store import open_redis_store
from tests.unit.cli.conftest import Workspace, wait_ready
from tests.waiting import eventually

pytestmark = pytest.mark.servers


def now_s() -> int:
    """The current time in whole seconds."""
    return time.time_ns() // 1_000_000_000


def records(workspace: Workspace, topic: str, count: int, partition: int = 0, *, key: bytes | None = None) -> list[Any]:
    """The first `count` committed records of a partition, or those with this key."""
    consumer = Consumer(
        {"bootstrap.servers": workspace.bootstrap, "group.id": "reads", "enable.auto.commit": False}
        | {"isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Any] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None and key in (None, message.key()):
            found.append(message)
        return len(found) >= count

    eventually(enough, within=20, what=f"{count} records")
    consumer.close()
    return found


def report_all(workspace: Workspace, timestamp_ms: int) -> None:
    """Report a time for both partitions, after the leader has written the roster."""
    store = open_redis_store(workspace.redis_url, "checkins", workspace.prefix)
    readings = tuple(PartitionTimestamp(Partition(workspace.topic, number), timestamp_ms) for number in range(2))
    expected = {Outcome.ACCEPTED, Outcome.UNCHANGED}
    eventually(
        lambda: set(store.report(Report(workspace.group, readings)).outcomes) <= expected, within=30, what="the roster"
    )
    store.close()


def state(workspace: Workspace) -> dict[str, Any]:
    """`GET /v1/clocks/checkins`."""
    found: dict[str, Any] = urllib3.request(
        "GET", f"{workspace.url}/v1/clocks/checkins", retries=False, timeout=10
    ).json()
    return found


def test_init_before_the_first_tick(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a running service it leads until a control record is committed, and releases the lease; then the clock
    begins with the boundary after T."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    config = workspace.write()
    begin_s = now_s() - 20

    assert main(["init", "checkins", "--last-tick", str(begin_s), "--json", *config]) == 0

    shown = json.loads(capsys.readouterr().out)
    _, record = records(
        workspace, workspace.log, 2, log_of("checkins"), key=b"checkins"
    )  # the first one has the roster
    body = json.loads(record.value())
    assert dict(record.headers())["clocksvc-type"] == b"control"
    assert body["state"]["last_tick"] == shown["last_tick"]
    assert "timestamp_seconds" not in body
    assert [request["kind"] for request in body["requests"]] == ["init"]
    store = open_redis_store(workspace.redis_url, "checkins", workspace.prefix)
    assert store.snapshot().leader is None
    store.close()

    workspace.start("serve", *config)
    wait_ready(workspace)
    eventually(lambda: state(workspace)["leader"], within=30, what="a leader")
    main(["check", *config])
    assert f"the next tick follows {shown['last_tick']}, which `clocksvc init` set" in capsys.readouterr().out
    report_all(workspace, (begin_s + 5) * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == begin_s + 5, within=30, what="the ticks")
    ticks = urllib3.request("GET", f"{workspace.url}/v1/clocks/checkins/ticks", retries=False).json()["ticks"]
    assert [tick["timestamp_seconds"] for tick in ticks] == [begin_s + number for number in range(1, 6)]
    assert ticks[0]["previous"] == shown["last_tick"]
    assert ticks[0]["time"] == shown["next_tick"]

    capsys.readouterr()
    assert main(["init", "checkins", "--last-tick", str(begin_s + 10), *config]) == 1
    assert "--skip-ticks: the tick log of clock 'checkins' is complete up to its last" in capsys.readouterr().err
    report_all(workspace, (begin_s + 8) * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == begin_s + 8, within=30, what="the clock to go on")


def test_the_way_out_of_a_wrong_beginning(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Old data began the clock 100 days ago, and its catch-up runs. Init ends it: what is skipped is shown first, and
    subscribers get a reset and no gap. The catch-up had been announced, and kept its pace."""
    workspace.create_topic()
    limits = {"max_past": "200d", "catch_up_pace": 50, "max_out_of_orderness": "0s", "heartbeat": None}
    workspace.settings["clocks"]["checkins"] |= limits
    config = workspace.write()
    workspace.start("serve", *config)
    wait_ready(workspace)
    first_s = now_s() - 100 * 86_400
    report_all(workspace, first_s * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == first_s, within=30, what="the wrong first tick")
    began = time.monotonic()
    report_all(workspace, now_s() * 1000)
    followed = ticks(workspace.url, "checkins", after=first_s)
    got = [next(followed) for _ in range(10)]
    shown = state(workspace)
    assert (shown["status"], shown["due_ticks"] > 8_000_000) == ("catching_up", True)
    to_s = now_s() - 20

    capsys.readouterr()
    assert main(["init", "checkins", "--last-tick", str(to_s), *config]) == 1
    refused = capsys.readouterr().err
    assert "boundaries, from 2" in refused
    assert "would never be emitted, and subscribers would not get them" in refused
    assert main(["init", "checkins", "--last-tick", str(to_s), "--skip-ticks", "--reason", "INC-7", *config]) == 0

    assert "subscribers before" in capsys.readouterr().out
    with pytest.raises(CursorTooOld) as reset:
        got.extend(followed)
    took_s = time.monotonic() - began
    assert [tick.at_ms // 1000 for tick in got] == [first_s + number for number in range(1, 1 + len(got))]
    assert len(got) <= 50 * (took_s + 3)
    assert reset.value.oldest_previous_ms == to_s * 1000
    url = f"{workspace.url}/v1/clocks/checkins/ticks?after={first_s}"
    assert urllib3.request("GET", url, retries=False).status == 410
    eventually(lambda: state(workspace)["timestamp_seconds"] > to_s, within=30, what="the present")
    assert "clock checkins catches up: 8," in workspace.output()


def test_init_of_a_clock_that_no_replica_knows(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The log's leader hands over to the command, and leads again afterwards. Its own clocks continue."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    service = workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    began_s = now_s() - 30
    report_all(workspace, began_s * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == began_s, within=30, what="the first tick")
    new = next(f"new-{n}" for n in range(1_000) if log_of(f"new-{n}") == log_of("checkins"))
    workspace.settings["clocks"][new] = workspace.clock | {"heartbeat": None}

    assert main(["init", new, "--last-tick", str(began_s), *workspace.write()]) == 0

    assert "does not know this clock" in capsys.readouterr().err
    _, record = records(workspace, workspace.log, 2, log_of(new), key=new.encode())
    assert json.loads(record.value())["requests"][0]["kind"] == "init"
    eventually(lambda: str(service.pid) in (state(workspace)["leader"] or ""), within=30, what="the service to lead")
    report_all(workspace, (began_s + 1) * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == began_s + 1, within=30, what="the clock to go on")


def test_init_after_a_truncated_log(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The tick log is deleted under a running leader: the clock holds, init sets its last tick, and it continues."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    config = workspace.write()
    workspace.start("serve", *config)
    wait_ready(workspace)
    began_s = now_s() - 30
    report_all(workspace, began_s * 1000)
    eventually(lambda: state(workspace)["timestamp_seconds"] == began_s, within=30, what="the first tick")
    admin = AdminClient({"bootstrap.servers": workspace.bootstrap})
    admin.delete_topics([workspace.log])[workspace.log].result(30)
    report_all(workspace, (began_s + 1) * 1000)
    eventually(
        lambda: (state(workspace)["hold"] or {}).get("reason") == "ticklog_truncated", within=60, what="the hold"
    )

    capsys.readouterr()
    assert main(["init", "checkins", "--last-tick", str(began_s - 1), *config]) == 1
    assert "the store already has tick" in capsys.readouterr().err
    assert main(["init", "checkins", "--last-tick", str(began_s), *config]) == 0
    assert "the next tick is" in capsys.readouterr().out

    eventually(lambda: state(workspace)["timestamp_seconds"] == began_s + 1, within=30, what="the clock to go on")


@pytest.mark.parametrize(
    ("clock", "last_tick", "words"),
    [
        ("chekins", "0", "no clock 'chekins' is configured: wanted one of checkins"),
        ("checkins", "yesterday", "--last-tick: 'yesterday' is not valid"),
        ("checkins", "1795348800.5", "multiple of the interval"),
        ("checkins", "4000000000", "future"),
    ],
)
def test_init_with_invalid_arguments(
    workspace: Workspace, clock: str, last_tick: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the error; exit code 1."""
    assert main(["init", clock, "--last-tick", last_tick, *workspace.write()]) == 1

    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


def test_heartbeat_into_every_partition(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """One record each, marked as a heartbeat, with the current time; a clock without heartbeats gets none."""
    workspace.create_topic(message_timestamp_type="CreateTime")
    workspace.settings["clocks"]["quiet"] = workspace.clock | {"heartbeat": None}
    before_ms = now_s() * 1000

    assert main(["heartbeat", "--json", *workspace.write()]) == 0

    rounds = json.loads(capsys.readouterr().out)["rounds"]
    assert [(made["clock"], made["delivered"], made["failed"]) for made in rounds] == [("checkins", 2, [])]
    for partition in range(2):
        record = records(workspace, workspace.topic, 1, partition)[0]
        assert is_heartbeat(record)
        assert before_ms <= record.timestamp()[1] <= now_s() * 1000 + 1000


def test_heartbeat_that_fails(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing topic is named with the reason, exit code 1; the other topic gets its heartbeats."""
    workspace.create_topic()
    workspace.clock["topics"] = [workspace.topic, f"{workspace.prefix}-missing"]

    assert main(["heartbeat", "checkins", *workspace.write()]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "checkins: 2 heartbeats delivered"
    assert shown[1].startswith(f"checkins: topic {workspace.prefix}-missing failed: Kafka does not list it")


def test_heartbeat_of_a_clock_without_heartbeats(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A clock without heartbeats is an error if it is named; so is a clock that is not configured."""
    workspace.clock["heartbeat"] = None

    assert main(["heartbeat", "checkins", *workspace.write()]) == 1
    assert "clocks.checkins.heartbeat" in capsys.readouterr().err
    assert main(["heartbeat", "chekins", *workspace.write()]) == 1
    assert "no clock 'chekins' is configured" in capsys.readouterr().err


def test_password_from_a_file(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is opened with the password of the settings and the address of the URL."""
    workspace.create_topic()
    (workspace.folder / "password").write_text("pa:ss@w/rd#\n")
    with ValkeyServer(password="pa:ss@w/rd#") as valkey:
        workspace.settings["redis"] = {
            "url": f"redis://127.0.0.1:{valkey.port}/0",
            "password_file": str(workspace.folder / "password"),
        }

        assert main(["init", "checkins", "--last-tick", str(now_s() - 5), *workspace.write()]) == 0

    assert "the next tick is" in capsys.readouterr().out
