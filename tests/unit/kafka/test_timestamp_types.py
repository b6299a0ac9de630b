"""Logs that read the timestamp types of the same topics at the same time share the readings."""

import threading
from collections.abc import Collection

import pytest

from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.timestamp_types import MAX_AGE_S, SharedTimestampTypes, Types
from clocksvc.testing import ManualTime
from tests.waiting import eventually

pytestmark = pytest.mark.core

LOG, CREATE = TimestampType.LOG_APPEND_TIME, TimestampType.CREATE_TIME


class Brokers:
    """Brokers that answer as long as `answering`; the topic "absent" has no type."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.type = LOG
        self.answering = threading.Event()
        self.answering.set()

    def read(self, topics: Collection[str]) -> Types:
        """Block until answering; fail if that takes too long."""
        self.asked.append(list(topics))
        if not self.answering.wait(10):
            raise MetadataUnavailable
        return {name: self.type for name in topics if name != "absent"}


def test_a_topic_is_read_once_until_the_reading_is_too_old() -> None:
    """The second log needs one topic more. Later all are read again, those without a type too."""
    brokers, time = Brokers(), ManualTime("2026-11-22T12:30:00Z")
    types = SharedTimestampTypes(brokers.read, time)

    assert types.get(["a", "absent"]) == {"a": LOG}
    brokers.type = CREATE
    assert types.get(["b", "a", "absent"]) == {"a": LOG, "b": CREATE}
    time.advance(MAX_AGE_S + 0.1)
    assert types.get(["a", "absent"]) == {"a": CREATE}
    assert types.get([]) == {}
    assert brokers.asked == [["a", "absent"], ["b"], ["a", "absent"]]


def test_logs_that_begin_together_read_a_topic_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for the answer to the first one."""
    monkeypatch.setattr("clocksvc.kafka.timestamp_types.WAIT_S", 30.0)
    brokers = Brokers()
    brokers.answering.clear()
    types = SharedTimestampTypes(brokers.read, ManualTime("2026-11-22T12:30:00Z"))
    seen: list[Types] = []
    threads = [threading.Thread(target=lambda: seen.append(types.get(["a"]))) for _ in range(16)]
    for thread in threads:
        thread.start()
    eventually(lambda: brokers.asked, what="the first request")
    brokers.answering.set()
    for thread in threads:
        thread.join(10)

    assert (seen, brokers.asked) == ([{"a": LOG}] * 16, [["a"]])


def test_a_log_does_not_wait_long_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka may not answer the first one. Each log fails or goes on by itself."""
    monkeypatch.setattr("clocksvc.kafka.timestamp_types.WAIT_S", 0.01)
    brokers = Brokers()
    brokers.answering.clear()
    types = SharedTimestampTypes(brokers.read, ManualTime("2026-11-22T12:30:00Z"))
    threads = [threading.Thread(target=types.get, args=(["a"],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(brokers.asked) == 2, what="two requests")
    brokers.answering.set()
    for thread in threads:
        thread.join(10)

    assert types.get(["a"]) == {"a": LOG}


def test_a_failed_reading_is_not_kept() -> None:
    """The next log asks again."""
    brokers = Brokers()

    def fail(topics: Collection[str]) -> Types:
        brokers.asked.append(list(topics))
        raise MetadataUnavailable

    types = SharedTimestampTypes(fail, ManualTime("2026-11-22T12:30:00Z"))
    for _ in range(2):
        with pytest.raises(MetadataUnavailable):
            types.get(["a"])

    assert brokers.asked == [["a"], ["a"]]
