"""Every query of every dashboard, sent to a real Prometheus: it has data, never NaN, and no value for unknown
things."""

import math
import time
from collections.abc import Sequence

import pytest

from tests.system.ops.dashboards.grafana_queries import (
    NAMES,
    STEP_S,
    DashboardQuery,
    asked_by_variable,
    chosen,
    filled_in,
    queries,
    variables,
)
from tests.system.ops.prometheus_server import Series
from tests.system.ops.scraped_consumer import NAME
from tests.system.ops.scraped_installation import RULES, ScrapedInstallation
from tests.waiting import eventually

QUERIES = [query for name in NAMES for query in queries(name)]
OF_ONE = [query for query in QUERIES if "$clock" in query.expression or "$consumer" in query.expression]
CHOSEN = {
    "job": ["clocksvc"],
    "clock": ["orders"],
    "consumer_job": ["consumers"],
    "consumer": [NAME],
    "scheduler_job": ["schedulers"],
}
HELD = {**CHOSEN, "clock": ["parcels"]}
OBSERVED = [{**CHOSEN, "clock": [clock]} for clock in ("books", "warehouse")]
UNKNOWN = {**CHOSEN, "clock": ["unknown"], "consumer": ["unknown"]}
WITHIN_S = 15.0


def answer(scraped: ScrapedInstallation, query: DashboardQuery, values: dict[str, list[str]]) -> list[Series]:
    """The answer that Grafana would get."""
    now_s = math.floor(time.time())
    range_s = now_s - scraped.began_s
    expression = filled_in(query.expression, chosen(query.dashboard, values), range_s)
    if query.instant:
        # at the end of the range: Prometheus may not have stored later samples yet
        return scraped.prometheus.query(expression, now_s - STEP_S)
    return scraped.prometheus.query_range(expression, now_s - range_s, now_s, STEP_S)


def by_title(
    scraped: ScrapedInstallation,
    dashboard: str,
    title: str,
    name: str = "A",
    clock: str = "orders",
    clocks: Sequence[str] = ("orders", "parcels"),
) -> list[Series]:
    """The answer to one query of a panel."""
    found = [one for one in QUERIES if (one.dashboard, one.panel, one.name) == (dashboard, title, name)]
    assert len(found) == 1, f"{title} {name} is {len(found)} queries of {dashboard}"
    values = {**CHOSEN, "clock": list(clocks) if dashboard == "fleet" else [clock]}
    return eventually(lambda: answer(scraped, found[0], values), within=WITHIN_S, what=str(found[0]))


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_it_has_data(scraped: ScrapedInstallation, query: DashboardQuery) -> None:
    """Under load, with a late record, a rejection, an exclusion and a change of leader, or else in a hold, or with
    committed offsets: data, and no NaN."""

    def asked() -> list[Series]:
        return next((found for values in (CHOSEN, HELD, *OBSERVED) if (found := answer(scraped, query, values))), [])

    series = eventually(asked, within=WITHIN_S, what=str(query))

    assert [one for one in series for _, value in one.samples if not math.isfinite(value)] == []


@pytest.mark.parametrize("query", OF_ONE, ids=str)
def test_it_says_nothing_of_what_is_not_known(scraped: ScrapedInstallation, query: DashboardQuery) -> None:
    """A clock or consumer that is not exported is shown neither as 0 nor as running."""
    assert answer(scraped, query, UNKNOWN) == []


@pytest.mark.parametrize("dashboard", NAMES)
def test_variables_offer_what_there_is(scraped: ScrapedInstallation, dashboard: str) -> None:
    """Job, clocks, topics and consumers are read from Prometheus."""
    offered = {
        name: scraped.prometheus.label_values(label, filled_in(selector, chosen(dashboard, CHOSEN)))
        for name, variable in variables(dashboard).items()
        if variable["type"] == "query"
        for selector, label in [asked_by_variable(variable)]
    }

    clocks = {"job": ["clocksvc"], "clock": ["books", "mirror", "orders", "parcels", "warehouse"]}
    assert (
        offered
        == {
            "clock": {**clocks, "topic": [scraped.orders.topic]},
            "consumer": {"consumer_job": ["consumers"], "consumer": [NAME]},
            "fleet": clocks,
            "schedules": {"scheduler_job": ["schedulers"], "clock": ["orders"]},
        }[dashboard]
    )


def test_a_hold_is_shown_with_its_reason(scraped: ScrapedInstallation) -> None:
    """The state of a clock is the reason of its hold, or that there is none; the fleet has a row for each clock."""
    held = by_title(scraped, "clock", "State", clock="parcels")
    moving = by_title(scraped, "clock", "State", clock="orders")
    rows = by_title(scraped, "fleet", "Worst clocks", "state")

    assert [(one.labels["reason"], one.value) for one in held] == [("partition_behind", 1)]
    assert [(one.labels["reason"], one.value) for one in moving] == [("no hold", 0)]
    assert {one.labels["clock"]: one.labels["reason"] for one in rows} == {
        "orders": "no hold",
        "parcels": "partition_behind",
    }
    assert by_title(scraped, "fleet", "Held")[0].value == 1


def test_the_holder_comes_first(scraped: ScrapedInstallation) -> None:
    """The partition that holds the clock is furthest behind, in the list and in the graph."""
    listed = by_title(scraped, "clock", "Top holders", "behind", clock="parcels")
    drawn = by_title(scraped, "clock", "Partition clocks", clock="parcels")

    assert max(listed, key=lambda one: one.value).labels["partition"] == "1"
    topic = scraped.parcels.topic
    assert [one.labels["row"] for one in drawn] == [f"{topic}:00000", f"{topic}:00001"]
    assert drawn[1].value > drawn[0].value + 1


def test_one_leads_and_a_change_is_counted(scraped: ScrapedInstallation) -> None:
    """The leader is named by its instance, and the hand-over is shown."""
    leads = by_title(scraped, "clock", "Leader")

    def counted() -> bool:
        changes = by_title(scraped, "clock", "Leader changes")
        return max((value for one in changes for _, value in one.samples), default=0) == 1

    assert [one.value for one in leads] == [1]
    assert leads[0].labels["instance"].startswith("127.0.0.1:")
    eventually(counted)
    assert by_title(scraped, "fleet", "Without one leader")[0].value == 0


def test_late_and_refused_records_are_counted(scraped: ScrapedInstallation) -> None:
    """One of each was sent: Prometheus' estimate is near one, in the clock's dashboard and in the fleet's. It is larger
    while there are few samples."""

    def told() -> dict[str, float]:
        return {
            "late": by_title(scraped, "clock", "Late in this time")[0].value,
            "refused": by_title(scraped, "clock", "Rejected in this time")[0].value,
            **{
                f"fleet {name}": one.value
                for name in ("late", "refused")
                for one in by_title(scraped, "fleet", "Worst clocks", name)
                if one.labels["clock"] == "orders"
            },
        }

    assert set(told()) == {"late", "refused", "fleet late", "fleet refused"}
    eventually(
        lambda: all(0.5 <= value <= 2 for value in told().values()), within=WITHIN_S, what="estimates that are near one"
    )


def test_the_stage_to_blame_is_shown(scraped: ScrapedInstallation) -> None:
    """The clock that waits is counted for the stage that holds, with the reason there. It can hold a moment before that
    stage does, so it has no reason at first."""
    found = by_title(scraped, "fleet", "Clocks that wait for a stage", clocks=["warehouse"])

    assert {one.labels["stage"] for one in found} == {"parcels"}
    assert {one.labels["stage_reason"] for one in found} - {"none"} == {"partition_behind"}


def test_exclusions_and_times(scraped: ScrapedInstallation) -> None:
    """An excluded partition is counted, the clock is seconds behind, its time is shown in milliseconds."""
    partitions = {one.labels["state"]: one.value for one in by_title(scraped, "clock", "Partitions")}

    assert partitions == {"known": 2, "unknown": 0, "excluded": 1}
    assert 0 <= by_title(scraped, "clock", "Behind")[0].value < 30
    assert abs(by_title(scraped, "clock", "Global clock")[0].value / 1000 - time.time()) < 30
    assert 0 <= by_title(scraped, "clock", "Last heartbeat")[0].value < 30


def test_a_consumer_is_shown(scraped: ScrapedInstallation) -> None:
    """It is healthy, has the topic's partitions, and its one dead letter and its one failed flush are counted."""

    def highest(title: str, name: str = "A") -> dict[str, float]:
        return {
            one.labels.get("outcome", ""): max(value for _, value in one.samples)
            for one in by_title(scraped, "consumer", title, name)
        }

    assert {one.labels["consumer"]: one.value for one in by_title(scraped, "consumer", "Not healthy")} == {NAME: 0}
    assert by_title(scraped, "consumer", "Partitions")[0].value == 3
    assert highest("Throughput")[""] > 0
    assert highest("Throughput", "B")[""] > 0
    assert 0 < highest("Duration of a flush")[""] < 5
    assert 0.5 <= highest("Dead letters")["success"] <= 2
    assert highest("Flushes")["failure"] > 0
    assert highest("Commits")["failure"] == 0


def test_schedules_are_shown(scraped: ScrapedInstallation) -> None:
    """One schedule is due at each tick, in one of two partitions, and nothing is late, lost or missed."""

    def shown(title: str) -> float:
        return by_title(scraped, "schedules", title)[0].value

    assert {title: shown(title) for title in ("Without an owner", "Problems", "Unreadable", "Missed in this time")} == {
        "Without an owner": 0,
        "Problems": 0,
        "Unreadable": 0,
        "Missed in this time": 0,
    }
    assert shown("Schedules") == 1
    assert shown("Due a minute") > 0
    assert shown("Late") < 30
    assert {series.labels["step"] for series in by_title(scraped, "schedules", "Duration of a tick")} == {
        "decide",
        "produce",
        "commit",
    }


def test_the_charts_rules_are_evaluated(scraped: ScrapedInstallation) -> None:
    """The real Prometheus evaluates the chart's rules without an error."""
    assert RULES, "helm/clocksvc/rules has no files"

    rules = eventually(
        lambda: [rule for rule in scraped.prometheus.rules() if rule["health"] != "unknown"],
        within=WITHIN_S,
        what="the rules to be evaluated",
    )

    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
