"""A sink for reporters under test: it keeps what it is sent and answers as it is told. It judges nothing by itself."""

import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from clocksvc.client.reporter import Reporter
from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.interfaces.store import (
    ClockParameters,
    Report,
    ReportAnswer,
)
from clocksvc.testing import ManualTime

NOW_MS = 1_795_348_800_000
"""2026-11-22T12:00:00Z, where ManualTime begins: a boundary of every interval used here."""
MINUTE_MS = 60_000
TOPIC = "checkins"

BOUNDS = ClockParameters("workers", (TOPIC,), MINUTE_MS, 0, MINUTE_MS)


class Desk:
    """A sink. `trouble` is raised instead of an answer; `hold()` keeps every answer back until `release()`."""

    def __init__(self, bounds: ClockParameters | None = BOUNDS, last_tick_ms: int | None = None) -> None:
        self.bounds = bounds
        self.last_tick_ms = last_tick_ms
        self.outcome: Callable[[PartitionTimestamp], Outcome] = lambda reading: Outcome.ACCEPTED
        self.trouble: Exception | None = None
        self.reports: list[Report] = []
        self.closed = False
        self._open = threading.Event()
        self._open.set()

    def report(self, report: Report) -> ReportAnswer:
        self._open.wait(30)
        self.reports.append(report)
        if self.trouble is not None:
            raise self.trouble
        if self.bounds is None:
            return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, self.last_tick_ms)
        return ReportAnswer(tuple(map(self.outcome, report.timestamps)), self.bounds, self.last_tick_ms)

    def close(self) -> None:
        self.closed = True

    def hold(self) -> None:
        """Do not answer for now."""
        self._open.clear()

    def release(self) -> None:
        """Answer again."""
        self._open.set()

    def last(self) -> dict[int, int]:
        """What was sent last of each partition."""
        return {partition.number: at_ms for report in self.reports for partition, at_ms in report.timestamps}

    def take(self) -> list[dict[int, int]]:
        """What was sent since the last call: partition to number, for each report that had any."""
        sent = [{partition.number: at_ms for partition, at_ms in report.timestamps} for report in self.reports]
        self.reports.clear()
        return [each for each in sent if each]


class StepResult:
    """A reporter without a thread, at its desk, in a time that moves by hand."""

    def __init__(self, desk: Desk | None = None, *, topic: str | None = TOPIC, acquainted: bool = True) -> None:
        self.desk = desk or Desk()
        self.time = ManualTime()
        self.reporter = Reporter(
            "memory://", "checkins", group="workers", topic=topic, sink=self.desk, time=self.time, start=False
        )
        if acquainted:
            self.step()
            self.desk.reports.clear()

    def step(self) -> None:
        """All that is due now."""
        for _ in range(20):
            if self.reporter.step() > 0:
                return
        raise AssertionError("the reporter never comes to rest")

    def pass_time(self, seconds: float) -> list[dict[int, int]]:
        """Let time pass, doing what falls due on the way; what was sent."""
        end = self.time.monotonic() + seconds
        while (left := end - self.time.monotonic()) > 0:
            self.time.advance(min(left, max(0.001, self.reporter.step())))
        self.step()
        return self.desk.take()

    def observe(self, *timestamps_ms: int, partition: int = 0) -> list[dict[int, int]]:
        """Observe, step; what was sent."""
        for timestamp_ms in timestamps_ms:
            self.reporter.observe(partition, timestamp_ms)
        self.step()
        return self.desk.take()


class Assigned:
    """What confluent-kafka hands to the callbacks of a rebalance."""

    def __init__(self, partition: int, topic: str = TOPIC) -> None:
        self.topic, self.partition = topic, partition


def message(partition: int, timestamp_ms: int, topic: str = TOPIC, error: KafkaError | None = None) -> Message:
    """A record as a consumer gets it, each with a topic string of its own."""
    return Message(
        topic="".join(list(topic)), partition=partition, value=b"x", timestamp=(1, timestamp_ms), error=error
    )
