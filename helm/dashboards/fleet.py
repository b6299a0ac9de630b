"""The dashboard *Fleet*: all clocks."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import BigValueGraphMode, BigValueTextMode
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, Panel

from helm.dashboards import observed
from helm.dashboards import queries as q
from helm.dashboards.clock_now import BEHIND_STEPS, HEARTBEAT_STEPS, HELD_WORDS, replicas
from helm.dashboards.panels import as_columns, bars, colored, grid, lines, number, states, thresholds, with_lines_at
from helm.dashboards.parts import (
    ALL_CLOCKS,
    BLUE,
    GREEN,
    ONE_CLOCK,
    ORANGE,
    PLAIN,
    PURPLE,
    RED,
    blank,
    clocks_variable,
    fixed,
    job_variable,
    now,
    over_time,
    page_link,
    page_variable,
    prop,
    rows,
    runbook_link,
    runbook_variable,
    steps,
)

_DESCRIPTION = (
    "All clocks of clocksvc: how many hold and why, how many catch up, the 20 worst clocks, the stages of pipelines, "
    "and which replica leads which logs. Times are UTC."
)
_TO_ONE_CLOCK = "/d/" + ONE_CLOCK + "?${__url_time_range}&${datasource:queryparam}&${job:queryparam}&var-clock="

_COLUMNS = {
    "clock": "clock",
    "reason": "state",
    "Value #behind": "behind",
    "Value #time": "global clock",
    "Value #leaders": "leaders",
    "Value #ticks": "ticks a minute",
    "Value #heartbeat": "last heartbeat",
    "Value #unknown": "unknown",
    "Value #excluded": "excluded",
    "Value #late": "late",
    "Value #refused": "refused",
}
_ASKED = {
    "state": q.STATE,
    "behind": q.BEHIND,
    "time": f"1000 * {q.GLOBAL_CLOCK}",
    "leaders": q.LEADERS,
    "ticks": q.TICKS,
    "heartbeat": q.HEARTBEAT_AGE,
    "unknown": q.in_state("unknown"),
    "excluded": q.in_state("excluded"),
    "late": q.counted(q.LATE, "15m"),
    "refused": q.counted(q.REFUSED, "15m"),
}
_LEADER_STEPS = ((1, GREEN), (2, RED))
_BEHIND = {"median": 0.5, "99 of 100": 0.99, "furthest": 1}


def dashboard() -> Dashboard:
    """The dashboard of all clocks."""
    built = blank("clocksvc: fleet", ALL_CLOCKS, _DESCRIPTION, job_variable()).link(page_link("")).link(runbook_link())
    for variable in (clocks_variable(), page_variable(), runbook_variable()):
        built = built.with_variable(variable)
    for panel in (*_tiles(), *_all_clocks(), *_worst(), *_work(), *observed.of_fleet(), *_replicas()):
        built = built.with_panel(panel)
    return built


def _tiles() -> Iterator[Builder[Panel]]:
    yield _number_of("Clocks", "Clocks that any replica serves.", f"count({q.LEADERS})", steps(PLAIN))
    yield _number_of("Held", "Clocks with a hold, for any reason.", f"sum({q.IS_HELD})", _none_or(RED))
    yield _number_of("Catching up", "Clocks with more than one due tick.", q.CATCHING_UP, _none_or(ORANGE))
    yield _number_of("Without one leader", "Clocks without a leader, or with two.", q.MISLED, _none_or(RED))
    yield _furthest()


def _all_clocks() -> Iterator[Builder[Panel]]:
    yield _by_state()
    yield _behind()


def _worst() -> Iterator[Builder[Panel]]:
    yield _table()
    yield _behind_grid()
    yield _holds()


def _work() -> Iterator[Builder[Panel]]:
    yield _ticks()
    yield _due_ticks()
    yield _latency()


def _replicas() -> Iterator[Builder[Panel]]:
    yield _logs_led()
    yield _leaders()
    yield replicas(4)


def _none_or(color: str) -> ThresholdsConfig:
    return steps(GREEN, (1, color))


def _number_of(title: str, description: str, expression: str, colors: ThresholdsConfig) -> stat.Panel:
    panel = number(title, description, "short", 4).thresholds(colors)
    return panel.with_target(now(expression, title.lower()))


def _furthest() -> stat.Panel:
    description = "How many seconds the slowest clock is behind. The colours are for an interval of a minute."
    panel = number("Furthest behind", description, "s", 8).decimals(0).thresholds(steps(GREEN, *BEHIND_STEPS))
    return panel.with_target(now(f"topk(1, {q.BEHIND})", "{{clock}}"))


def _by_state() -> timeseries.Panel:
    description = (
        "The number of clocks for each reason of a hold, and without a hold. If replicas see different reasons, a "
        "clock counts for each. The runbook explains the reasons. Where all have a gap, nothing was scraped."
    )
    panel = bars("Clocks by state", description, "short").decimals(0).with_target(over_time(q.BY_STATE, "{{reason}}"))
    return panel.override_by_name(q.NO_HOLD, [fixed(GREEN)]).override_by_name("paused", [fixed(PURPLE)])


def _behind() -> timeseries.Panel:
    description = (
        "How far clocks are behind the time of the query: the median, 99 of 100 clocks, and the slowest one. The "
        "dashed lines are for an interval of a minute."
    )
    panel = with_lines_at(lines("Seconds behind", description, "s"), GREEN, *BEHIND_STEPS)
    for name, (legend, quantile) in zip("ABC", _BEHIND.items(), strict=True):
        panel = panel.with_target(over_time(q.behind_quantile(quantile), legend, name))
    return panel


def _table() -> table.Panel:
    description = (
        f"The {q.WORST} worst clocks: those with a hold first, then those that are furthest behind. A name links to "
        'the clock\'s own dashboard. "-" means unknown: before the first tick or heartbeat, or without a leader. '
        "The colours of times are for an interval of a minute; late and rejected records are those of 15 minutes."
    )
    panel = grid("Worst clocks", description, 24, 14, "behind")
    for name, expression in _ASKED.items():
        panel = panel.with_target(rows(q.among_worst(expression), name))
    return (
        panel.transformations(as_columns(_COLUMNS))
        .override_by_name("clock", [prop("links", [_to_one_clock("${__value.text}")])])
        .override_by_name("state", [prop("mappings", _STATE_COLORS), colored()])
        .override_by_name("behind", [prop("unit", "s"), thresholds(GREEN, *BEHIND_STEPS), colored()])
        .override_by_name("global clock", [prop("unit", "dateTimeAsIso")])
        .override_by_name("leaders", [thresholds(RED, *_LEADER_STEPS), colored()])
        .override_by_name("ticks a minute", [prop("decimals", 1)])
        .override_by_name("last heartbeat", [prop("unit", "s"), thresholds(GREEN, *HEARTBEAT_STEPS), colored()])
        .override_by_name("unknown", [thresholds(PLAIN, (1, RED)), colored()])
        .override_by_name("excluded", [thresholds(PLAIN, (1, BLUE)), colored()])
        .override_by_regexp("late|refused", [prop("decimals", 0), thresholds(PLAIN, (0.5, ORANGE)), colored()])
    )


_STATE_COLORS: list[object] = [
    {"type": "value", "options": {q.NO_HOLD: {"color": GREEN, "index": 0}, "paused": {"color": PURPLE, "index": 1}}},
    {"type": "regex", "options": {"pattern": ".+", "result": {"color": RED, "index": 2}}},
]


def _behind_grid() -> stat.Panel:
    description = (
        f"How far each of the {q.WORST} worst clocks is behind; a tile links to its clock. The colours are for an "
        "interval of a minute."
    )
    panel = number("Behind", description, "s", 24).height(6).decimals(0).thresholds(steps(GREEN, *BEHIND_STEPS))
    panel = panel.text_mode(BigValueTextMode.VALUE_AND_NAME).graph_mode(BigValueGraphMode.AREA)
    return panel.data_links([_tile_link()]).with_target(over_time(q.among_worst(q.BEHIND), "{{clock}}"))


def _holds() -> statetimeline.Panel:
    description = f"Holds of the {q.WORST} worst clocks, for any reason. Where a row has a gap, nothing was scraped."
    return states("Holds", description, 8, HELD_WORDS).with_target(over_time(q.among_worst(q.IS_HELD), "{{clock}}"))


def _ticks() -> timeseries.Panel:
    description = "Ticks a second of all clocks together. 0 if all of them hold; more than usual during a catch-up."
    return lines("Ticks", description, "suffix: /s", 8).with_target(over_time(q.TICKS_OF_ALL, "ticks"))


def _due_ticks() -> timeseries.Panel:
    description = (
        "Ticks of all clocks that are due and not emitted yet. During a catch-up the number falls; while clocks "
        "are paused it rises."
    )
    return lines("Due ticks", description, "short", 8).with_target(over_time(f"sum({q.DUE_TICKS})", "due"))


def _latency() -> timeseries.Panel:
    description = (
        "The time from the report that completed a boundary to the commit of its tick, over all clocks: quantiles "
        f"of the last {q.WINDOW}. Empty without ticks."
    )
    panel = with_lines_at(lines("Tick latency", description, "s", 8), GREEN, (1, ORANGE), (5, RED))
    panel = panel.with_target(over_time(q.latency(0.5), "half of them"))
    return panel.with_target(over_time(q.latency(0.99), "99 of 100", "B"))


def _logs_led() -> timeseries.Panel:
    description = (
        "The number of logs that each replica leads, of those that have clocks (at most 16). Replicas share them "
        "about equally. A log without a leader is missing in the sum: its clocks give no ticks."
    )
    panel = bars("Logs led", description, "short", 10).decimals(0)
    return panel.with_target(over_time(q.LOGS_LED, "{{instance}}"))


def _leaders() -> timeseries.Panel:
    description = "How often the leader of a log changed. A few changes of each log in a rolling update are normal."
    panel = bars("Leader changes", description, "short", 10).decimals(0)
    return panel.with_target(over_time(q.takeovers("$__rate_interval", "log"), "log {{log}}"))


def _to_one_clock(name: str) -> dict[str, object]:
    return {"title": "This clock", "url": _TO_ONE_CLOCK + name}


def _tile_link() -> DashboardLink:
    link = DashboardLink("This clock").type(DashboardLinkType.LINK)
    return link.url(_TO_ONE_CLOCK + "${__field.labels.clock}")
