"""`clocksvc check` from end to end, with real servers and with dead ones."""

import gc
import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from clocksvc.cli.main import main
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.inspector import KafkaInspector
from tests.unit.api.bed import Bed
from tests.unit.api.served import serving
from tests.unit.cli.conftest import Workplace
from tests.waiting import eventually

Findings = list[dict[str, str | None]]


def check(place: Workplace, capsys: pytest.CaptureFixture[str]) -> tuple[int, Findings]:
    """Run it; the exit code and the findings."""
    capsys.readouterr()
    code = main(["check", "--json", *place.write()])
    findings: Findings = json.loads(capsys.readouterr().out)["findings"]
    return code, findings


def about(findings: Findings, part: str, level: str) -> str:
    """What was found of one part, on one level: sentences with their advice."""
    return " | ".join(
        f"{one['text']} → {one['to_do']}" for one in findings if (one["part"], one["level"]) == (part, level)
    )


def problems(findings: Findings) -> list[str | None]:
    """The parts with problems."""
    return [one["part"] for one in findings if one["level"] == "problem"]


@pytest.mark.servers
def test_new_installation_without_its_topics(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """The topic is missing: a problem with what to do; the tick log will be made, the group is not known yet."""
    code, findings = check(place, capsys)

    assert code == 1
    assert problems(findings) == [f"topic {place.topic}"]
    assert "does not list it" in about(findings, f"topic {place.topic}", "problem")
    assert "creates it" in about(findings, f"tick log {place.log}", "ok")
    assert "no such group" in about(findings, f"group {place.group}", "warning")
    assert "answers: cluster" in about(findings, "kafka", "ok")
    assert "answers: " in about(findings, "redis", "ok")
    assert "agree" in about(findings, "clock skew", "ok")
    assert "is free" in about(findings, f"port {place.port}", "ok")
    assert "nobody leads it now" in about(findings, "clock checkins", "ok")


@pytest.mark.servers
def test_create_time_topic_with_disorder(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """A value for max_out_of_orderness comes from the records; nothing is written to the topic for it."""
    place.create_topic(partitions=1, message_timestamp_type="CreateTime", message_timestamp_after_max_ms="3600000")
    now_ms = time.time_ns() // 1_000_000
    producer = Producer({"bootstrap.servers": place.bootstrap})
    for number in range(1_500):
        late_ms = 25_000 if number % 10 == 0 else 0
        producer.produce(place.topic, b"x", partition=0, timestamp=now_ms - 100_000 + number - late_ms)
    assert producer.flush(30) == 0

    code, findings = check(place, capsys)

    part = f"topic {place.topic}"
    assert code == 0
    assert "of its newest 1000 records" in about(findings, part, "warning")
    assert "set clocks.checkins.max_out_of_orderness to 30s or more" in about(findings, part, "warning")
    assert "kafka-configs --bootstrap-server ADDRESS --alter" in about(findings, part, "warning")
    assert "message.timestamp.after.max.ms=60000" in about(findings, part, "warning")
    consumer = Consumer({"bootstrap.servers": place.bootstrap, "group.id": "looks-only"})
    from confluent_kafka import TopicPartition

    assert consumer.get_watermark_offsets(TopicPartition(place.topic, 0), timeout=10) == (0, 1_500)
    consumer.close()


@pytest.mark.servers
def test_timestamps_in_seconds(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """The unit that people get wrong first."""
    place.create_topic(partitions=1, message_timestamp_type="CreateTime")
    producer = Producer({"bootstrap.servers": place.bootstrap})
    producer.produce(place.topic, b"x", partition=0, timestamp=int(time.time()))
    assert producer.flush(30) == 0

    code, findings = check(place, capsys)

    assert code == 1
    assert "look like seconds" in about(findings, f"topic {place.topic}", "problem")


@pytest.mark.servers
def test_group_that_reads_the_topic(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Members, their partitions and offsets are seen; a partition without an offset is a warning."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": place.bootstrap})
    producer.produce(place.topic, b"x", partition=0)
    assert producer.flush(30) == 0
    consumer = Consumer(
        {"bootstrap.servers": place.bootstrap, "group.id": place.group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([place.topic])
    eventually(lambda: (message := consumer.poll(0.2)) and message.error() is None, within=30, what="a record")
    consumer.commit(asynchronous=False)

    code, findings = check(place, capsys)
    consumer.close()

    part = f"group {place.group}"
    assert code == 0
    assert "1 member, which read all 2 partitions" in about(findings, part, "ok")
    assert f"no offset for 1 of 2 partitions: {place.topic}:1" in about(findings, part, "warning")
    assert "LogAppendTime" in about(findings, f"topic {place.topic}", "ok")


@pytest.mark.servers
def test_misspelt_group_and_group_that_reads_elsewhere(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """What Kafka knows under a similar name is offered; a group on other topics only is a problem."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    place.create_topic(f"{place.prefix}-other", message_timestamp_type="LogAppendTime")
    consumer = Consumer({"bootstrap.servers": place.bootstrap, "group.id": place.group})
    consumer.subscribe([f"{place.prefix}-other"])
    eventually(lambda: (consumer.poll(0.1), consumer.assignment())[1], within=30, what="an assignment")
    try:
        code, findings = check(place, capsys)
        assert code == 1
        assert f"it reads {place.prefix}-other" in about(findings, f"group {place.group}", "problem")

        misspelt = place.group.replace("group", "gruop")
        place.clock["group"] = misspelt
        code, findings = check(place, capsys)
        assert code == 0
        assert f"Kafka knows {place.group}" in about(findings, f"group {misspelt}", "warning")
    finally:
        consumer.close()


@pytest.mark.servers
def test_tick_log_of_a_shape_that_loses_ticks(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Three partitions and a deleting policy: each a problem of its own."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    place.create_topic(place.log, partitions=3, cleanup_policy="delete")

    code, findings = check(place, capsys)

    assert code == 1
    assert problems(findings) == [f"tick log {place.log}"] * 2
    assert "cleanup.policy=compact" in about(findings, f"tick log {place.log}", "problem")


@pytest.mark.servers
def test_redis_that_can_drop_keys(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """An eviction policy is a warning with the command that changes it; a clock's leases are among what it drops."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    with ValkeyServer(maxmemory_policy="allkeys-lru", options={"maxmemory": "100mb"}) as valkey:
        place.settings["redis"]["url"] = valkey.url

        code, findings = check(place, capsys)

    assert code == 0
    assert "maxmemory-policy allkeys-lru" in about(findings, "redis", "warning")
    assert "noeviction" in about(findings, "redis", "warning")


@pytest.mark.servers
def test_wrong_password(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in words, and the password is not shown."""
    with ValkeyServer(password="the right one") as valkey:
        place.settings["redis"]["url"] = valkey.url.replace("the%20right%20one", "top-secret")

        code, findings = check(place, capsys)

    assert code == 1
    assert "rejects the credentials" in about(findings, "redis", "problem")
    assert "top-secret" not in json.dumps(findings)


def test_all_parts_down(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Each part's own problem, within bounded time."""
    began = time.monotonic()

    code, findings = check(folder_only, capsys)

    assert time.monotonic() - began < 15
    assert code == 1
    assert problems(findings) == ["redis", "kafka"]
    assert "Connection refused" in about(findings, "redis", "problem")
    assert "does not answer at 127.0.0.1" in about(findings, "kafka", "problem")


def test_configuration_that_is_not_valid(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake is a finding that names its field; nothing else is looked at."""
    folder_only.clock["intervall"] = "1s"
    folder_only.settings["redis"]["prefix"] = "{}"

    code, findings = check(folder_only, capsys)

    assert code == 1
    assert [one["part"] for one in findings] == ["configuration", "configuration"]
    assert [one["to_do"] for one in findings] == [None, "correct it; nothing else was checked"]
    assert "clocks.checkins.intervall" in about(findings, "configuration", "problem")
    assert "redis.prefix" in about(findings, "configuration", "problem")


def test_setting_that_librdkafka_refuses(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Only librdkafka knows all of its settings; it is asked before anything else."""
    folder_only.settings["kafka"]["security.protocol"] = "carrier-pigeon"

    code, findings = check(folder_only, capsys)

    assert code == 1
    assert "security.protocol" in about(findings, "configuration", "problem")


def test_address_that_is_open_to_all(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """serve would refuse to start: check says so before."""
    folder_only.settings["api"]["host"] = "0.0.0.0"

    code, findings = check(folder_only, capsys)

    assert code == 1
    assert "api.tokens" in about(findings, "api", "problem")


def test_port_that_is_taken(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """By something that is no clocksvc."""
    import socket

    with socket.create_server(("127.0.0.1", folder_only.port)):
        code, findings = check(folder_only, capsys)

    assert code == 1
    assert "can't listen" in about(findings, f"port {folder_only.port}", "problem")


def test_port_on_which_another_clocksvc_serves(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """One that serves these clocks is fine; one that serves others is named with what it serves."""
    with serving(Bed()) as served:
        part, folder_only.settings["api"]["port"] = f"port {served.port}", served.port
        _, findings = check(folder_only, capsys)
        assert "and these clocks" in about(findings, part, "ok")

        folder_only.settings["clocks"] = {"bills": folder_only.clock}
        _, findings = check(folder_only, capsys)

    assert "another clocksvc serves there: clocks checkins, not bills" in about(findings, part, "warning")
    assert problems(findings) == ["redis", "kafka"]


def test_text_for_people(folder_only: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each finding, the advice below it, and a count at the end."""
    code = main(["check", *folder_only.write()])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert lines[0].split()[:2] == ["ok", "configuration:"]
    assert lines[-1] == "2 problems, 0 warnings"
    assert sum("→" in line for line in lines) == 2


def test_without_a_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is not there is a finding that names it; without one it is said how to name one."""
    monkeypatch.delenv("CLOCKSVC_CONFIG", raising=False)
    nowhere = str(tmp_path / "nowhere.yaml")

    assert main(["check", "--config", nowhere]) == 1
    assert f"{nowhere}: can't be read: No such file" in capsys.readouterr().out

    assert main(["check"]) == 1
    assert "neither --config nor CLOCKSVC_CONFIG is set" in capsys.readouterr().out


def test_a_look_at_kafka_leaves_no_client_behind() -> None:
    """However it ends: librdkafka aborts the process when a client with an open question is collected as garbage on
    its own thread, and a traceback that somebody keeps is enough to bring that about."""
    gc.collect()
    before = admin_clients()
    with pytest.raises(InterruptedError) as kept:
        interrupted_look()

    assert (admin_clients(), kept.value.args) == (before, (before + 1,))


def interrupted_look() -> None:
    """Raises InterruptedError with the number of clients that were alive during the look."""
    with KafkaInspector({"bootstrap.servers": "127.0.0.1:1"}, SystemTime()) as inspector:
        assert inspector
        raise InterruptedError(admin_clients())


def admin_clients() -> int:
    """How many are alive."""
    return sum(isinstance(one, AdminClient) for one in gc.get_objects())
