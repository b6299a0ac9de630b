"""Tests without a server: the real BufferedConsumer and the real clock, with Kafka and time under their control."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from checkins import Database
from consumer import make_consumer

from clocksvc.testing import ConsumerRun, InMemoryClock, Record

MONITORS = ("backup", "import", "report")
"""The keys of the partitions 0, 1 and 2. Each monitor must check in once a minute."""


def at_ms(time: str) -> int:
    """Milliseconds since the epoch of a time on the day of these tests."""
    return round(datetime.fromisoformat(f"2026-11-22T{time}Z").timestamp() * 1000)


def time_of(at_s: float) -> str:
    """The time of the day."""
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M}"


class Monitoring:
    """The consumer, the clock that it reports to, and the program that follows the clock."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "checkins.db")
        self.run = ConsumerRun(lambda: make_consumer(self.database), partitions=3)
        self.clock = InMemoryClock(topic="monitor-checkins", partitions=3, now="2026-11-22T01:10:00Z")
        for slug in MONITORS:
            self.database.add_monitor(slug, 60, at_ms("01:00:00") // 1000)
        for number in range(3):
            self.check_in(number, "01:00:05")

    def check_in(self, partition: int, time: str) -> None:
        """The consumer gets a check-in and stores it. What is committed is reported. All new ticks are handled."""
        record = Record(b'{"status": "ok"}', partition, at_ms(time), MONITORS[partition].encode())
        self.run.feed(record)
        self.run.finish_all()
        for (_, number), timestamp_ms in self.run.reported.items():
            self.clock.report(number, timestamp_ms / 1000)
        handled_s = self.database.position() or 0
        for tick in self.clock.ticks():
            if tick.at_ms // 1000 > handled_s:
                self.database.mark_missed(tick.at_ms // 1000)

    def ticks(self) -> list[str]:
        """The times of all ticks."""
        return [time_of(tick.at_ms / 1000) for tick in self.clock.ticks()]

    def missed(self) -> list[tuple[str, str]]:
        """The monitors with their missed periods."""
        return [(slug, time_of(period_s)) for slug, period_s in self.database.missed()]


@pytest.fixture
def monitoring(tmp_path: Path) -> Monitoring:
    """All partitions have been processed up to 01:00, and the clock has ticked 01:00."""
    return Monitoring(tmp_path)


def test_a_check_in_in_a_slower_partition_is_not_marked_as_missed(monitoring: Monitoring) -> None:
    """Four check-ins in three partitions. One partition is at 01:02 while the check-in of 01:01 in another one is still
    in Kafka. A clock that follows the newest record would mark it as missed."""
    monitoring.check_in(0, "01:01:10")
    monitoring.check_in(2, "01:01:30")
    monitoring.check_in(2, "01:02:05")
    assert monitoring.ticks() == ["01:00"]
    assert monitoring.missed() == []

    monitoring.check_in(1, "01:01:20")

    assert monitoring.ticks() == ["01:00", "01:01"]
    assert monitoring.missed() == []


def test_each_period_is_judged_when_the_slowest_partition_skips_a_minute(monitoring: Monitoring) -> None:
    """The slowest partition steps from 01:00 to 01:02. The tick of 01:01 comes too, so each period is judged."""
    monitoring.check_in(0, "01:01:10")
    monitoring.check_in(0, "01:02:10")
    monitoring.check_in(2, "01:02:05")
    assert monitoring.ticks() == ["01:00"]

    monitoring.check_in(1, "01:02:20")

    assert monitoring.ticks() == ["01:00", "01:01", "01:02"]
    assert monitoring.missed() == [("import", "01:01"), ("report", "01:01")]


def test_a_slow_partition_delays_the_verdict_and_changes_nothing(monitoring: Monitoring) -> None:
    """Five minutes of check-ins wait in one partition. No false alarm is made, then or later."""
    for minute in range(1, 6):
        for partition in (0, 2):
            monitoring.check_in(partition, f"01:0{minute}:10")
    assert (monitoring.ticks(), monitoring.missed()) == (["01:00"], [])

    for minute in range(1, 6):
        monitoring.check_in(1, f"01:0{minute}:50")

    assert monitoring.ticks() == [f"01:0{minute}" for minute in range(6)]
    assert monitoring.missed() == []


def test_a_tick_that_is_handled_again_marks_nothing_twice(monitoring: Monitoring) -> None:
    """The program that follows the clock may crash after its work, and before the next tick."""
    for partition in (0, 1, 2):
        monitoring.check_in(partition, "01:02:10")
    found = monitoring.missed()
    monitoring.database.mark_missed(at_ms("01:02:00") // 1000)

    assert monitoring.missed() == found == [(slug, "01:01") for slug in MONITORS]


def test_no_order_of_events_skips_or_repeats_a_check_in(tmp_path: Path) -> None:
    """100 orders of flushes, errors, rebalances and crashes: each check-in is stored once, and no record is skipped."""
    records = [
        Record(b'{"status": "ok"}', number % 3, at_ms(f"01:{number:02}:00"), MONITORS[number % 3].encode())
        for number in range(12)
    ]
    files: Iterator[Path] = (tmp_path / f"{number}.db" for number in range(1_000_000))

    def build() -> ConsumerRun:
        database = Database(next(files))
        return ConsumerRun(lambda: make_consumer(database), partitions=3, sink=database)

    def check(run: ConsumerRun) -> None:
        for slug in MONITORS:
            run.sink.add_monitor(slug, 180, at_ms("01:00:00") // 1000)
        for minute in range(1, 13):
            run.sink.mark_missed(at_ms(f"01:{minute:02}:00") // 1000)
        assert run.sink.missed() == []

    ConsumerRun.explore(build, records=records, check=check, seeds=range(100))
