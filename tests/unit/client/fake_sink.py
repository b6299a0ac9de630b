"""A sink for reporters under test: it records reports and returns configured answers. It checks nothing."""

import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.testing import ManualTime

NOW_MS = 1_795_348_800_000
"""2026-11-22T12:00:00Z, where ManualTime begins. It is a boundary of all intervals in these tests."""
MINUTE_MS = 60_000
TOPIC = "checkins"

PARAMETERS = ClockParameters("workers", (TOPIC,), MINUTE_MS, 0, MINUTE_MS)


class FakeSink:
    """A sink. If `error` is set, it is raised instead of an answer. `block()` delays answers until `unblock()`."""

    def __init__(self, parameters: ClockParameters | None = PARAMETERS, last_tick_ms: int | None = None) -> None:
        self.parameters = parameters
        self.last_tick_ms = last_tick_ms
        self.lowest_ms: int | None = None
        self.outcome: Callable[[PartitionTimestamp], Outcome] = lambda reading: Outcome.ACCEPTED
        self.error: Exception | None = None
        self.reports: list[Report] = []
        self.closed = False
        self._open = threading.Event()
        self._open.set()

    def report(self, report: Report) -> ReportAnswer:
        self._open.wait(30)
        self.reports.append(report)
        if self.error is not None:
            raise self.error
        if self.parameters is None:
            return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, self.last_tick_ms)
        outcomes = tuple(map(self.outcome, report.timestamps))
        return ReportAnswer(outcomes, self.parameters, self.last_tick_ms, self.lowest_ms)

    def close(self) -> None:
        self.closed = True

    def block(self) -> None:
        """Delay all answers."""
        self._open.clear()

    def unblock(self) -> None:
        """Stop delaying answers."""
        self._open.set()

    def last_sent(self) -> dict[int, int]:
        """The timestamp sent last for each partition."""
        return {partition.number: at_ms for report in self.reports for partition, at_ms in report.timestamps}

    def take_sent(self) -> list[dict[int, int]]:
        """The reports since the last call that have timestamps, each as partition to timestamp."""
        sent = [{partition.number: at_ms for partition, at_ms in report.timestamps} for report in self.reports]
        self.reports.clear()
        return [each for each in sent if each]


class SteppedReporter:
    """A reporter with a fake sink and a manual clock, and without a thread.

    Args:
        has_parameters: whether the reporter has received the clock's parameters already.
    """

    def __init__(self, sink: FakeSink | None = None, *, topic: str | None = TOPIC, has_parameters: bool = True) -> None:
        self.sink = sink or FakeSink()
        self.time = ManualTime()
        self.reporter = Reporter(
            "memory://", "checkins", group="workers", topic=topic, sink=self.sink, time=self.time, start=False
        )
        if has_parameters:
            self.step()
            self.sink.reports.clear()

    def step(self) -> None:
        """Send everything that is due now."""
        for _ in range(20):
            if self.reporter.step() > 0:
                return
        raise AssertionError("the reporter always has another step due")

    def pass_time(self, seconds: float) -> list[dict[int, int]]:
        """Advance the time and send what becomes due on the way; returns what was sent."""
        end = self.time.monotonic() + seconds
        while (left := end - self.time.monotonic()) > 0:
            self.time.advance(min(left, max(0.001, self.reporter.step())))
        self.step()
        return self.sink.take_sent()

    def observe(self, *timestamps_ms: int, partition: int = 0) -> list[dict[int, int]]:
        """Observe records and step; returns what was sent."""
        for timestamp_ms in timestamps_ms:
            self.reporter.observe(partition, timestamp_ms)
        self.step()
        return self.sink.take_sent()


class AssignedPartition:
    """A partition as confluent-kafka passes it to the callbacks of a rebalance."""

    def __init__(self, partition: int, topic: str = TOPIC) -> None:
        self.topic, self.partition = topic, partition


def message(partition: int, timestamp_ms: int, topic: str = TOPIC, error: KafkaError | None = None) -> Message:
    """A record as confluent-kafka returns it; each has a topic string of its own."""
    return Message(
        topic="".join(list(topic)), partition=partition, value=b"x", timestamp=(1, timestamp_ms), error=error
    )
