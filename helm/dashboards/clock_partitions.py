"""Panels for the partition clocks: which of them hold the global clock, and how far apart they are.

Topics may have thousands of partitions, so every panel limits their number to what a browser can draw.
"""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import heatmap, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.clock_now import BEHIND_STEPS
from helm.dashboards.panels import as_columns, colored, grid, heat, lines, thresholds
from helm.dashboards.parts import GREEN, over_time, prop, rows

ROWS = 128
LINES = 20
HOLDERS = 25
POINTS = 240
"""The number of points on the time axis of panels that query all partitions. It limits 4,096 partitions to a million
values."""

_ABSENT = "Without a leader, or with metrics.per_partition off, there are no partition clocks."
_SPREAD = {"furthest": ("max", ""), "half of them": ("quantile", "0.5, "), "slowest": ("min", "")}


def panels() -> Iterator[Builder[Panel]]:
    """The slowest partitions as a picture, as a list, and relative to the global clock."""
    yield _heat()
    yield _holders()
    yield _drift()
    yield _drift_of_the_slowest()


def _heat() -> heatmap.Panel:
    description = (
        f"How far partition clocks are behind the time of the query. There is a row for each of the {ROWS} partitions "
        f"that are slowest at the end of the time range. If a partition holds the clock, its row turns red. {_ABSENT}"
    )
    expression = q.in_order(q.of_slowest(f"time() - {q.PARTITION_CLOCK}", ROWS))
    panel = heat("Partition clocks", description, "s", 12).max_data_points(POINTS)
    return panel.with_target(over_time(expression, "{{row}}"))


def _holders() -> table.Panel:
    description = (
        f"The {HOLDERS} partitions that are furthest behind. The first of them hold the global clock. {_ABSENT}"
    )
    columns = {
        "topic": "topic",
        "partition": "partition",
        "Value #behind": "behind",
        "Value #clock": "partition clock",
        "Value #ahead": "ahead of the global clock",
    }
    slowest = q.slowest(HOLDERS)
    return (
        grid("Top holders", description, 24, 9, "behind")
        .with_target(rows(f"time() - {slowest}", "behind"))
        .with_target(rows(f"1000 * {slowest}", "clock"))
        .with_target(rows(f"{slowest} - on (clock) group_left () {q.GLOBAL_CLOCK}", "ahead"))
        .transformations(as_columns(columns))
        .override_by_name("behind", [prop("unit", "s"), thresholds(GREEN, *BEHIND_STEPS), colored()])
        .override_by_name("partition clock", [prop("unit", "dateTimeAsIso")])
        .override_by_name("ahead of the global clock", [prop("unit", "s")])
    )


def _drift() -> timeseries.Panel:
    description = (
        "How far partition clocks are ahead of the global clock: the fastest, the median and the slowest. The slowest "
        "is normally less than one interval ahead. If the distance grows, one partition is slow, or a producer's clock "
        f"is fast. If it is below 0, a partition was included again and has to catch up. {_ABSENT}"
    )
    panel = lines("Drift", description, "s")
    for name, (legend, (aggregate, parameter)) in zip("ABC", _SPREAD.items(), strict=True):
        panel = panel.with_target(over_time(q.drift(aggregate, parameter), legend, name))
    return panel


def _drift_of_the_slowest() -> timeseries.Panel:
    description = (
        f"How far the {LINES} partitions that are slowest at the end of the time range are ahead of the global clock, "
        f"or behind it if below 0. The partition that stays near 0 holds the clock. {_ABSENT}"
    )
    expression = q.of_slowest(q.DRIFT, LINES)
    panel = lines("Drift of the slowest partitions", description, "s", 12, "lastNotNull").max_data_points(POINTS)
    return panel.with_target(over_time(expression, "{{topic}}:{{partition}}"))
