"""Panels for clocks that follow committed offsets, and for the stages of pipelines."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.panels import bars, lines, with_lines_at
from helm.dashboards.parts import GREEN, ORANGE, RED, fixed, over_time

_LINES = 10
_OBSERVED_ONLY = "Empty for a clock with source reports."


def of_clock() -> Iterator[Builder[Panel]]:
    """One clock: its upstream clocks, what its partitions wait for, and the lag of its group."""
    yield _stage_behind(8, q.STAGE_BEHIND, "after {{upstream}}")
    yield _waiting()
    yield _age()
    yield _lag()
    yield _skipped()


def of_fleet() -> Iterator[Builder[Panel]]:
    """All clocks: stages that are behind, stages to blame, and the work of the observers."""
    worst = f"topk({_LINES}, {q.STAGE_BEHIND})"
    yield _stage_behind(12, worst, "{{clock}} after {{upstream}}")
    yield _blamed()
    yield _requests()
    yield _polls()
    yield _trouble()


def _stage_behind(width: int, expression: str, legend: str) -> timeseries.Panel:
    description = (
        "How far a clock is behind an upstream clock: the difference of their last ticks. It rises at the stage that "
        "is slow, and stays low at the stages after it. Empty for clocks without upstream clocks."
    )
    return lines("Stages behind", description, "s", width).with_target(over_time(expression, legend))


def _blamed() -> timeseries.Panel:
    description = (
        "The number of clocks that wait for upstream clocks, for each stage to blame and the reason of its hold. A "
        "stage with @ belongs to another installation. Empty if no clock waits."
    )
    panel = bars("Clocks that wait for a stage", description, "short").decimals(0)
    return panel.with_target(over_time(q.WAITING_CLOCKS, "{{stage}}: {{stage_reason}}"))


def _waiting() -> timeseries.Panel:
    description = (
        "The number of partitions that have not passed the next boundary, by what they wait for. The runbook explains "
        f"each. {_OBSERVED_ONLY}"
    )
    panel = bars("Partitions wait for", description, "short", 8).decimals(0)
    return panel.with_target(over_time(q.WAITING_PARTITIONS, "{{waits_for}}"))


def _age() -> timeseries.Panel:
    description = f"How long ago the committed offsets were last observed. Normally up to poll (5 s). {_OBSERVED_ONLY}"
    panel = with_lines_at(lines("Age of the observation", description, "s", 8), GREEN, (30, ORANGE), (60, RED))
    return panel.with_target(over_time(q.OBSERVATION_AGE, "age"))


def _lag() -> timeseries.Panel:
    description = (
        f"The {_LINES} partitions with the most offsets that the group has not committed. Markers of transactions "
        "count, too. Empty with metrics.per_partition off, without a leader, and for a clock with source reports."
    )
    panel = lines("Lag of the group", description, "short", 12)
    return panel.with_target(over_time(f"topk({_LINES}, {q.LAG})", "{{topic}}:{{partition}}"))


def _skipped() -> timeseries.Panel:
    description = (
        f"Offsets over which commits have jumped: records lost by retention, or a seek. {_OBSERVED_ONLY} Exported by "
        "the leader."
    )
    panel = bars("Skipped offsets", description, "short", 12)
    panel = panel.with_target(over_time(q.counted(q.SKIPPED, "$__rate_interval"), "skipped"))
    return panel.override_by_name("skipped", [fixed(ORANGE)])


def _requests() -> timeseries.Panel:
    description = "Requests of all observers of committed offsets to Kafka, each second, and records that they read."
    panel = lines("Requests of observers", description, "suffix: /s", 8)
    panel = panel.with_target(over_time(q.observer_rate("requests_total", "kind"), "{{kind}}"))
    return panel.with_target(over_time(q.observer_rate("record_reads_total"), "records", "B"))


def _polls() -> timeseries.Panel:
    description = (
        "The mean duration of a poll of all observers. A poll that takes longer than poll delays the next one."
    )
    return lines("Duration of a poll", description, "s", 8).with_target(over_time(q.OBSERVER_POLL, "poll"))


def _trouble() -> timeseries.Panel:
    description = (
        "Requests of observers that Kafka did not answer completely, each second; and how often the process of an "
        "observer ended and was started again."
    )
    panel = lines("Failures of observers", description, "short", 8)
    panel = panel.with_target(over_time(q.observer_rate("failures_total"), "failures /s"))
    panel = panel.with_target(over_time(q.OBSERVER_RESTARTS, "restarts of {{instance}}", "B"))
    return panel.override_by_name("failures /s", [fixed(ORANGE)])
