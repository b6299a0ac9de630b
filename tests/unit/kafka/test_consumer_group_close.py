"""A member of a consumer group whose Kafka does not answer at the end."""

import logging
import threading

import pytest

from clocksvc.kafka import consumer_group
from clocksvc.kafka.consumer_group import KafkaConsumerGroup

pytestmark = pytest.mark.core


class Hanging:
    """A client whose `close` waits for an answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()

    def close(self) -> None:
        self.answered.wait(30)


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
