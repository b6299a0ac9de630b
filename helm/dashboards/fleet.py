"""The dashboard *Fleet*: all clocks."""

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, ThresholdsConfig
from grafana_foundation_sdk.models.common import BigValueGraphMode, BigValueTextMode
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from helm.dashboards import queries as q
from helm.dashboards.clock_now import BEHIND_STEPS, HEARTBEAT_STEPS, HELD_WORDS, behind_lines, replicas
from helm.dashboards.panels import as_columns, bars, colored, grid, lines, number, states, thresholds
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

_DESCRIPTION = "All clocks of clocksvc: which clocks hold, which are behind, and which have no leader. Times are UTC."
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
    "late": q.risen(q.LATE),
    "refused": q.risen(q.REFUSED, "outcome"),
}
_LEADER_STEPS = ((1, GREEN), (2, RED))


def dashboard() -> Dashboard:
    """The dashboard of all clocks."""
    built = blank("clocksvc: fleet", ALL_CLOCKS, _DESCRIPTION, job_variable()).link(page_link("")).link(runbook_link())
    for variable in (clocks_variable(), page_variable(), runbook_variable()):
        built = built.with_variable(variable)
    return (
        built.with_panel(_number_of("Clocks", "Clocks that any replica serves.", f"count({q.LEADERS})", steps(PLAIN)))
        .with_panel(_number_of("Held", "Clocks with a hold.", f"sum({q.IS_HELD})", _none_or(RED)))
        .with_panel(_number_of("Without one leader", "Clocks without a leader, or with two.", q.MISLED, _none_or(RED)))
        .with_panel(_furthest())
        .with_panel(_table())
        .with_panel(_behind_grid())
        .with_panel(_holds())
        .with_panel(behind_lines("{{clock}}"))
        .with_panel(_ticks())
        .with_panel(_leaders())
        .with_panel(replicas(12))
    )


def _none_or(color: str) -> ThresholdsConfig:
    return steps(GREEN, (1, color))


def _number_of(title: str, description: str, expression: str, colors: ThresholdsConfig) -> stat.Panel:
    panel = number(title, description, "short", 6).thresholds(colors)
    return panel.with_target(now(expression, title.lower()))


def _furthest() -> stat.Panel:
    description = "How many seconds the slowest clock is behind. The colours are for an interval of a minute."
    panel = number("Furthest behind", description, "s", 6).decimals(0).thresholds(steps(GREEN, *BEHIND_STEPS))
    return panel.with_target(now(f"topk(1, {q.BEHIND})", "{{clock}}"))


def _table() -> table.Panel:
    description = (
        'A row for each clock; its name links to its own dashboard. "-" means unknown: before the first tick or '
        "heartbeat, or without a leader. The colours of times are for an interval of a minute; late and rejected "
        "records are those of the time range."
    )
    panel = grid("Clocks", description, 24, 10, "behind")
    for name, expression in _ASKED.items():
        panel = panel.with_target(rows(expression, name))
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
        "How far each clock is behind; a tile links to its clock. The colours are for an interval of a minute."
    )
    panel = number("Behind", description, "s", 24).height(6).decimals(0).thresholds(steps(GREEN, *BEHIND_STEPS))
    panel = panel.text_mode(BigValueTextMode.VALUE_AND_NAME).graph_mode(BigValueGraphMode.AREA)
    return panel.data_links([_tile_link()]).with_target(over_time(q.BEHIND, "{{clock}}"))


def _holds() -> statetimeline.Panel:
    description = "Holds of each clock, for any reason. Where a row has a gap, nothing was scraped."
    return states("Holds", description, 8, HELD_WORDS).with_target(over_time(q.IS_HELD, "{{clock}}"))


def _ticks() -> timeseries.Panel:
    description = f"Ticks a minute over the last {q.WINDOW}. 0 in a hold; more than usual during a catch-up."
    return lines("Ticks", description, "suffix: /min").with_target(over_time(q.TICKS, "{{clock}}"))


def _leaders() -> timeseries.Panel:
    description = "How often the leader changed, by clock. A few in a rolling update are normal."
    panel = bars("Leader changes", description, "short").decimals(0)
    return panel.with_target(over_time(q.takeovers("$__rate_interval"), "{{clock}}"))


def _to_one_clock(name: str) -> dict[str, object]:
    return {"title": "This clock", "url": _TO_ONE_CLOCK + name}


def _tile_link() -> DashboardLink:
    link = DashboardLink("This clock").type(DashboardLinkType.LINK)
    return link.url(_TO_ONE_CLOCK + "${__field.labels.clock}")
