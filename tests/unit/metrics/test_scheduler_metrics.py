"""`/metrics` of a scheduler: what is not known is absent, and no series outlives its partition."""

import math
import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clocksvc.metrics.catalogue import INVALID_HTTP
from clocksvc.metrics.scheduler_catalogue import SCHEDULER_CATALOGUE
from clocksvc.metrics.scheduler_exposition import Partitions, render_scheduler_metrics
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats

pytestmark = pytest.mark.core

EXPORTED = (*SCHEDULER_CATALOGUE, INVALID_HTTP)
NOON_MS = 1_795_348_800_000
OWNER = PartitionStats(
    state=PartitionState.OWNER,
    records=900,
    offset=1_000,
    end=1_000,
    schedules=800,
    unreadable=2,
    position_ms=NOON_MS,
    ticks=5,
    due_last_tick=70,
    due=300,
    missed=4,
    decide_s=0.1,
    produce_s=0.2,
    commit_s=0.3,
    terms=2,
    fenced=1,
    problem="no answer from Kafka",
)
"""Every figure of an owner is above 0."""


def scrape(partitions: Partitions) -> dict[tuple[str, ...], float]:
    """The samples by name and values of labels, in the order of the labels' names."""
    page = render_scheduler_metrics(partitions, 1)[0].decode()
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    return {(one.name, *(one.labels[name] for name in sorted(one.labels))): one.value for one in samples}


def test_page_equals_catalogue() -> None:
    """Names and types, also without any partition."""
    page = render_scheduler_metrics({}, 0)[0].decode()

    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    assert types == {metric.name: metric.type for metric in EXPORTED}


def test_every_metric_of_an_owner_is_above_zero() -> None:
    """With the labels of the catalogue, and nothing else."""
    found = scrape({("checkins", 3): OWNER})

    assert {key[0] for key in found} == {metric.name for metric in EXPORTED}
    assert all(value > 0 and not math.isnan(value) for value in found.values())
    labels = {metric.name: len(metric.labels) for metric in EXPORTED}
    assert all(len(key) == 1 + labels[key[0]] for key in found)
    assert found["clocksvc_scheduler_last_tick_seconds", "checkins", "3", "produce"] == 0.2
    assert found["clocksvc_scheduler_position_timestamp_seconds", "checkins", "3"] == NOON_MS / 1000


def test_a_standby_has_no_position() -> None:
    """It knows the schedules, but not how far the owner is."""
    standby = replace(OWNER, state=PartitionState.LOADED, position_ms=None, due=0, problem=None)
    names = {key[0].removeprefix("clocksvc_scheduler_"): value for key, value in scrape({("c", 0): standby}).items()}

    assert "position_timestamp_seconds" not in names
    assert "last_tick_seconds" not in names
    assert (names["owner"], names["problem"], names["loaded_ratio"], names["schedules"]) == (0, 0, 1, 800)


@pytest.mark.parametrize(("offset", "end", "ratio"), [(0, 0, None), (0, 8, 0), (2, 8, 0.25), (8, 8, 0.999)])
def test_a_partition_that_loads_shows_its_progress(offset: int, end: int, ratio: float | None) -> None:
    """Not 1 before it is loaded; not known before the end is. The schedules read so far are no number of schedules."""
    loading = PartitionStats(offset=offset, end=end, schedules=5)
    names = {key[0].removeprefix("clocksvc_scheduler_"): value for key, value in scrape({("c", 0): loading}).items()}

    assert names.get("loaded_ratio") == ratio
    assert not names.keys() & {"schedules", "unreadable_records", "position_timestamp_seconds"}


def test_no_series_outlives_its_partition() -> None:
    """A partition that another replica owns now is not exported any more."""
    partitions = {("checkins", number): OWNER for number in range(3)}
    assert ("clocksvc_scheduler_owner", "checkins", "2") in scrape(partitions)

    del partitions["checkins", 2]

    assert {key[2] for key in scrape(partitions) if len(key) > 2} == {"0", "1"}
