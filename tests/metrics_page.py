"""The text of `/metrics` for clocks whose state a test sets, parsed by Prometheus's own parser."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import ClockParameters, Report, StoreIdentity
from clocksvc.interfaces.store import Store
from clocksvc.metrics.exposition import Metrics
from clocksvc.service.public_state import PublicState
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore
from tests.public_states import public_state

NOW_MS = 1_764_000_000_000
TOKEN = "0" * 32
SPEC = ClockSpec("checkins", ("ingest",), "consumers", heartbeat=HeartbeatSpec(30_000))


@dataclass
class FakeClockView:
    """A clock whose state the test sets."""

    spec: ClockSpec = SPEC
    store: Store = field(default_factory=lambda: FaultyStore("checkins", ManualTime(NOW_MS / 1000)))
    public: PublicState = field(default_factory=public_state)
    trouble: str = ""

    def change(self, **fields: Any) -> None:
        """Change these fields of the state."""
        self.public = replace(self.public, **fields)

    @property
    def counters(self) -> Counters | None:
        try:
            self.store.snapshot()
            return self.store.counters()
        except StoreUnavailable:
            return None

    def cached_readiness_error(self) -> str:
        return self.trouble


class FakeClockViews(dict[str, FakeClockView]):
    """All clocks of a process."""

    def states(self, clocks: Iterable[str]) -> list[PublicState]:
        return [replace(self[clock].public, clock=clock) for clock in clocks]


def write_roster(
    store: Store,
    partitions: int,
    excluded: Iterable[Partition] = (),
    topic_id: str = "id",
    leases: Leases | None = None,
) -> None:
    """Write a roster of `partitions` partitions of topic `ingest`, as a leader does."""
    leases = leases or cast(FaultyStore, store).leases
    assert leases.acquire(TOKEN, "a:1 1", 60_000)
    store.claim(
        TOKEN, StoreIdentity("cluster"), ClockParameters("consumers", ("ingest",), 60_000, 10_000, 60_000), NOW_MS
    )
    store.write_roster(TOKEN, Roster({"ingest": TopicMetadata(topic_id, partitions)}, frozenset(excluded)), 1)


def report(store: Store, *numbers: int, timestamp_ms: int = NOW_MS, **more: Any) -> None:
    """Report these partitions of topic `ingest`."""
    readings = tuple(PartitionTimestamp(Partition("ingest", number), timestamp_ms) for number in numbers)
    store.report(Report(more.pop("group", "consumers"), readings, **more))


def watching(*views: FakeClockView, leads: bool = True, per_partition: bool = True) -> Metrics:
    """Metrics of a process that has these clocks, and leads them or not."""
    metrics = Metrics((view.spec.name for view in views), per_partition=per_partition)
    metrics.watch(FakeClockViews({view.spec.name: view for view in views}))
    for view in views:
        metrics.leading(log_of(view.spec.name), leads)
    return metrics


def scrape(metrics: Metrics) -> list[Sample]:
    """Every sample."""
    page, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=")
    return [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]


def values(metrics: Metrics, name: str, label: str = "clock") -> dict[str, float]:
    """The values of a metric, by one of its labels."""
    return {sample.labels[label]: sample.value for sample in scrape(metrics) if sample.name == name}
