"""The dashboard *Schedules*: the schedules of one clock, with all of its schedulers."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.panels import bars, lines, number, plain_number, row, with_lines_at
from helm.dashboards.parts import (
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    SCHEDULES,
    blank,
    fixed,
    now,
    over_time,
    page_link,
    page_variable,
    runbook_link,
    runbook_variable,
    scheduled_clock_variable,
    scheduler_job_variable,
    steps,
)

_DESCRIPTION = "The schedules of one clock, and the schedulers that run them. Times are UTC."
_LATE_STEPS = ((120, ORANGE), (180, RED))
"""In seconds. For an interval of a minute, the alert ClocksvcSchedulesLate fires from 180 on."""
_LINES = 10


def dashboard() -> Dashboard:
    """The dashboard of the schedules of one clock."""
    built = blank("clocksvc: schedules", SCHEDULES, _DESCRIPTION, scheduler_job_variable())
    built = built.link(page_link("#${clock}")).link(runbook_link())
    for variable in (scheduled_clock_variable(), page_variable(), runbook_variable()):
        built = built.with_variable(variable)
    rows = {"Now": _now(), "Due work": _due_work(), "Schedulers": _schedulers()}
    for title, panels in rows.items():
        built = built.with_row(row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return built


def _now() -> Iterator[Builder[Panel]]:
    owners = "Partitions of schedules that no scheduler owns. Nothing in them is sent."
    yield _tile("Without an owner", owners, q.UNOWNED, GREEN, 1)
    yield _late_now()
    problems = (
        "Partitions that do not work at present, counted for each scheduler. Its log and the page have the cause."
    )
    yield _tile("Problems", problems, q.all_of("problem"), GREEN, 1)
    unreadable = "Records in the topic of schedules that are no valid schedules. The scheduler's log has their offsets."
    yield _tile("Unreadable", unreadable, q.once("unreadable_records"), GREEN, 1)
    missed = "Due times in the time range that were not sent (catch_up, max_age, or rejected). Each is recorded."
    yield _tile("Missed in this time", missed, q.MISSED, GREEN, 1)
    count = "Schedules, with those that are paused or have ended. Only of partitions that a scheduler has loaded."
    yield _tile("Schedules", count, q.once("schedules"), PLAIN)
    yield _tile("Due a minute", f"Due records a minute over the last {q.WINDOW}.", q.DUE_PER_MINUTE, PLAIN)
    description = "Schedulers that were scraped, by version. Two versions are normal during a rolling update."
    yield plain_number("Schedulers", description, "short", 3).with_target(now(q.SCHEDULERS, "{{version}}"))


def _due_work() -> Iterator[Builder[Panel]]:
    yield lines("Due records", "Due records that were sent, each second, by scheduler.", "suffix: /s").with_target(
        over_time(q.scheduler_rate("due_total", "instance"), "{{instance}}")
    )
    description = (
        f"How far the {_LINES} partitions that are latest are behind the clock. Parts of it are scraped at different "
        "moments, so up to an interval and the time between two scrapes is normal. The dashed lines are for an "
        "interval of a minute."
    )
    panel = with_lines_at(lines("Late by partition", description, "s"), GREEN, *_LATE_STEPS)
    yield panel.with_target(over_time(f"topk({_LINES}, {q.LATE_SCHEDULES})", "partition {{partition}}"))
    description = (
        "How long the last transaction with due records took, in the slowest partition: to decide what is due, until "
        "all records were acknowledged, and to commit."
    )
    panel = lines("Duration of a tick", description, "s", 8)
    yield panel.with_target(over_time(q.slowest_of("last_tick_seconds", "step"), "{{step}}"))
    description = "Ticks that owners have handled, each second, for all partitions together. More in a backlog."
    panel = lines("Handled ticks", description, "suffix: /s", 8)
    yield panel.with_target(over_time(q.scheduler_rate("ticks_total", "instance"), "{{instance}}"))
    description = "Due times that were not sent. clocksvc schedules missed lists them."
    panel = bars("Missed", description, "short", 8).override_by_name("missed", [fixed(ORANGE)])
    yield panel.with_target(over_time(q.scheduler_count("missed_total"), "missed"))


def _schedulers() -> Iterator[Builder[Panel]]:
    description = "Partitions that each scheduler owns, and those without an owner."
    panel = lines("Owned partitions", description, "short", 8).override_by_name("without an owner", [fixed(RED)])
    panel = panel.with_target(over_time(q.all_of("owner", "instance"), "{{instance}}"))
    yield panel.with_target(over_time(q.UNOWNED, "without an owner", "B"))
    description = "How much of the partition that it has read least each scheduler has read. 1 once all are loaded."
    panel = lines("Loading", description, "percentunit", 8)
    yield panel.with_target(over_time(q.least_of("loaded_ratio", "instance"), "{{instance}}"))
    description = (
        "How often schedulers became the owner of a partition, and how often another owner fenced them. A rolling "
        "update moves each partition; more means that schedulers lose Kafka or Redis."
    )
    panel = bars("Takeovers", description, "short", 8).decimals(0).override_by_name("fenced", [fixed(ORANGE)])
    panel = panel.with_target(over_time(q.scheduler_count("takeovers_total"), "became the owner"))
    yield panel.with_target(over_time(q.scheduler_count("fenced_total"), "fenced", "B"))


def _tile(title: str, description: str, expression: str, base: str, red_from: int | None = None) -> stat.Panel:
    """A number. With `red_from`, it is red from this value on."""
    above = () if red_from is None else ((red_from, RED),)
    make = plain_number if red_from is None else number
    panel = make(title, description, "short", 3).thresholds(steps(base, *above)).decimals(0)
    return panel.with_target(now(expression, title.lower()))


def _late_now() -> stat.Panel:
    description = "How far the latest partition is behind the clock. The colours are for an interval of a minute."
    panel = number("Late", description, "s", 3).thresholds(steps(GREEN, *_LATE_STEPS)).decimals(0)
    return panel.with_target(now(f"max by (clock) ({q.LATE_SCHEDULES})", "late"))
