"""The dashboard *Clock*: one clock, with the most urgent panels first."""

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard

from helm.dashboards import clock_now, clock_partitions, clock_work, observed
from helm.dashboards import queries as q
from helm.dashboards.panels import row
from helm.dashboards.parts import (
    DATASOURCE,
    ONE_CLOCK,
    RED,
    blank,
    clock_variable,
    job_variable,
    over_time,
    page_link,
    page_variable,
    runbook_link,
    runbook_variable,
    topic_variable,
)

_DESCRIPTION = "One clock of clocksvc: its time, its holds and its slowest partitions. Times are UTC."

_ROWS = {
    "Now": clock_now.tiles,
    "Time": clock_now.through_time,
    "Partitions": clock_partitions.panels,
    "Committed offsets and upstream clocks": observed.of_clock,
    "Leader": clock_now.leadership,
    "Records and reports": clock_work.records,
    "Heartbeats": clock_work.heartbeats,
    "Jobs": clock_work.jobs,
}


def dashboard() -> Dashboard:
    """The dashboard of one clock."""
    built = (
        blank("clocksvc: clock", ONE_CLOCK, _DESCRIPTION, job_variable())
        .link(page_link("#${clock}"))
        .link(runbook_link())
        .with_variable(clock_variable())
        .with_variable(topic_variable())
        .with_variable(page_variable())
        .with_variable(runbook_variable())
        .annotation(_holds())
    )
    for title, panels in _ROWS.items():
        built = built.with_row(row(title))
        for panel in panels():
            built = built.with_panel(panel)
    return built


def _holds() -> AnnotationQuery:
    # The expression is set twice, because some versions of Grafana read it here, and others in the target.
    return (
        AnnotationQuery()
        .name("Holds")
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(RED)
        .expr(q.HELD)
        .target(over_time(q.HELD, "", "Holds").interval("15s"))
        .step("15s")
        .title_format("{{clock}} is held")
        .text_format("{{reason}}")
    )
