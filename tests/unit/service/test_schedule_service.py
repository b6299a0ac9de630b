"""A clock's schedules in one process: the replica starts once the topics are right, and the reason is shown before."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from clocksvc.celery.due_sink import open_celery_sink
from clocksvc.errors import InvalidValue, SchedulesMisconfigured, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.service.schedule_service import Replica, ScheduledClock, ScheduleService
from clocksvc.settings import settings_from
from clocksvc.testing import ManualTime
from tests.unit.settings.sample_config import MINIMAL
from tests.waiting import eventually

pytestmark = pytest.mark.core


@dataclass
class FakePartition:
    """A partition in a state."""

    state: PartitionState = PartitionState.LOADING


@dataclass
class FakeReplica:
    """Records what is called."""

    partitions: dict[int, FakePartition] = field(default_factory=dict)
    settled: bool = False
    started: int = 0
    left: bool = False

    def start(self) -> None:
        self.started += 1

    def leave(self) -> None:
        self.left = True

    def join(self, timeout_s: float) -> bool:
        return self.left


class Topics:
    """Topics that are checked; the test sets what the check does."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.warnings: list[str] = []

    def __call__(self) -> list[str]:
        if self.error is not None:
            raise self.error
        return self.warnings


@pytest.fixture
def scheduled() -> tuple[ScheduledClock, FakeReplica, Topics]:
    """A clock whose topics are right, and whose replica has not settled."""
    replica, topics = FakeReplica(), Topics()
    spec = SchedulesSpec("checkins", 2)
    return ScheduledClock(spec, cast(Replica, replica), topics, ManualTime()), replica, topics


Parts = tuple[ScheduledClock, FakeReplica, Topics]


@pytest.mark.parametrize(
    ("error", "level", "shown"),
    [
        (SchedulesUnavailable("Kafka does not answer"), logging.WARNING, "its topics were not found yet"),
        (SchedulesMisconfigured("'a-due' has 3 partitions"), logging.ERROR, "its topics are not as configured"),
    ],
)
def test_the_replica_starts_once_the_topics_are_right(
    scheduled: Parts, error: Exception, level: int, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then the problem is shown and logged once, and the check is repeated."""
    clock, replica, topics = scheduled
    topics.error = error

    assert (clock._begin() or 0) > 0
    assert (clock._begin() or 0) > 0
    assert (clock.problem, replica.started) == (str(error), 0)
    assert clock.readiness_error == shown
    assert [(one.levelno, one.getMessage()) for one in caplog.records] == [
        (level, f"the schedules of clock checkins do not run: {error}")
    ]

    topics.error = None
    assert clock._begin() is None
    assert (clock.problem, replica.started) == (None, 1)


def test_warnings_about_topics_are_logged(scheduled: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """The schedules run all the same."""
    clock, replica, topics = scheduled
    topics.warnings = ["topic of due records 'checkins-due' has 1 replicas, wanted 3: …"]
    clock._begin()

    assert (caplog.messages, replica.started) == (topics.warnings, 1)


def test_readiness_needs_the_store_and_all_own_partitions(scheduled: Parts) -> None:
    """The reason has the number of partitions, and no name."""
    clock, replica, _ = scheduled
    clock.start()
    eventually(lambda: clock.problem is None)

    assert clock.readiness_error == "the store has not answered yet"
    replica.partitions.update({0: FakePartition(), 1: FakePartition(PartitionState.LOADED)})
    assert clock.readiness_error == "1 of its partitions are being loaded"
    replica.settled = True
    assert clock.readiness_error == ""
    clock.leave()
    assert clock.readiness_error == "this process leaves its partitions to other replicas"


@pytest.mark.parametrize("prepare", [lambda parts: None, lambda parts: parts[0]._begin()])
def test_it_has_left_when_no_partition_waits(scheduled: Parts, prepare: Callable[[Parts], None]) -> None:
    """At once if the replica was never started."""
    clock, replica, _ = scheduled
    prepare(scheduled)
    assert not clock.left

    clock.leave()

    assert replica.left
    assert clock.left
    assert clock.join(0)


def test_a_clock_that_leaves_starts_no_replica(scheduled: Parts) -> None:
    """The signal came while the topics were checked."""
    clock, replica, _ = scheduled
    clock.leave()

    assert clock._begin() is None
    assert replica.started == 0
    assert clock.left


def test_a_configuration_without_schedules_is_an_error() -> None:
    """The error says which section is missing."""
    with pytest.raises(InvalidValue, match="wanted at least one clock with the section `schedules`"):
        ScheduleService(settings_from(MINIMAL), "http://localhost:8081", open_celery_sink)
