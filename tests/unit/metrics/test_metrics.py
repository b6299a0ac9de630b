"""Metrics: `/metrics` and the document match the catalogue, and values are never stale, NaN or invented."""

import re
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.committed.stats import ObserverStats
from clocksvc.interfaces.counters import TaskCounterKey
from clocksvc.interfaces.observations import PartitionObservation, UpstreamObservation
from clocksvc.interfaces.progress import PartitionClock, Snapshot
from clocksvc.metrics.catalogue import CATALOGUE, Metric
from clocksvc.metrics.consumer_catalogue import CONSUMER_CATALOGUE
from clocksvc.metrics.exposition import Metrics
from clocksvc.metrics.outbox_metrics import OUTBOX_CATALOGUE
from clocksvc.metrics.scheduler_catalogue import SCHEDULER_CATALOGUE
from clocksvc.service.public_state import ObserverState, PartitionCounts, PublicPartition
from clocksvc.service.schedules_state import SchedulesState
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.metrics_page import NOW_MS, SPEC, FakeClockView, report, scrape, values, watching, write_roster
from tests.repository import ROOT

pytestmark = pytest.mark.core

DOCUMENT = ROOT / "docs" / "metrics.md"


def names_on_page(metrics: Metrics) -> dict[str, str]:
    """Types by name, from the `# TYPE` lines."""
    page = metrics.render()[0].decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))


def test_catalogue_equals_page() -> None:
    """`/metrics` has exactly the names and types of the catalogue."""
    assert names_on_page(watching(FakeClockView())) == {metric.name: metric.type for metric in CATALOGUE}


def test_catalogue_equals_document() -> None:
    """The document lists every metric of the catalogues with its type, labels, exporter and meaning."""
    every = (*CATALOGUE, *CONSUMER_CATALOGUE, *SCHEDULER_CATALOGUE, *OUTBOX_CATALOGUE)
    rows = [
        line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| `clocksvc_")
    ]
    assert [row[0].strip("`") for row in rows] == [metric.name for metric in every]
    for row, metric in zip(rows, every, strict=True):
        labels = tuple(label.strip("`") for label in row[2].split(", ") if label != "none")
        assert (row[1], labels, row[3], row[4]) == (metric.type, metric.labels, metric.exporter, metric.help)


OTHER = "https://clocksvc.other"


def waited_for(clock: str, url: str = "", hold: Hold | None = None) -> dict[str, Any]:
    """The `upstream` of a hold."""
    wire = None if hold is None else hold.to_wire()
    return {"clock": clock, "url": url, "time": None, "status": "holding", "hold": wire}


def slowest(number: int, clock_ms: int | None, observed: PartitionObservation | None = None) -> PublicPartition:
    """One of the slowest partitions in a state."""
    return PublicPartition(Partition("ingest", number), clock_ms, None, None, clock_ms, False, None, observed)


def drive_everything() -> Metrics:
    """A process in which every metric has a value."""
    view = FakeClockView()
    view.change(
        last_tick=Tick("checkins", NOW_MS - 60_000, None, 60_000, NOW_MS),
        max_out_of_orderness_ms=10_000,
        due_ticks=3,
        hold=Hold(Reason.UPSTREAM_BEHIND, (Partition("ingest", 1),), upstream=waited_for("raw", OTHER)),
        after=(UpstreamObservation("raw", OTHER, NOW_MS),),
        observer=ObserverState(NOW_MS, "", {"not_processed": 2}, 5),
        partitions=PartitionCounts(known=1, unknown=1, excluded=1, rejected=0),
        schedules=SchedulesState(8, owned=7),
        slowest=(
            slowest(0, NOW_MS - 10_000, PartitionObservation(10, 12, "not_processed")),
            slowest(1, None, PartitionObservation(None, 7, "nothing_committed")),
        ),
    )
    write_roster(view.store, 3, excluded=[Partition("ingest", 2)])
    report(view.store, 0, late_records=2)
    view.store.count_heartbeats({"delivered": 3, "failed": 1, "expired": 1}, success=True)
    view.store.count_tasks("beat", {TaskCounterKey("ingest", "ingest-slow", "sent"): 3}, NOW_MS - 60_000, 60_000)
    view.store.mark_task_done("id", 60_000, 10)
    view.store.is_task_done("id")
    metrics = watching(view)
    metrics.ticked("checkins", 5, 0.004)
    metrics.watch_streams(lambda: {"checkins": (2, 1)})
    metrics.watch_invalid_http(lambda: 4)
    metrics.watch_observer(lambda: ObserverStats(3, 0.25, {"ends": 6}, 2, 1, 1))
    return metrics


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_each_metric_comes_above_zero(metric: Metric) -> None:
    """Each metric has a series above zero with exactly its labels, once it has something to count."""
    name = metric.name + ("_count" if metric.type == "histogram" else "")
    samples = [sample for sample in scrape(drive_everything()) if sample.name == name]

    assert max(sample.value for sample in samples) > 0
    assert {tuple(sorted(sample.labels)) for sample in samples} == {tuple(sorted(metric.labels))}


def test_every_sample_belongs_to_the_catalogue() -> None:
    """No sample has a name outside the catalogue: no `_created`, no metrics of a library."""
    histogram = {"_bucket", "_sum", "_count"}
    allowed = {
        metric.name + suffix for metric in CATALOGUE for suffix in (histogram if metric.type == "histogram" else {""})
    }
    assert {sample.name for sample in scrape(drive_everything())} <= allowed


def test_nothing_is_nan_and_unknown_is_absent() -> None:
    """A clock of which nothing is known has no series of its state, rather than zeros or NaN."""
    metrics = watching(FakeClockView())
    samples = scrape(metrics)

    assert all(sample.value == sample.value for sample in samples)
    names = {sample.name for sample in samples}
    assert not names & {
        "clocksvc_global_clock_timestamp_seconds",
        "clocksvc_partition_clock_timestamp_seconds",
        "clocksvc_partitions",
        "clocksvc_heartbeat_last_success_timestamp_seconds",
        "clocksvc_dispatcher_checkpoint_timestamp_seconds",
    }


@pytest.mark.parametrize(
    ("schedules", "expected"),
    [
        (None, {}),
        (SchedulesState(8), {}),
        (SchedulesState(8, owned=0), {"owned": 0, "unowned": 8}),
        (SchedulesState(8, owned=8), {"owned": 8, "unowned": 0}),
    ],
)
def test_partitions_of_schedules_are_owned_or_not(schedules: SchedulesState | None, expected: dict[str, int]) -> None:
    """Absent for a clock without schedules, and while the store does not answer."""
    view = FakeClockView()
    view.change(schedules=schedules)

    assert values(watching(view), "clocksvc_schedule_partitions", "state") == expected


def with_after(*upstreams: UpstreamObservation, last_ms: int | None = NOW_MS) -> FakeClockView:
    """A clock after others, with its last tick."""
    view = FakeClockView(replace(SPEC, name="warehouse"))
    view.change(after=upstreams, last_tick=None if last_ms is None else tick("warehouse", last_ms))
    return view


def tick(clock: str, at_ms: int) -> Tick:
    """A tick."""
    return Tick(clock, at_ms, None, 60_000, at_ms)


def test_a_stage_is_behind_the_stage_before() -> None:
    """The difference of the last ticks. This process knows the last tick of its own clocks better than an observer."""
    raw = FakeClockView(replace(SPEC, name="raw"))
    raw.change(last_tick=tick("raw", NOW_MS + 120_000))
    ours = UpstreamObservation("raw", "", NOW_MS + 60_000)
    theirs = UpstreamObservation("raw", OTHER, NOW_MS + 180_000)

    found = values(watching(raw, with_after(ours, theirs)), "clocksvc_stage_behind_seconds", "upstream")

    assert found == {"raw": 120, f"raw@{OTHER}": 180}


def test_a_stage_is_never_ahead() -> None:
    """If the observer has not read the upstream clock since its last tick, the clock is 0 s behind."""
    view = with_after(UpstreamObservation("raw", OTHER, NOW_MS - 60_000))

    assert values(watching(view), "clocksvc_stage_behind_seconds", "upstream") == {f"raw@{OTHER}": 0}


@pytest.mark.parametrize(("own", "upstream"), [(None, NOW_MS), (NOW_MS, None)])
def test_without_a_tick_a_stage_has_no_distance(own: int | None, upstream: int | None) -> None:
    """Absent before either clock has a tick: unknown is not zero."""
    view = with_after(UpstreamObservation("raw", OTHER, upstream), last_ms=own)

    assert values(watching(view), "clocksvc_stage_behind_seconds", "upstream") == {}


def test_the_stage_to_blame_is_the_last_one_of_the_chain() -> None:
    """Each clock that waits has it with its reason. A clock that holds for another reason has no such series."""
    raw = waited_for("raw", hold=Hold(Reason.PAUSED))
    enriched = waited_for("enriched", hold=Hold(Reason.UPSTREAM_BEHIND, upstream=raw))
    view = with_after()
    view.change(hold=Hold(Reason.UPSTREAM_BEHIND, upstream=enriched))
    metrics = watching(view)
    waiting = (
        values(metrics, "clocksvc_holding_upstream", "stage"),
        values(metrics, "clocksvc_holding_upstream", "stage_reason"),
    )

    view.change(hold=Hold(Reason.UPSTREAM_BEHIND, upstream=waited_for("raw", OTHER)))
    remote = (
        values(metrics, "clocksvc_holding_upstream", "stage"),
        values(metrics, "clocksvc_holding_upstream", "stage_reason"),
    )
    view.change(hold=Hold(Reason.PARTITION_BEHIND))

    assert waiting == ({"raw": 1}, {"paused": 1})
    assert remote == ({f"raw@{OTHER}": 1}, {"none": 1})
    assert values(metrics, "clocksvc_holding_upstream", "stage") == {}


def test_offsets_of_the_group_are_those_of_its_partitions() -> None:
    """With the group's name, from the leader. What the group has not committed is absent, never 0."""
    view = FakeClockView(replace(SPEC, group='of "two"'))
    view.change(
        slowest=(
            slowest(0, NOW_MS, PartitionObservation(10, 12, "not_processed")),
            slowest(1, None, PartitionObservation(None, 7, "nothing_committed")),
            slowest(2, NOW_MS),
        ),
        partitions=PartitionCounts(2, 1, 0, 0),
    )
    metrics = watching(view)

    assert values(metrics, "clocksvc_group_committed_offset", "partition") == {"0": 10}
    assert values(metrics, "clocksvc_group_end_offset", "partition") == {"0": 12, "1": 7}
    assert values(metrics, "clocksvc_group_end_offset", "group") == {'of "two"': 7}
    assert values(watching(view, leads=False), "clocksvc_group_end_offset", "partition") == {}
    assert values(watching(view, per_partition=False), "clocksvc_group_end_offset", "partition") == {}


def test_a_process_without_an_observer_has_none_of_its_counts() -> None:
    """A replica that leads no clock with source committed may have no observer."""
    metrics = watching(FakeClockView())
    metrics.watch_observer(lambda: None)

    assert not [sample for sample in scrape(metrics) if sample.name.startswith("clocksvc_observer")]


def test_partition_clock_is_less_the_out_of_orderness() -> None:
    """A partition clock is the reported time less the out-of-orderness; unknown and excluded ones are absent."""
    view = FakeClockView()
    write_roster(view.store, 3, excluded=[Partition("ingest", 2)])
    report(view.store, 0)

    clocks = values(watching(view), "clocksvc_partition_clock_timestamp_seconds", "partition")

    assert clocks == {"0": (NOW_MS - 10_000) / 1000}


def test_no_series_outlives_its_partition() -> None:
    """A partition that is removed has no series at the next scrape."""
    view = FakeClockView()
    write_roster(view.store, 3)
    report(view.store, 0, 1, 2)
    metrics = watching(view)
    before = values(metrics, "clocksvc_partition_clock_timestamp_seconds", "partition")

    write_roster(view.store, 1)

    after = values(metrics, "clocksvc_partition_clock_timestamp_seconds", "partition")
    assert (set(before), set(after)) == ({"0", "1", "2"}, {"0"})


def test_holding_has_one_series() -> None:
    """The reason of the hold is 1; without a hold, the reason none is 0. Other reasons have no series."""
    view = FakeClockView()
    metrics = watching(view, leads=False)
    view.change(hold=Hold(Reason.NO_LEADER))
    during = values(metrics, "clocksvc_holding", "reason")

    view.change(hold=None)

    assert during == {"no_leader": 1.0}
    assert values(metrics, "clocksvc_holding", "reason") == {"none": 0.0}
    assert "none" not in list(Reason)


@pytest.mark.parametrize("reason", ["moon_phase", 'a "new" \\ reason\nof two lines'])
def test_a_reason_that_is_not_known_holds_too(reason: str) -> None:
    """During an upgrade, a reason of the newer version has a series while it holds the clock."""
    view = FakeClockView()
    view.change(hold=Hold(reason))

    assert values(watching(view), "clocksvc_holding", "reason") == {reason: 1.0}


def test_outcomes_begin_at_zero() -> None:
    """Every known outcome has a series once the store answers, so that the first event is an increase."""
    metrics = watching(FakeClockView())

    assert values(metrics, "clocksvc_reports_total", "outcome") == dict.fromkeys((one.value for one in Outcome), 0.0)
    assert values(metrics, "clocksvc_heartbeats_total", "outcome") == {"delivered": 0, "failed": 0, "expired": 0}


def test_without_heartbeats_there_are_no_counts_of_them() -> None:
    """While heartbeats are off, their counts are absent; counts from before are exported."""
    view = FakeClockView(replace(SPEC, heartbeat=None))
    metrics = watching(view)
    before = values(metrics, "clocksvc_heartbeats_total", "outcome")

    view.store.count_heartbeats({"failed": 1}, success=False)

    assert (before, values(metrics, "clocksvc_heartbeats_total", "outcome")) == ({}, {"failed": 1})


def test_outcomes_are_counted_apart() -> None:
    """A rejected timestamp is counted under its own outcome."""
    view = FakeClockView()
    write_roster(view.store, 1)
    report(view.store, 0, timestamp_ms=NOW_MS + 3_600_000)
    report(view.store, 0, group="strangers")

    counted = values(watching(view), "clocksvc_reports_total", "outcome")

    assert {outcome: count for outcome, count in counted.items() if count} == {"too_far_ahead": 1, "foreign_group": 1}


def test_tasks_are_counted_apart() -> None:
    """By dispatcher, namespace, queue and outcome; zeros are exported, so that the first event is an increase."""
    view = FakeClockView()
    slow, fast = TaskCounterKey("ingest", "slow", "sent"), TaskCounterKey("ingest", "fast", "expired")
    view.store.count_tasks("beat", {slow: 2, fast: 0}, NOW_MS, 60_000)
    view.store.count_tasks("tasks", {slow: 1}, None, 60_000)
    metrics = watching(view)

    counted = {
        tuple(sample.labels[label] for label in ("clock", "dispatcher", "namespace", "queue", "outcome")): sample.value
        for sample in scrape(metrics)
        if sample.name == "clocksvc_tasks_total"
    }

    assert counted == {
        ("checkins", "beat", *slow): 2,
        ("checkins", "beat", *fast): 0,
        ("checkins", "tasks", *slow): 1,
    }
    assert values(metrics, "clocksvc_dispatcher_checkpoint_timestamp_seconds", "dispatcher") == {"beat": NOW_MS / 1000}
    assert values(metrics, "clocksvc_task_duplicates_total") == {"checkins": 0}


def test_only_the_leader_exports_what_the_store_counts() -> None:
    """A standby exports its view of the clock; only the leader exports counters and partition clocks."""
    metrics = drive_everything()
    metrics.leading(log_of("checkins"), False)
    samples = scrape(metrics)

    exported = {sample.name for sample in samples if sample.value > 0}
    assert exported.isdisjoint(metric.name for metric in CATALOGUE if metric.exporter == "leader")
    assert "clocksvc_global_clock_timestamp_seconds" in exported
    assert values(metrics, "clocksvc_leader") == {"checkins": 0.0}


class BreaksWhilePaging(FaultyStore):
    """A store that fails at the second page of partitions."""

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        self.server.broken = after is not None
        return super().partitions(after, limit, topic)


class BreaksAtOnce(FaultyStore):
    """A store that fails at the snapshot."""

    def snapshot(self) -> Snapshot:
        self.server.broken = True
        return super().snapshot()


def names_without(store: type[FaultyStore]) -> set[str]:
    """The names of the samples of a clock of 3,000 partitions with such a store."""
    view = FakeClockView(store=store("checkins", ManualTime(NOW_MS / 1000)))
    view.change(last_tick=Tick("checkins", 60_000, None, 60_000, 60_000))
    write_roster(view.store, 3_000)
    report(view.store, *range(3_000))
    return {sample.name for sample in scrape(watching(view))}


def test_an_outage_of_the_store_fails_no_scrape() -> None:
    """All metrics of the store are absent; those of this process and its view are exported."""
    names = names_without(BreaksAtOnce)

    assert {"clocksvc_global_clock_timestamp_seconds", "clocksvc_leader", "clocksvc_build_info"} <= names
    assert not names & {"clocksvc_partition_clock_timestamp_seconds", "clocksvc_reports_total"}


def test_an_outage_while_partitions_are_read_hides_all_of_them() -> None:
    """Half of a clock's partitions would be misleading. What was read before is exported."""
    names = names_without(BreaksWhilePaging)

    assert {"clocksvc_global_clock_timestamp_seconds", "clocksvc_reports_total"} <= names
    assert "clocksvc_partition_clock_timestamp_seconds" not in names


def test_latency_buckets_count_up() -> None:
    """Latency buckets reach from 1 ms to 1 min; a tick without a known latency is only counted."""
    metrics = Metrics(["checkins"])
    log = str(log_of("checkins"))
    for latency_s in (0.0005, 0.004, 0.004, 300.0):
        metrics.ticked("checkins", 1, latency_s)
    metrics.ticked("checkins", 10, None)
    samples = scrape(metrics)

    buckets = {
        sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_latency_seconds_bucket")
    }
    assert (buckets["0.001"], buckets["0.005"], buckets["60.0"], buckets["+Inf"]) == (1, 3, 3, 4)
    assert values(metrics, "clocksvc_tick_latency_seconds_sum", "log") == {log: pytest.approx(300.0085)}
    assert values(metrics, "clocksvc_tick_latency_seconds_count", "log") == {log: 4}
    assert values(metrics, "clocksvc_ticks_total") == {"checkins": 14}


def test_a_log_has_one_histogram_once_it_was_led() -> None:
    """The clocks of a log share it, and it remains when the log is led elsewhere. Other logs have none."""
    first, second = [name for name in (f"clock-{number}" for number in range(99)) if log_of(name) == 3][:2]
    metrics = Metrics([first, second, "checkins"])
    never = values(metrics, "clocksvc_tick_latency_seconds_count", "log")

    metrics.leading(3, True)
    at_once = values(metrics, "clocksvc_tick_latency_seconds_count", "log")
    metrics.ticked(first, 1, 0.001)
    metrics.ticked(second, 1, 0.001)
    metrics.leading(3, False)

    assert (never, at_once) == ({}, {"3": 0})
    assert values(metrics, "clocksvc_tick_latency_seconds_count", "log") == {"3": 2}


def test_the_log_of_each_clock_is_exported() -> None:
    """`clocksvc_leader` has the number of the clock's log, so that series of logs can be joined to clocks."""
    assert values(watching(FakeClockView()), "clocksvc_leader", "log") == {str(log_of("checkins")): 1.0}


@pytest.mark.parametrize(("leads", "most"), [(False, 20), (True, 30)])
def test_the_number_of_series_of_a_clock(leads: bool, most: int) -> None:
    """With everything but partitions, tasks, the schedules' partitions and upstream clocks, at most 20, and 30 from the
    leader."""
    metrics = drive_everything()
    metrics.leading(log_of("checkins"), leads)
    apart = {"clocksvc_holding_partition", "clocksvc_partition_clock_timestamp_seconds", "clocksvc_tasks_total"}
    apart |= {"clocksvc_dispatcher_checkpoint_timestamp_seconds", "clocksvc_schedule_partitions"}
    apart |= {"clocksvc_group_committed_offset", "clocksvc_group_end_offset", "clocksvc_waiting_partitions"}
    apart |= {"clocksvc_stage_behind_seconds", "clocksvc_holding_upstream", "clocksvc_observation_timestamp_seconds"}
    apart |= {"clocksvc_skipped_records_total"}
    samples = [one for one in scrape(metrics) if one.labels.get("clock") == "checkins" and one.name not in apart]

    assert most - 4 <= len(samples) <= most


def test_clocks_do_not_mix() -> None:
    """Each clock has its own series; an outage of one clock's store does not affect another clock."""
    silent = FaultyStore("checkins", ManualTime(NOW_MS / 1000))
    views = [FakeClockView(SPEC, silent), FakeClockView(ClockSpec("bills", ("invoices",), "cutter"))]
    metrics = watching(*views)
    metrics.ticked("bills", 3, None)
    silent.server.broken = True

    assert values(metrics, "clocksvc_ticks_total") == {"checkins": 0, "bills": 3}
    assert set(values(metrics, "clocksvc_late_records_total")) == {"bills"}
