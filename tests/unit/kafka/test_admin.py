"""Admin requests to a broker that does not answer, and the translation of what Kafka answers."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from clocksvc.clock.roster import TopicMetadata
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import (
    CheckpointsUnavailable,
    LeaseLost,
    MetadataUnavailable,
    TickLogUnavailable,
    Unavailable,
)
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.kafka.admin import Admin, config_values, settings_problems
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.kafka.topics import KafkaTopics
from tests.unit.kafka.restarting_broker import restarting_broker
from tests.waiting import eventually

pytestmark = pytest.mark.core


@pytest.fixture
def nowhere() -> dict[str, str]:
    """The settings of a broker that does not run."""
    return {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}


def no_keep_alive() -> None:
    """For calls that need none."""


def failed(code: int) -> "Future[Any]":
    """A request that Kafka has answered with an error."""
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


def answered(result: Any) -> "Future[Any]":
    """A request that Kafka has answered."""
    future: Future[Any] = Future()
    future.set_result(result)
    return future


@pytest.mark.parametrize("unavailable", [MetadataUnavailable, TickLogUnavailable, CheckpointsUnavailable])
def test_without_an_answer_the_address_and_the_reason_are_named(
    nowhere: dict[str, str], unavailable: type[Unavailable]
) -> None:
    """The reason is librdkafka's log line. The error has the caller's class, and comes before the deadline."""
    begun = time.monotonic()
    with Admin(nowhere, unavailable) as admin:
        futures = admin.ask(
            lambda client: client.describe_topics(TopicCollection(["t"]), request_timeout=1.0),
            SlicedDeadline(SystemTime(), 2.0),
        )
        address = nowhere["bootstrap.servers"]
        with pytest.raises(unavailable, match=rf"does not answer at {address}: .*refused") as raised:
            admin.result(futures["t"], "Kafka does not describe the topic")
        with pytest.raises(unavailable, match=rf"does not answer at {address}: .*refused"):
            admin.cluster(None, SlicedDeadline(SystemTime(), 0.2))

    assert type(raised.value) is unavailable
    assert time.monotonic() - begun < 2.5


def test_a_request_that_is_never_answered_ends_at_the_deadline(nowhere: dict[str, str]) -> None:
    """The keep-alive is called while it waits."""
    calls: list[float] = []
    deadline = SlicedDeadline(SystemTime(), 1.2, lambda: calls.append(time.monotonic()))
    with Admin(nowhere, TickLogUnavailable) as admin, pytest.raises(TickLogUnavailable, match="does not answer"):
        admin.ask(lambda _: {None: Future[Any]()}, deadline)

    assert len(calls) == 1


def test_a_keep_alive_can_end_the_wait(nowhere: dict[str, str]) -> None:
    """By the error that it raises."""

    def give_up() -> None:
        raise LeaseLost

    deadline = SlicedDeadline(SystemTime(), 30.0, give_up)
    with Admin(nowhere, TickLogUnavailable) as admin, pytest.raises(LeaseLost):
        admin.ask(lambda _: {None: Future[Any]()}, deadline)


def test_kafkas_error_is_translated_with_the_missing_permission(nowhere: dict[str, str]) -> None:
    """The text says what failed, Kafka's reason, and the permission."""
    future, acls = failed(KafkaError.TOPIC_AUTHORIZATION_FAILED), {"Topic": "Describe on topic t"}
    with Admin(nowhere, MetadataUnavailable) as admin, pytest.raises(MetadataUnavailable) as raised:
        admin.result(future, "Kafka does not describe it", acls)

    assert str(raised.value) == (
        "Kafka does not describe it: Broker: Topic authorization failed: the Kafka user lacks Describe on topic t"
    )


def test_a_broker_that_has_just_restarted_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while its answers name no broker. describe_cluster of librdkafka would abort the process."""
    monkeypatch.setattr("clocksvc.kafka.topics.REQUEST_TIMEOUT_S", 0.5)
    with restarting_broker() as broker:
        topics = KafkaTopics({"bootstrap.servers": broker.address})
        before = topics.describe(["t"])
        broker.lists_itself = False
        for wanted in (["t"], []):
            with pytest.raises(MetadataUnavailable, match=r"does not list its brokers yet|does not answer"):
                topics.describe(wanted)
        broker.lists_itself = True
        again = eventually(lambda: topics.describe(["t"]))
        topics.close()

    assert before == again == ClusterMetadata("a-cluster", {"t": TopicMetadata("", 1)})


def test_settings_that_a_broker_does_not_list_are_absent() -> None:
    """So are those whose value it hides."""
    entries = {"a": SimpleNamespace(value="1"), "b": SimpleNamespace(value=None)}

    assert config_values(entries) == {"a": "1"}


def test_a_broker_that_does_not_list_the_timestamp_type(
    nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some brokers that speak Kafka's protocol list fewer settings: the type is then not known, without an error."""
    answers = {
        "unlisted": answered({"retention.ms": SimpleNamespace(value="1")}),
        "hidden": answered({"message.timestamp.type": SimpleNamespace(value=None)}),
        "listed": answered({"message.timestamp.type": SimpleNamespace(value="LogAppendTime")}),
    }

    def ask(*_: object) -> dict[ConfigResource, "Future[Any]"]:
        return {ConfigResource(ResourceType.TOPIC, name): answer for name, answer in answers.items()}

    monkeypatch.setattr(Admin, "ask", ask)

    assert KafkaTopics(nowhere).timestamp_types(list(answers)) == {"listed": "LogAppendTime"}


CALLS: dict[str, Callable[[KafkaCheckpoints], object]] = {
    "acquire": lambda checkpoints: checkpoints.acquire(no_keep_alive),
    "commit": lambda checkpoints: checkpoints.commit({}, no_keep_alive),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_outage_of_checkpoints_does_not_name_the_tick_log(nowhere: dict[str, str], call: str) -> None:
    """So that the reader looks at the right topic."""
    checkpoints = KafkaCheckpoints("a-ticks", "a", "beat", nowhere, SystemTime(), 1.0, 1.0)
    with pytest.raises(CheckpointsUnavailable) as raised:
        CALLS[call](checkpoints)

    assert "tick log" not in str(raised.value)


def test_an_outage_of_the_tick_log_names_it(nowhere: dict[str, str]) -> None:
    """With its topic."""
    log = KafkaTickLog("a-ticks", 3, nowhere, SystemTime(), 1_000, 1.0, 1.0)
    with pytest.raises(TickLogUnavailable, match="can't read the end offset of the tick log 'a-ticks'"):
        log.bounds(no_keep_alive)


def test_settings_that_librdkafka_rejects() -> None:
    """All are found, though librdkafka stops at the first one. Each text names its setting."""
    settings = {"security.protocol": "MAGIC", "no.such.setting": "1", "socket.timeout.ms": "x", "client.id": "me"}

    problems = settings_problems(settings)

    assert len(problems) == 3
    assert all(any(name in problem for problem in problems) for name in list(settings)[:3])
    assert settings_problems({"client.id": "me"}) == []
