"""Panels for the state of a clock, its holds and its leader, now and over time."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import BigValueColorMode
from grafana_foundation_sdk.models.dashboard import Panel

from helm.dashboards import queries as q
from helm.dashboards.panels import bars, lines, number, plain_number, states, thresholds, with_lines_at, word
from helm.dashboards.parts import BLUE, GREEN, ORANGE, PLAIN, RED, fixed, now, over_time, steps, words

BEHIND_STEPS = ((120, ORANGE), (300, RED))
"""In seconds: two intervals and five intervals of a clock with the default interval of a minute."""

HEARTBEAT_STEPS = BEHIND_STEPS
HELD_WORDS = words({"0": (q.NO_HOLD, GREEN), "1": ("held", RED)})
_LEAD_WORDS = words({"0": ("standby", PLAIN), "1": ("leads", GREEN)})

_QUANTILES = {"half of them": 0.5, "9 of 10": 0.9, "99 of 100": 0.99}


def tiles() -> Iterator[Builder[Panel]]:
    """The panels that the person on call needs first."""
    yield state()
    yield _behind()
    yield _global_clock()
    yield _leader()
    yield _heartbeat()
    yield _partitions()


def through_time() -> Iterator[Builder[Panel]]:
    """The clock over time."""
    yield _holds()
    yield _behind_lines()
    yield _ticks()
    yield _due_ticks()
    yield _latency()
    yield _streams()


def leadership() -> Iterator[Builder[Panel]]:
    """Who led the clock, and how often that changed."""
    yield _leads()
    yield _takeovers()
    yield replicas(6)


def state(width: int = 5) -> stat.Panel:
    """The reason of the current hold, or "no hold"."""
    description = (
        "The reason of the hold, or several reasons if replicas see different ones. The runbook explains each reason "
        'and what to do. "no hold" means that a replica reports no hold; "not known" means that no replica was scraped.'
    )
    panel = word("State", description, width).thresholds(steps(GREEN, (1, RED)))
    return panel.with_target(now(q.STATE, "{{reason}}"))


def _behind_lines() -> timeseries.Panel:
    """Seconds behind, over time."""
    description = (
        "How far the global clock is behind the time of the query. A healthy clock draws a saw tooth as high as its "
        "interval, shifted up by max_out_of_orderness. The dashed lines are for an interval of a minute."
    )
    panel = with_lines_at(lines("Seconds behind", description, "s"), GREEN, *BEHIND_STEPS)
    return panel.with_target(over_time(q.BEHIND, "behind"))


def replicas(width: int) -> stat.Panel:
    """Replicas by version."""
    description = "Replicas that were scraped, by version. Two versions are normal during a rolling update."
    panel = plain_number("Replicas", description, "short", width).height(8)
    return panel.with_target(now(q.REPLICAS, "{{version}}"))


def _behind() -> stat.Panel:
    description = (
        "How far the last tick is behind the current time. The colours are for an interval of a minute: orange from 2 "
        "minutes, red from 5 minutes. Not known before the first tick."
    )
    panel = number("Behind", description, "s", 3).thresholds(steps(GREEN, *BEHIND_STEPS)).decimals(0)
    return panel.with_target(now(q.BEHIND, "behind"))


def _global_clock() -> stat.Panel:
    description = "The time of the last tick, in UTC. In every partition, everything before it has been processed."
    panel = plain_number("Global clock", description, "dateTimeAsIso", 5)
    return panel.with_target(now(f"1000 * {q.GLOBAL_CLOCK}", "global clock"))


def _leader() -> stat.Panel:
    description = (
        "The instance that leads the clock's log. While there is none, no ticks are published; a failover takes "
        "a few seconds. If there are two for longer, see the runbook; Kafka lets only one of them write."
    )
    panel = word("Leader", description, 4).thresholds(steps(RED, (1, GREEN), (2, RED)))
    return panel.with_target(now(q.LEADING, "{{instance}}"))


def _heartbeat() -> stat.Panel:
    description = (
        "When a round of heartbeats last reached every partition. It is not known if heartbeats are off, if no round "
        "has succeeded yet, or if there is no leader. The colours are for a heartbeat each minute."
    )
    panel = number("Last heartbeat", description, "s", 3).thresholds(steps(GREEN, *HEARTBEAT_STEPS)).decimals(0)
    return panel.with_target(now(q.HEARTBEAT_AGE, "ago"))


def _partitions() -> stat.Panel:
    description = (
        "Partitions by state. Unknown: not reported yet, so they hold the clock. Excluded: no tick waits for them, and "
        "each tick lists them."
    )
    panel = number("Partitions", description, "short", 4).color_mode(BigValueColorMode.VALUE)
    panel = panel.with_target(now(q.PARTITIONS, "{{state}}"))
    panel = panel.override_by_name("unknown", [thresholds(PLAIN, (1, RED))])
    return panel.override_by_name("excluded", [thresholds(PLAIN, (1, BLUE))])


def _holds() -> statetimeline.Panel:
    description = (
        "Holds over time, with a row for each reason in this time range. Where all rows have a gap, nothing was "
        "scraped."
    )
    panel = states("Holds", description, 6, HELD_WORDS)
    return panel.with_target(over_time(q.STATE, "{{reason}}"))


def _ticks() -> timeseries.Panel:
    description = (
        f"Ticks a minute over the last {q.WINDOW}: 1 for an interval of a minute, more during a catch-up, 0 in a hold."
    )
    return lines("Ticks", description, "suffix: /min").with_target(over_time(q.TICKS, "ticks"))


def _due_ticks() -> timeseries.Panel:
    description = (
        "Ticks that are due and not emitted yet: 0 for a clock that is on time or waits for a partition. During a "
        "catch-up it falls; while the clock is paused it rises."
    )
    return lines("Due ticks", description, "short", 8).with_target(over_time(q.DUE_TICKS, "due"))


def _latency() -> timeseries.Panel:
    description = (
        "The time from the report that completed a boundary to the commit of its tick, over all clocks of this clock's "
        f"log: quantiles of the last {q.WINDOW}. Empty without ticks."
    )
    panel = with_lines_at(lines("Tick latency", description, "s", 8), GREEN, (1, ORANGE), (5, RED))
    for name, (legend, quantile) in zip("ABC", _QUANTILES.items(), strict=True):
        panel = panel.with_target(over_time(q.latency(quantile), legend, name))
    return panel


def _streams() -> timeseries.Panel:
    description = (
        "Open streams of server-sent events at all replicas, and streams closed because their client read nothing for "
        "30 s. Requests a second that were not valid HTTP, for all clocks together."
    )
    panel = lines("Streams", description, "short", 8).with_target(over_time(q.STREAMS, "open"))
    panel = panel.with_target(over_time(q.counted(q.STREAMS_DROPPED, "$__rate_interval"), "dropped", "B"))
    panel = panel.with_target(over_time(q.INVALID_HTTP, "invalid HTTP", "C"))
    return panel.override_by_name("dropped", [fixed(ORANGE)]).override_by_name("invalid HTTP", [fixed(RED)])


def _leads() -> statetimeline.Panel:
    description = (
        "Which instance led the clock. Exactly one row should be green at any time; a failover takes a few seconds."
    )
    panel = states("Who leads", description, 8, _LEAD_WORDS, width=9)
    expression = f"max by (clock, instance) ({q.of('clocksvc_leader')})"
    return panel.with_target(over_time(expression, "{{instance}}"))


def _takeovers() -> timeseries.Panel:
    description = (
        "How often an instance became leader. A few times in a rolling update are normal. More means that instances "
        "lose Kafka or Redis."
    )
    panel = bars("Leader changes", description, "short", 9).decimals(0)
    return panel.with_target(over_time(q.takeovers("$__rate_interval"), "became leader"))
