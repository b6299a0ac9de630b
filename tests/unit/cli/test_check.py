"""`clocksvc check` from end to end, with real servers and with dead ones."""

import gc
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from clocksvc.check.finding import ok
from clocksvc.cli.main import main
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.log_owner import LogOwner
from clocksvc.clock.log_record import encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.logs import LOGS, log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import DAY_MS
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.progress import ClockParameters, Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.inspector import KafkaInspector
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.service import bootstrap
from clocksvc.settings import load
from tests.interfaces.store_examples import TOKEN, lead
from tests.interfaces.tick_log_examples import tick
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.running_service import serving
from tests.unit.cli.conftest import Workspace
from tests.waiting import eventually

Findings = list[dict[str, str | None]]


def check(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> tuple[int, Findings]:
    """Run it, and return its exit code and its findings."""
    capsys.readouterr()
    code = main(["check", "--json", *workspace.write()])
    findings: Findings = json.loads(capsys.readouterr().out)["findings"]
    return code, findings


def about(findings: Findings, part: str, level: str) -> str:
    """The findings of one part and level: texts with their advice."""
    return " | ".join(
        f"{one['text']} → {one['to_do']}" for one in findings if (one["part"], one["level"]) == (part, level)
    )


def problems(findings: Findings) -> list[str | None]:
    """The parts with problems."""
    return [one["part"] for one in findings if one["level"] == "problem"]


@pytest.mark.servers
def test_new_installation_without_its_topics(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The missing topic is a problem; the tick log will be created, and the group does not exist yet."""
    code, findings = check(workspace, capsys)

    assert code == 1
    assert problems(findings) == [f"topic {workspace.topic}"]
    assert "does not list it" in about(findings, f"topic {workspace.topic}", "problem")
    assert "creates it" in about(findings, f"tick log {workspace.log}", "ok")
    assert "does not exist in Kafka" in about(findings, f"group {workspace.group}", "warning")
    assert "answers: cluster" in about(findings, "kafka", "ok")
    assert "answers: " in about(findings, "redis", "ok")
    assert "differ by less than a second" in about(findings, "clock skew", "ok")
    assert "is free" in about(findings, f"port {workspace.port}", "ok")
    assert "has no leader now" in about(findings, "clock checkins", "ok")


@pytest.mark.servers
def test_a_clock_that_no_process_may_lead(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Its hold is named, and not that a leader should be started."""
    workspace.write()
    settings = load(str(workspace.config), {})
    lead_clock(workspace)
    hold = Hold(Reason.STORE_MISMATCH, detail="belongs to another Redis")
    leases = bootstrap.open_store_server(settings).leases(log_of("checkins"))
    leases.publish_statuses(TOKEN, {"checkins": StatusUpdate(json.dumps({"hold": hold.to_wire()}))}, 60_000)
    leases.release(TOKEN)

    _, findings = check(workspace, capsys)

    found = about(findings, "clock checkins", "problem")
    assert found.startswith("has no leader now; the clock holds (store_mismatch): belongs to another Redis")


@pytest.mark.servers
def test_topics_of_the_task_platform(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """One does not exist, one has fewer partitions than taskbrokers."""
    narrow, missing = f"{workspace.prefix}-narrow", f"{workspace.prefix}-missing"
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    workspace.create_topic(narrow)
    workspace.settings["namespaces"] = {"ingest": {"topic": narrow}, "billing": {"topic": missing}}
    workspace.settings["taskbroker"] = {"replicas": {narrow: 3}}

    code, findings = check(workspace, capsys)

    assert code == 1
    assert problems(findings) == [f"task topic {missing}", f"task topic {narrow}"]
    assert "does not list it" in about(findings, f"task topic {missing}", "problem")
    assert "2 partitions, which 3 taskbrokers can't share evenly" in about(findings, f"task topic {narrow}", "problem")


@pytest.mark.servers
def test_create_time_topic_with_records_out_of_order(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The records determine the recommended max_out_of_orderness; check writes none."""
    workspace.create_topic(partitions=1, message_timestamp_type="CreateTime", message_timestamp_after_max_ms="3600000")
    now_ms = time.time_ns() // 1_000_000
    producer = Producer({"bootstrap.servers": workspace.bootstrap})
    for number in range(1_500):
        late_ms = 25_000 if number % 10 == 0 else 0
        producer.produce(workspace.topic, b"x", partition=0, timestamp=now_ms - 100_000 + number - late_ms)
    assert producer.flush(30) == 0

    code, findings = check(workspace, capsys)

    part = f"topic {workspace.topic}"
    assert code == 0
    assert "of its newest 1000 records" in about(findings, part, "warning")
    assert "set clocks.checkins.max_out_of_orderness to 30s or more" in about(findings, part, "warning")
    assert "kafka-configs --bootstrap-server ADDRESS --alter" in about(findings, part, "warning")
    assert "message.timestamp.after.max.ms=60000" in about(findings, part, "warning")
    consumer = Consumer({"bootstrap.servers": workspace.bootstrap, "group.id": "looks-only"})
    assert consumer.get_watermark_offsets(TopicPartition(workspace.topic, 0), timeout=10) == (0, 1_500)
    consumer.close()


@pytest.mark.servers
def test_timestamps_in_seconds(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The most common wrong unit."""
    workspace.create_topic(partitions=1, message_timestamp_type="CreateTime")
    producer = Producer({"bootstrap.servers": workspace.bootstrap})
    producer.produce(workspace.topic, b"x", partition=0, timestamp=int(time.time()))
    assert producer.flush(30) == 0

    code, findings = check(workspace, capsys)

    assert code == 1
    assert "look like seconds" in about(findings, f"topic {workspace.topic}", "problem")


def lead_clock(workspace: Workspace) -> Store:
    """Write the clock's parameters and roster, as its leader does. Return the clock's store."""
    settings = load(str(workspace.config), {})
    store = bootstrap.open_store(settings, settings.clock_specs()["checkins"])
    leases = bootstrap.open_store_server(settings).leases(log_of("checkins"))
    bounds = ClockParameters(workspace.group, (workspace.topic,), 1_000, 0, 60_000)
    lead(store, leases, Roster({workspace.topic: TopicMetadata("id", 2)}), bounds)
    return store


@pytest.mark.servers
def test_group_that_reads_the_topic(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Members, their partitions and offsets are read; a partition without an offset is a warning."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": workspace.bootstrap})
    producer.produce(workspace.topic, b"x", partition=0)
    assert producer.flush(30) == 0
    consumer = Consumer(
        {"bootstrap.servers": workspace.bootstrap, "group.id": workspace.group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([workspace.topic])
    eventually(lambda: (message := consumer.poll(0.2)) and message.error() is None, within=30, what="a record")
    consumer.commit(asynchronous=False)

    code, findings = check(workspace, capsys)
    store = lead_clock(workspace)
    unreported = check(workspace, capsys)
    now_ms = time.time_ns() // 1_000_000
    store.report(Report(workspace.group, (PartitionTimestamp(Partition(workspace.topic, 0), now_ms),)))
    reported = check(workspace, capsys)
    consumer.close()

    part = f"group {workspace.group}"
    assert unreported[0] == 1
    assert "committed offsets, but no partition is reported" in about(unreported[1], part, "problem")
    assert (reported[0], about(reported[1], part, "problem")) == (0, "")
    assert code == 0
    assert "1 member, which read all 2 partitions" in about(findings, part, "ok")
    assert f"no offset for 1 of 2 partitions: {workspace.topic}:1" in about(findings, part, "warning")
    assert "LogAppendTime" in about(findings, f"topic {workspace.topic}", "ok")


@pytest.mark.servers
def test_clocks_that_follow_committed_offsets(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A group with a commit, one without, and an upstream clock that can't be read."""
    workspace.create_topic(partitions=2, message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": workspace.bootstrap})
    producer.produce(workspace.topic, b"x", partition=0)
    assert producer.flush(30) == 0
    workspace.clock.update(source="committed", after=[{"clock": "raw", "url": "http://127.0.0.1:1/"}])
    del workspace.clock["heartbeat"]
    lost = {"topics": [workspace.topic], "group": f"{workspace.prefix}-lost", "source": "committed"}
    workspace.settings["clocks"]["lost"] = lost
    consumer = Consumer({"bootstrap.servers": workspace.bootstrap, "group.id": workspace.group})
    consumer.commit(offsets=[TopicPartition(workspace.topic, 0, 1)], asynchronous=False)
    consumer.close()

    code, findings = check(workspace, capsys)

    assert code == 1
    assert set(problems(findings)) == {"clock checkins", f"group {workspace.prefix}-lost"}
    assert "raw@http://127.0.0.1:1 can't be read" in about(findings, "clock checkins", "problem")
    assert "only the groups of raw@http://127.0.0.1:1 write" in about(findings, "clock checkins", "ok")
    committed = about(findings, f"group {workspace.group}", "ok")
    assert "has committed offsets for each of 1 partitions with records" in committed
    assert "nothing for 1 of 1 partitions" in about(findings, f"group {workspace.prefix}-lost", "problem")
    assert "drain_delay is 15s: enough for topics with one replica" in about(findings, "clock lost", "ok")
    assert "commit after processing" in about(findings, "committed offsets", "ok")


@pytest.mark.servers
def test_many_clocks_are_a_few_requests_and_lines(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of requests does not grow with the clocks. Similar findings are one line; JSON has each."""
    requests = []
    ask = Admin.ask

    def count(admin: Admin, *args: Any) -> Any:
        requests.append(args)
        return ask(admin, *args)

    monkeypatch.setattr(Admin, "ask", count)
    workspace.create_topic(message_timestamp_type="CreateTime")
    workspace.settings["clocks"] = {
        f"shop-{number:02}": {"topics": [workspace.topic, f"{workspace.topic}-{number}"], "group": f"zzz-{number}"}
        for number in range(40)
    }
    _, findings = check(workspace, capsys)
    asked = len(requests)
    main(["check", *workspace.write()])
    lines = capsys.readouterr().out.splitlines()

    assert asked < 40
    assert len([one for one in findings if "does not list it" in str(one["text"])]) == 40
    assert lines[0].startswith("ok       configuration: valid; 40 clocks: shop-00, shop-01, ")
    assert len([line for line in lines if "does not list it" in line]) == 1
    assert f"topic {workspace.topic} (40 clocks: shop-00, shop-01, shop-02, " in "".join(lines)
    assert "40 groups (zzz-0, zzz-1, zzz-2, zzz-3, zzz-4 and 35 more), each: does not exist" in "".join(lines)
    assert f"heartbeats: 40 clocks write heartbeats to topic {workspace.topic}, and the group of each one" in "".join(
        lines
    )
    assert len([line for line in lines if "write heartbeats to topic" in line]) == 1
    assert len(lines) < 30
    assert lines[-1].endswith("; --json lists each finding")


@pytest.mark.servers
def test_misspelt_group_and_group_that_reads_elsewhere(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Similar names of existing groups are listed; a group that reads only other topics is a problem."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    workspace.create_topic(f"{workspace.prefix}-other", message_timestamp_type="LogAppendTime")
    consumer = Consumer({"bootstrap.servers": workspace.bootstrap, "group.id": workspace.group})
    consumer.subscribe([f"{workspace.prefix}-other"])
    eventually(lambda: (consumer.poll(0.1), consumer.assignment())[1], within=30, what="an assignment")
    try:
        code, findings = check(workspace, capsys)
        assert code == 1
        assert f"the group reads {workspace.prefix}-other" in about(findings, f"group {workspace.group}", "problem")

        misspelt = workspace.group.replace("group", "gruop")
        workspace.clock["group"] = misspelt
        code, findings = check(workspace, capsys)
        assert code == 0
        assert f"Kafka has {workspace.group}" in about(findings, f"group {misspelt}", "warning")
    finally:
        consumer.close()


@pytest.mark.servers
def test_tick_log_of_a_shape_that_loses_ticks(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong number of partitions and a deleting policy are two problems."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    workspace.create_topic(workspace.log, partitions=3, cleanup_policy="delete")

    code, findings = check(workspace, capsys)

    assert code == 1
    assert problems(findings) == [f"tick log {workspace.log}"] * 2
    assert "cleanup.policy=compact" in about(findings, f"tick log {workspace.log}", "problem")


@pytest.mark.servers
def test_tick_log_of_another_installation(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest record that names an installation and its Redis counts. The brokers' time is the newest tick's."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    log = KafkaTickLog(
        workspace.log, log_of("checkins"), {"bootstrap.servers": workspace.bootstrap}, SystemTime(), 30 * DAY_MS
    )
    log.ensure_topic(lambda: None)
    log.fence(lambda: None)
    end = 0
    newest = {"other": encode_message(tick(time.time_ns() // 60_000_000_000 - 1, "other"))}
    own = bootstrap.installation_of(load(workspace.write()[1], {}))
    cases = (
        (replace(own, prefix="elsewhere"), f"redis.prefix is {workspace.prefix!r} here, but 'elsewhere' there"),
        (replace(own, store="other:6379"), "clocksvc init --adopt-tick-log"),
        (own, "belongs to this installation"),
    )
    for owner, words in cases:
        snapshot = snapshot_messages(LogOwner(owner, "a"), newest, end + 1, complete=True)
        end = log.append([*newest.values(), *snapshot], end, lambda: None)
        code, findings = check(workspace, capsys)

        assert words in about(findings, f"tick log {workspace.log}", "problem" if code else "ok")
        assert code == int(owner != own)
        assert "the brokers' clock" in about(findings, "clock skew", "warning")
    log.close()


@pytest.mark.servers
def test_a_second_installation_whose_clocks_are_in_other_logs(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its Redis leads a log in which no clock of this configuration is."""
    log = (log_of("checkins") + 1) % LOGS
    ticklog = KafkaTickLog(workspace.log, log, {"bootstrap.servers": workspace.bootstrap}, SystemTime(), 30 * DAY_MS)
    ticklog.ensure_topic(lambda: None)
    ticklog.fence(lambda: None)
    own = bootstrap.installation_of(load(workspace.write()[1], {}))
    owner = LogOwner(replace(own, store="other:6379"), "a")
    ticklog.append(snapshot_messages(owner, {}, 0, complete=True), 0, lambda: None)
    ticklog.close()

    code, findings = check(workspace, capsys)

    found = about(findings, f"tick log {workspace.log}", "problem")
    assert code == 1
    assert f"log {log} of the tick log belongs to" in found
    assert "with the Redis other:6379" in found


@pytest.mark.servers
def test_redis_that_can_drop_keys(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """An eviction policy is a warning with the command that changes it."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    with ValkeyServer(maxmemory_policy="allkeys-lru", options={"maxmemory": "100mb"}) as valkey:
        workspace.settings["redis"]["url"] = valkey.url

        code, findings = check(workspace, capsys)

    assert code == 0
    assert "maxmemory-policy allkeys-lru" in about(findings, "redis", "warning")
    assert "noeviction" in about(findings, "redis", "warning")


@pytest.mark.servers
def test_wrong_password(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A problem that does not show the password."""
    with ValkeyServer(password="the right one") as valkey:
        workspace.settings["redis"]["url"] = valkey.url.replace("the%20right%20one", "top-secret")

        code, findings = check(workspace, capsys)

    assert code == 1
    assert "rejects the credentials" in about(findings, "redis", "problem")
    assert "top-secret" not in json.dumps(findings)


def test_all_parts_down(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """One problem for each server, within bounded time."""
    began = time.monotonic()

    code, findings = check(offline_workspace, capsys)

    assert time.monotonic() - began < 15
    assert code == 1
    assert problems(findings) == ["redis", "kafka"]
    assert "Connection refused" in about(findings, "redis", "problem")
    assert "does not answer at 127.0.0.1" in about(findings, "kafka", "problem")


def test_configuration_that_is_not_valid(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake is a finding that names its field; nothing else is tested."""
    offline_workspace.clock["intervall"] = "1s"
    offline_workspace.settings["redis"]["prefix"] = "{}"

    code, findings = check(offline_workspace, capsys)

    assert code == 1
    assert [one["part"] for one in findings] == ["configuration", "configuration"]
    assert [one["to_do"] for one in findings] == [None, "correct the configuration; nothing else was checked"]
    assert "clocks.checkins.intervall" in about(findings, "configuration", "problem")
    assert "redis.prefix" in about(findings, "configuration", "problem")


def test_setting_that_librdkafka_refuses(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Only librdkafka knows all of its settings; it checks them first."""
    offline_workspace.settings["kafka"]["security.protocol"] = "carrier-pigeon"

    code, findings = check(offline_workspace, capsys)

    assert code == 1
    assert "security.protocol" in about(findings, "configuration", "problem")


def test_address_that_is_open_to_all(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """serve would not start, which check reports before."""
    offline_workspace.settings["api"]["host"] = "0.0.0.0"

    code, findings = check(offline_workspace, capsys)

    assert code == 1
    assert "api.tokens" in about(findings, "api", "problem")


def test_port_that_is_taken(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """By another program."""
    import socket

    with socket.create_server(("127.0.0.1", offline_workspace.port)):
        code, findings = check(offline_workspace, capsys)

    assert code == 1
    assert "can't listen" in about(findings, f"port {offline_workspace.port}", "problem")


def test_port_on_which_another_clocksvc_serves(
    offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service with these clocks is no problem; one with other clocks is a warning that lists them."""
    with serving(ClockFixture()) as served:
        part, offline_workspace.settings["api"]["port"] = f"port {served.port}", served.port
        _, findings = check(offline_workspace, capsys)
        assert "with the configured clocks" in about(findings, part, "ok")

        offline_workspace.settings["clocks"] = {"bills": offline_workspace.clock}
        _, findings = check(offline_workspace, capsys)

    assert "a clocksvc with another configuration is running there: it has the clocks checkins, but not bills" in about(
        findings, part, "warning"
    )
    assert problems(findings) == ["redis", "kafka"]


def test_text_for_people(offline_workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each finding, the advice below it, and the counts at the end."""
    code = main(["check", *offline_workspace.write()])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert lines[0].split()[:2] == ["ok", "configuration:"]
    assert lines[-1] == "2 problems, 0 warnings"
    assert sum("→" in line for line in lines) == 2


def test_a_clock_is_named_once(
    offline_workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the clock that a finding is about, unless the part is the clock itself."""
    findings = [ok("clock checkins", "led by a", "checkins"), ok("topic t", "exists", "checkins")]
    monkeypatch.setattr("clocksvc.check.run.run", lambda *_: findings)
    main(["check", *offline_workspace.write()])

    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["ok       clock checkins: led by a", "ok       topic t (checkins): exists"]


def test_without_a_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing file is a finding that names it; without a file, the finding says how to configure one."""
    monkeypatch.delenv("CLOCKSVC_CONFIG", raising=False)
    nowhere = str(tmp_path / "nowhere.yaml")

    assert main(["check", "--config", nowhere]) == 1
    assert f"{nowhere}: can't be read: No such file" in capsys.readouterr().out

    assert main(["check"]) == 1
    assert "neither --config nor CLOCKSVC_CONFIG is set" in capsys.readouterr().out


def test_an_inspection_of_kafka_leaves_no_client_behind() -> None:
    """Even if it fails, and its traceback is kept: librdkafka aborts the process if a client with an open request is
    garbage-collected on its own thread."""
    gc.collect()
    before = admin_clients()
    with pytest.raises(InterruptedError) as kept:
        interrupted_inspection()

    assert (admin_clients(), kept.value.args) == (before, (before + 1,))


def interrupted_inspection() -> None:
    """Raises InterruptedError with the number of clients that were alive during the inspection."""
    with KafkaInspector({"bootstrap.servers": "127.0.0.1:1"}, SystemTime()) as inspector:
        assert inspector
        raise InterruptedError(admin_clients())


def admin_clients() -> int:
    """The number of clients that are alive."""
    return sum(isinstance(one, AdminClient) for one in gc.get_objects())
