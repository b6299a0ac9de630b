"""The partition clocks: which of them hold the global clock, and how far apart they are.

Topics may have thousands of partitions: every panel limits them to what a browser can draw.
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
"""Points on the time axis of panels with all partitions: a million values for 4,096 partitions."""

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
        f"How far each partition clock is behind the time of the query: a row for each of the {ROWS} partitions that "
        f"are last at the end of the time range. A partition that holds the clock is a row that turns red. {_ABSENT}"
    )
    expression = q.in_order(q.of_slowest(f"time() - {q.PARTITION_CLOCK}", ROWS))
    panel = heat("Partition clocks", description, "s", 12).max_data_points(POINTS)
    return panel.with_target(over_time(expression, "{{row}}"))


def _holders() -> table.Panel:
    description = (
        f"The {HOLDERS} partitions that are furthest behind: the first of them hold the global clock. {_ABSENT}"
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
        "How far partition clocks are ahead of the global clock: the furthest, half of them, the slowest. The slowest "
        "is below one interval. A growing distance: one partition is slow, or a producer's clock is fast. Below 0: a "
        f"partition was included again and has to catch up. {_ABSENT}"
    )
    panel = lines("Drift", description, "s")
    for name, (legend, (aggregate, parameter)) in zip("ABC", _SPREAD.items(), strict=True):
        panel = panel.with_target(over_time(q.drift(aggregate, parameter), legend, name))
    return panel


def _drift_of_the_slowest() -> timeseries.Panel:
    description = (
        f"How far each of the {LINES} partitions that are last at the end of the time range is ahead of the global "
        f"clock (below 0: behind it). The one that stays near 0 holds it. {_ABSENT}"
    )
    expression = q.of_slowest(q.DRIFT, LINES)
    panel = lines("Drift of the slowest partitions", description, "s", 12, "lastNotNull").max_data_points(POINTS)
    return panel.with_target(over_time(expression, "{{topic}}:{{partition}}"))
