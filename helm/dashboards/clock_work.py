"""Panels for the input and output of a clock: reports, late records, heartbeats and jobs."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.clock_now import HEARTBEAT_STEPS
from helm.dashboards.panels import bars, lines, number, with_lines_at
from helm.dashboards.parts import BLUE, GREEN, ORANGE, RED, fixed, now, over_time, steps

_EACH = "$__rate_interval"
_LEADER_ONLY = "Exported by the leader, so not known without a leader."


def records() -> Iterator[Builder[Panel]]:
    """Reports of consumers, rejected timestamps, late records."""
    yield _reports()
    yield _refused()
    yield _late()
    yield _in_range("Rejected", "Timestamps rejected", q.risen(q.REFUSED, "outcome"))
    yield _in_range("Late", "Late records", q.risen(q.LATE))


def heartbeats() -> Iterator[Builder[Panel]]:
    """Heartbeats, which keep quiet partitions moving."""
    yield _heartbeats()
    yield _heartbeat_age()


def jobs() -> Iterator[Builder[Panel]]:
    """Tasks that dispatchers send at the ticks of the clock."""
    yield _tasks()
    yield _dispatcher_behind()
    yield _duplicates()


def _reports() -> timeseries.Panel:
    description = (
        "Timestamps that consumers reported, by outcome. accepted and unchanged are normal. unknown is normal for some "
        f"seconds after partitions were added or the store was lost. {_LEADER_ONLY}"
    )
    panel = lines("Reports", description, "suffix: /s", 8)
    return panel.with_target(over_time(q.per_second(q.REPORTS, "outcome"), "{{outcome}}"))


def _refused() -> timeseries.Panel:
    description = (
        "Timestamps that were rejected. too_far_ahead: a producer's clock is fast. no_timestamp: a producer sets none. "
        "not_milliseconds: a number in seconds or microseconds. "
        "foreign_group: another consumer group reports to this clock. foreign_topic: one reports a topic that "
        f"the clock does not have, or gives no topic although the clock has several. {_LEADER_ONLY}"
    )
    panel = bars("Rejected timestamps", description, "short", 8)
    return panel.with_target(over_time(q.counted(q.REFUSED, _EACH, "outcome"), "{{outcome}}"))


def _late() -> timeseries.Panel:
    description = (
        "Records processed with a timestamp before a tick that was already published. That tick did not wait for them. "
        f"If there are more than a few, raise max_out_of_orderness. {_LEADER_ONLY}"
    )
    panel = bars("Late records", description, "short", 8).with_target(over_time(q.counted(q.LATE, _EACH), "late"))
    return panel.override_by_name("late", [fixed(ORANGE)])


def _in_range(title: str, what: str, expression: str) -> stat.Panel:
    description = f"{what} in the whole time range, as Prometheus estimates it from its samples. {_LEADER_ONLY}"
    panel = (
        number(f"{title} in this time", description, "short", 12).decimals(0).thresholds(steps(GREEN, (0.5, ORANGE)))
    )
    return panel.with_target(now(expression, what.lower()))


def _heartbeats() -> timeseries.Panel:
    description = (
        f"Heartbeats a minute over the last {q.WINDOW}: records delivered and failed, rounds expired because they "
        f"waited too long. {_LEADER_ONLY}"
    )
    panel = lines("Heartbeats", description, "suffix: /min").with_target(
        over_time(q.per_minute(q.HEARTBEATS, "outcome"), "{{outcome}}")
    )
    colors = {"delivered": GREEN, "failed": RED, "expired": ORANGE}
    for outcome, color in colors.items():
        panel = panel.override_by_name(outcome, [fixed(color)])
    return panel


def _heartbeat_age() -> timeseries.Panel:
    description = (
        "How long ago a round of heartbeats last reached every partition. It rises when Celery's beat or worker is "
        "down, or Kafka accepts no records. The dashed lines are for a heartbeat each minute. Empty if heartbeats are "
        f"off. {_LEADER_ONLY}"
    )
    panel = with_lines_at(lines("Age of the last round of heartbeats", description, "s"), GREEN, *HEARTBEAT_STEPS)
    return panel.with_target(over_time(q.HEARTBEAT_AGE, "age"))


def _tasks() -> timeseries.Panel:
    description = (
        f"Due times that dispatchers processed per minute, over the last {q.WINDOW}, by outcome, namespace and queue. "
        "expired: older than max_age. rejected: can never be sent, see the reason in the log of beat. Not known: this "
        "clock never sent a task."
    )
    panel = lines("Tasks", description, "suffix: /min", 8)
    legend = "{{outcome}} {{namespace}} {{queue}} ({{dispatcher}})"
    return panel.with_target(over_time(q.per_minute(q.TASKS, "dispatcher", "namespace", "queue", "outcome"), legend))


def _dispatcher_behind() -> timeseries.Panel:
    description = (
        "How far a dispatcher is behind its clock: the last tick minus the dispatcher's checkpoint. It grows while no "
        "process of the dispatcher runs, or while the task queue accepts nothing."
    )
    panel = with_lines_at(lines("Dispatchers behind the clock", description, "s", 8), GREEN, (120, ORANGE), (300, RED))
    return panel.with_target(over_time(q.DISPATCHER_BEHIND, "{{dispatcher}}"))


def _duplicates() -> timeseries.Panel:
    description = "Runs that is_duplicate recognised as redeliveries. A few after a restart of beat are normal."
    panel = bars("Redelivered tasks", description, "short", 8)
    panel = panel.with_target(over_time(q.counted(q.TASK_DUPLICATES, _EACH), "redelivered"))
    return panel.override_by_name("redelivered", [fixed(BLUE)])
