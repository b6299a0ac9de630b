"""The probe of Kafka: one question serves all leaders of a process for 2 s."""

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.service.kafka_probe import MAX_AGE_S, KafkaProbe
from clocksvc.testing import ManualTime
from tests.faulty.topics import FaultyTopics

pytestmark = pytest.mark.core

TICKS = "clocksvc-ticks"


class Counted(FaultyTopics):
    """Topics that count questions, and answer when `go_on` is set."""

    def __init__(self) -> None:
        super().__init__("cluster")
        self.asked, self.go_on = 0, threading.Event()
        self.go_on.set()

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        self.asked += 1
        assert self.go_on.wait(30)
        return super().describe(topics)


def test_an_answer_is_used_for_2_s() -> None:
    """Both that Kafka answers and that it does not."""
    topics, time = Counted(), ManualTime()
    probe = KafkaProbe(topics, TICKS, time)
    assert probe.ready()
    topics.unavailable = True
    assert probe.ready()

    time.advance(MAX_AGE_S)
    assert not probe.ready()
    topics.unavailable = False
    assert not probe.ready()
    time.advance(MAX_AGE_S)
    assert probe.ready()
    assert topics.asked == 3


def test_a_topic_that_may_not_be_described_is_not_ready() -> None:
    """This process could not lead."""
    topics = Counted()
    topics.undescribed[TICKS] = "no permission"

    assert not KafkaProbe(topics, TICKS, ManualTime()).ready()


def test_one_caller_asks_and_the_others_get_the_last_answer() -> None:
    """A broker that hangs blocks one leader, not all."""
    topics, time = Counted(), ManualTime()
    probe = KafkaProbe(topics, TICKS, time)
    assert probe.ready()
    time.advance(MAX_AGE_S)
    topics.go_on.clear()
    topics.unavailable = True

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(probe.ready)
        while topics.asked < 2:
            assert not asking.done()
        assert probe.ready()
        topics.go_on.set()
        assert not asking.result(30)
    assert topics.asked == 2


def test_the_first_answer_is_waited_for() -> None:
    """Without an answer all callers wait for the same question."""
    topics = Counted()
    topics.go_on.clear()
    probe = KafkaProbe(topics, TICKS, ManualTime())

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(probe.ready) for _ in range(4)]
        topics.go_on.set()
        assert [one.result(30) for one in asking] == [True] * 4
    assert topics.asked == 1
