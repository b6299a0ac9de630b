"""The metrics of one clock: its hold, its configuration, its last tick and its readiness."""

from dataclasses import replace

import pytest

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.service.public_state import PartitionCounts, PublicPartition
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.metrics_page import NOW_MS, SPEC, FakeClockView, report, scrape, values, watching, write_roster

pytestmark = pytest.mark.core

PER_PARTITION = "clocksvc_partition_clock_timestamp_seconds"
HOLDERS = "clocksvc_holding_partition"


def held(reason: Reason, *numbers: int) -> Hold:
    """A hold that names these partitions."""
    return Hold(reason, tuple(Partition("ingest", number) for number in numbers))


def test_the_partitions_that_hold_are_named_while_they_do() -> None:
    """Every replica exports the holding partitions, and drops their series when the hold ends."""
    view = FakeClockView()
    metrics = watching(view, leads=False)
    view.change(hold=held(Reason.PARTITION_BEHIND, 7, 3))
    during = values(metrics, HOLDERS, "partition")

    view.change(hold=held(Reason.PARTITION_BEHIND, 3))
    fewer = values(metrics, HOLDERS, "partition")
    view.change(hold=None)

    assert (during, fewer, values(metrics, HOLDERS, "partition")) == ({"7": 1.0, "3": 1.0}, {"3": 1.0}, {})


def test_not_more_than_ten_are_named() -> None:
    """A lost consumer with 4,096 partitions must not cause as many series and alerts."""
    view = FakeClockView()
    view.change(hold=held(Reason.PARTITION_UNREPORTED, *range(100, 200)))

    assert list(values(watching(view), HOLDERS, "partition")) == [str(number) for number in range(100, 110)]


def test_a_hold_without_partitions_names_none() -> None:
    """A hold that names no partition has no series of partitions."""
    view = FakeClockView()
    view.change(hold=held(Reason.STORE_UNAVAILABLE))

    assert values(watching(view), HOLDERS, "partition") == {}


def test_wide_topics_can_go_without_a_series_for_each_partition() -> None:
    """`metrics.per_partition: false` leaves out partition clocks only; holding partitions are still named."""
    view = FakeClockView()
    write_roster(view.store, 100)
    report(view.store, *range(99))
    view.change(hold=held(Reason.PARTITION_UNREPORTED, 99))
    view.change(partitions=PartitionCounts(known=99, unknown=1, excluded=0, rejected=0))

    everything, without = (scrape(watching(view, per_partition=yes)) for yes in (True, False))

    assert [one for one in everything if one.name != PER_PARTITION] == without
    assert len(everything) - len(without) == 99
    assert [one.labels["partition"] for one in without if "partition" in one.labels] == ["99"]


def test_a_topic_whose_name_needs_care() -> None:
    """Every character that Kafka allows in a topic's name is exported unchanged."""
    view = FakeClockView()
    view.change(hold=Hold(Reason.PARTITION_BEHIND, (Partition("a.B-9_c", 0),)))

    assert values(watching(view), HOLDERS, "topic") == {"a.B-9_c": 1.0}


def test_a_partition_clock_is_exact_to_the_millisecond() -> None:
    """A partition clock has three decimals."""
    view = FakeClockView()
    write_roster(view.store, 2)
    report(view.store, 0, timestamp_ms=NOW_MS + 10_007)
    report(view.store, 1, timestamp_ms=NOW_MS - 1)

    clocks = values(watching(view), PER_PARTITION, "partition")

    assert clocks == {"0": (NOW_MS + 7) / 1000, "1": (NOW_MS - 10_001) / 1000}


class Unread(FaultyStore):
    """A store whose partitions can't be read."""

    def __init__(self) -> None:
        super().__init__("checkins", ManualTime(NOW_MS / 1000))
        self.reads = 0

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        self.reads += 1
        raise StoreUnavailable


def slowest(number: int, clock_ms: int | None) -> PublicPartition:
    """One of the slowest partitions in a state."""
    return PublicPartition(Partition("ingest", number), clock_ms, None, None, clock_ms, False, None)


def test_a_clock_of_few_partitions_needs_no_read_of_its_own() -> None:
    """If the state names all partitions that must report, they are exported without another call to the store."""
    view = FakeClockView(store=Unread())
    view.change(slowest=(slowest(1, None), slowest(0, NOW_MS)), partitions=PartitionCounts(1, 1, 3, 0))

    assert values(watching(view), PER_PARTITION, "partition") == {"0": NOW_MS / 1000}


def test_after_a_failed_read_no_other_clock_is_read() -> None:
    """A store that hangs delays a scrape once, not once for each clock. Clocks of few partitions are exported."""
    stores = [Unread() for _ in range(3)]
    views = [
        FakeClockView(replace(SPEC, name=name), store)
        for name, store in zip(("first", "second", "third"), stores, strict=True)
    ]
    for store in stores:
        write_roster(store, 20)
    views[0].change(slowest=(slowest(0, NOW_MS),), partitions=PartitionCounts(1, 0, 0, 0))
    metrics = watching(*views)

    assert values(metrics, PER_PARTITION) == {"first": NOW_MS / 1000}
    assert [store.reads for store in stores] == [0, 1, 0]
    assert set(values(metrics, "clocksvc_late_records_total")) == {"first", "second", "third"}


def test_what_is_configured_is_there_from_the_beginning() -> None:
    """Interval, hold_after and heartbeats, in seconds, are exported even if the store and Kafka can't be reached."""
    silent = ClockSpec("bills", ("invoices",), "cutter", interval_ms=3_600_000, hold_after_ms=500)
    metrics = watching(FakeClockView(), FakeClockView(silent))

    assert values(metrics, "clocksvc_interval_seconds") == {"checkins": 60, "bills": 3_600}
    assert values(metrics, "clocksvc_hold_after_seconds") == {"checkins": 120, "bills": 0.5}
    assert values(metrics, "clocksvc_heartbeat_every_seconds") == {"checkins": 30}


def test_what_the_topics_decide_is_absent_until_it_is_known() -> None:
    """Unless configured, `max_out_of_orderness` depends on the topics."""
    view = FakeClockView()
    before = values(watching(view), "clocksvc_max_out_of_orderness_seconds")
    view.change(max_out_of_orderness_ms=0)

    assert (before, values(watching(view), "clocksvc_max_out_of_orderness_seconds")) == ({}, {"checkins": 0.0})


def test_the_emission_time_of_the_last_tick() -> None:
    """It tells a clock that catches up from one that is stopped."""
    view = FakeClockView()
    before = values(watching(view), "clocksvc_last_tick_emitted_timestamp_seconds")
    view.change(last_tick=Tick("checkins", NOW_MS, None, 60_000, NOW_MS + 1))

    after = values(watching(view), "clocksvc_last_tick_emitted_timestamp_seconds")
    assert (before, after) == ({}, {"checkins": (NOW_MS + 1) / 1000})


def test_readiness_is_exported_per_clock() -> None:
    """`clocksvc_ready` is 0 for the clock whose feed is lost, and 1 for the others."""
    lost = FakeClockView(ClockSpec("bills", ("invoices",), "cutter"), trouble="lost while the store answers")

    assert values(watching(FakeClockView(), lost), "clocksvc_ready") == {"checkins": 1.0, "bills": 0.0}
