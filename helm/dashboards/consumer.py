"""The dashboard *Consumer*: all processes of one BufferedConsumer."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.panels import bars, lines, number, plain_number, row, states, with_lines_at
from helm.dashboards.parts import (
    CONSUMER,
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    blank,
    consumer_job_variable,
    consumer_variable,
    fixed,
    now,
    over_time,
    page_link,
    page_variable,
    prop,
    runbook_link,
    runbook_variable,
    steps,
    words,
)

_DESCRIPTION = "One BufferedConsumer, with all of its processes. Times are UTC."
_HEALTH_WORDS = words({"0": ("not healthy", RED), "1": ("healthy", GREEN)})
_OUTCOMES = {"success": GREEN, "failure": RED}
_AGE_STEPS = ((60, ORANGE), (300, RED))
"""In seconds. The alert ClocksvcConsumerItemsOld fires from 300 on."""


def dashboard() -> Dashboard:
    """The dashboard of one consumer."""
    built = blank("clocksvc: consumer", CONSUMER, _DESCRIPTION, consumer_job_variable())
    built = built.link(page_link("")).link(runbook_link())
    for variable in (consumer_variable(), page_variable(), runbook_variable()):
        built = built.with_variable(variable)
    rows = {
        "Now": _health(),
        "Records": _records(),
        "Flushes": _flushes(),
        "Buffer": _buffer(),
        "Errors and commits": _errors(),
        "Rebalances": _rebalances(),
    }
    for title, panels in rows.items():
        built = built.with_row(row(title))
        for panel in panels:
            built = built.with_panel(panel)
    return built


def _health() -> Iterator[Builder[Panel]]:
    yield _tile("Processes", "Processes that were scraped.", q.CONSUMERS, 0)
    yield _tile("Not healthy", "Processes with a flush or a loop that is stuck, or that have failed.", q.UNHEALTHY, 1)
    yield _tile(
        "Stuck flushes", "Flushes that have run longer than stuck_after_seconds.", q.together("stuck_flushes"), 1
    )
    yield _oldest_now()
    uncommitted = "Records that were received and are not committed yet."
    yield _tile("Uncommitted", uncommitted, q.together("uncommitted_records"), 0)
    yield _tile("Partitions", "Assigned partitions of all processes.", q.together("partitions"), 0)
    yield _healthy()


def _records() -> Iterator[Builder[Panel]]:
    description = (
        "Records received, and items flushed, each second. There are fewer items than records if process returns None, "
        "for heartbeats, and for dead letters."
    )
    panel = lines("Throughput", description, "suffix: /s")
    panel = panel.with_target(over_time(q.consumer_rate("records_total"), "records"))
    yield panel.with_target(over_time(q.consumer_rate("flushed_items_total"), "items", "B"))
    description = (
        "Records that were received and are not committed yet, by process. A crash repeats them. If a line only rises, "
        "flushes or commits fail. The lag in Kafka is not in it: kafka-consumer-groups.sh shows that."
    )
    panel = lines("Uncommitted records", description, "short")
    yield panel.with_target(over_time(q.together("uncommitted_records", "instance"), "{{instance}}"))


def _flushes() -> Iterator[Builder[Panel]]:
    description = "Attempts of flush each second, by outcome. A failure is repeated, up to the attempts of retry."
    yield _by_outcome(lines("Flushes", description, "suffix: /s", 8), q.consumer_rate("flushes_total", "outcome"))
    description = "The mean duration of an attempt of flush. Empty while no flush ends, also if one hangs."
    yield lines("Duration of a flush", description, "s", 8).with_target(over_time(q.FLUSH_DURATION, "mean"))
    description = (
        "Flushes that run, and those that have run longer than stuck_after_seconds, by process. If running is "
        "always at concurrent_flushes, the sink is the limit."
    )
    panel = lines("Running flushes", description, "short", 8)
    panel = panel.with_target(over_time(q.together("running_flushes", "instance"), "{{instance}}"))
    yield panel.with_target(over_time(q.together("stuck_flushes", "instance"), "stuck: {{instance}}", "B"))


def _buffer() -> Iterator[Builder[Panel]]:
    description = (
        "The size of the buffer in records or bytes divided by its bound, whichever is higher, by process. Full all "
        "the time: flush is slower than the topic. In a catch-up this is normal."
    )
    panel = lines("Buffer", description, "percentunit", 8)
    yield panel.with_target(over_time(q.highest("buffer_used_ratio", "instance"), "{{instance}}"))
    description = "Records in the buffers of all processes, and the sum of the sizes of their values."
    panel = lines("Buffered records and bytes", description, "short", 8)
    panel = panel.with_target(over_time(q.together("buffered_records"), "records"))
    panel = panel.with_target(over_time(q.together("buffered_bytes"), "bytes", "B"))
    yield panel.override_by_name("bytes", [prop("unit", "bytes"), prop("custom.axisPlacement", "right")])
    description = (
        "How long the oldest item has waited for its flush, by process. Normally about batch_seconds and the "
        "duration of a flush."
    )
    panel = with_lines_at(lines("Age of the oldest item", description, "s", 8), GREEN, *_AGE_STEPS)
    yield panel.with_target(over_time(q.highest("oldest_buffered_seconds", "instance"), "{{instance}}"))
    description = (
        "Partitions that are paused now, by reason. buffer_full: no flush ended for a second. ahead: further ahead "
        "of the clock than its max_drift. draining: the consumer ends."
    )
    panel = lines("Paused partitions", description, "short")
    yield panel.with_target(over_time(q.together("paused_partitions", "reason"), "{{reason}}"))
    description = "How often a partition was paused, by reason. Many pauses in a backlog are normal."
    panel = bars("Pauses", description, "short").decimals(0)
    yield panel.with_target(over_time(q.consumer_count("pauses_total", "reason"), "{{reason}}"))


def _errors() -> Iterator[Builder[Panel]]:
    description = "Records for which process raised. Without a dead-letter topic, the consumer ends at the first one."
    panel = bars("Poison records", description, "short", 8).override_by_name("poison", [fixed(ORANGE)])
    yield panel.with_target(over_time(q.consumer_count("poison_total"), "poison"))
    description = (
        "Records sent to the dead-letter topic, by outcome. They are poison records, and records whose items could not "
        "be flushed."
    )
    counted = q.consumer_count("dead_letters_total", "outcome")
    yield _by_outcome(bars("Dead letters", description, "short", 8), counted)
    description = "Commits of offsets each second, by outcome. A commit that failed is repeated or superseded."
    yield _by_outcome(lines("Commits", description, "suffix: /s", 8), q.consumer_rate("commits_total", "outcome"))


def _rebalances() -> Iterator[Builder[Panel]]:
    panel = lines("Assigned partitions", "Assigned partitions, by process.", "short", 8)
    yield panel.with_target(over_time(q.together("partitions", "instance"), "{{instance}}"))
    description = "How often Kafka assigned, revoked or lost partitions. A few in a rolling update are normal."
    panel = bars("Rebalances", description, "short", 8).decimals(0)
    yield panel.with_target(over_time(q.consumer_count("rebalances_total"), "rebalances"))
    description = (
        "Partitions that were removed, by cause. revoked: their records were flushed and committed before. lost: the "
        "process was away longer than session.timeout.ms, or its loop was blocked for max.poll.interval.ms."
    )
    panel = bars("Removed partitions", description, "short", 8).decimals(0).override_by_name("lost", [fixed(RED)])
    yield panel.with_target(over_time(q.consumer_count("removed_partitions_total", "cause"), "{{cause}}"))


def _tile(title: str, description: str, expression: str, red_from: int) -> stat.Panel:
    """A number. It is red from `red_from` on, or never if that is 0."""
    if red_from:
        panel = number(title, description, "short", 4).thresholds(steps(GREEN, (red_from, RED)))
    else:
        panel = plain_number(title, description, "short", 4).thresholds(steps(PLAIN))
    return panel.with_target(now(expression, title.lower()))


def _oldest_now() -> stat.Panel:
    description = "How long the oldest item of all processes has waited for its flush; 0 if the buffers are empty."
    panel = number("Oldest item", description, "s", 4).thresholds(steps(GREEN, *_AGE_STEPS)).decimals(0)
    return panel.with_target(now(q.highest("oldest_buffered_seconds"), "oldest item"))


def _healthy() -> statetimeline.Panel:
    description = (
        "Each process over time. Not healthy: a flush or the loop is stuck, or the consumer has failed; its log names "
        "the cause, for a flush with its stack. A row with a gap: the process was not scraped."
    )
    panel = states("Health", description, 6, _HEALTH_WORDS)
    return panel.with_target(over_time(f"min by (consumer, instance) ({q.of_consumer('healthy')})", "{{instance}}"))


def _by_outcome(panel: timeseries.Panel, expression: str) -> timeseries.Panel:
    for outcome, color in _OUTCOMES.items():
        panel = panel.override_by_name(outcome, [fixed(color)])
    return panel.with_target(over_time(expression, "{{outcome}}"))
