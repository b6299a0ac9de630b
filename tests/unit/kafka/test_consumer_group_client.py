"""A member of a consumer group, with a client that does what Kafka's client does at rare moments."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from clocksvc.kafka import consumer_group
from clocksvc.kafka.consumer_group import KafkaConsumerGroup
from tests.unit.client.consumer.records import Record

pytestmark = pytest.mark.core


class Hanging:
    """A client whose `close` waits for an answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def close(self) -> None:
        self.answered.wait(30)


class Rebalancing:
    """A client that removes a partition and assigns it again while it is asked for more records."""

    def __init__(self) -> None:
        self.answers: list[list[Record]] = [[], [Record(7)], [Record(5), Record(6)]]
        self.callbacks: dict[str, Callable[..., Any]] = {}

    def subscribe(self, topics: list[str], **callbacks: Callable[..., Any]) -> None:
        self.callbacks = callbacks

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Nothing is paused."""

    def consume(self, count: int, timeout: float) -> list[Record]:
        if len(self.answers) == 1:
            for name in ("on_revoke", "on_assign"):
                self.callbacks[name](self, [TopicPartition("orders", 0)])
        return self.answers.pop(0)


class AnyListener:
    """A listener without a consumer."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Failing:
    """A client that calls back, and the callback raises."""

    def close(self) -> None:
        raise ValueError("from a callback")


def test_the_end_does_not_wait_for_an_answer_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """librdkafka waits for a commit for the whole session timeout, in which a signal does nothing."""
    monkeypatch.setattr(consumer_group, "CLOSE_TIMEOUT_S", 0.05)
    group, client = KafkaConsumerGroup("localhost:1", "g", {}), Hanging()
    monkeypatch.setattr(group, "_consumer", client)

    with caplog.at_level(logging.WARNING):
        group.close()

    assert "Kafka does not answer, so this consumer ends without leaving its group" in caplog.messages
    client.answered.set()


def test_an_error_of_a_callback_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it is called in another thread."""
    group = KafkaConsumerGroup("localhost:1", "g", {})
    monkeypatch.setattr(group, "_consumer", Failing())

    with pytest.raises(ValueError, match="from a callback"):
        group.close()


def test_a_record_from_before_a_rebalance_is_not_returned_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would count as the first record of the new assignment, and a commit behind it would skip those in front."""
    group = KafkaConsumerGroup("localhost:1", "g", {})
    monkeypatch.setattr(group, "_consumer", Rebalancing())
    group.subscribe(["orders"], AnyListener())

    assert [record.offset() for record in group.consume(10, 1.0)] == [5, 6]
