"""The same rules, evaluated by a real Prometheus that scrapes a real clocksvc with a hold."""

import re

import pytest

from clocksvc.clock.holds import Reason
from tests.repository import ROOT
from tests.system.ops.alerts.rule_files import recorded, rules, selectors
from tests.system.ops.scraped_consumer import NAME
from tests.system.ops.scraped_installation import ScrapedInstallation
from tests.waiting import eventually

WITHIN_S = 20.0
RUNBOOK = ROOT / "docs" / "runbook.md"
QUERIES = sorted(
    {
        text
        for text in re.findall(
            r"`([^`]+)`", re.sub("```.*?```", "", RUNBOOK.read_text(encoding="utf-8"), flags=re.DOTALL)
        )
        if re.search(r"clocksvc_\w+.*[({=]|^up ", text)
    }
)
EXPRESSIONS = [*recorded().values(), *(rule["expr"] for rule in rules().values())]
SELECTORS = sorted({selector for expression in EXPRESSIONS for selector in selectors(expression)})
HOLDS = [one for one in SELECTORS if one.startswith("clocksvc_holding{")]
ASKED = sorted({*SELECTORS, "clocksvc_holding"} - {*HOLDS})
REASONS = {reason for one in HOLDS for reason in re.findall(r"[a-z_]+", one.partition('"')[2])}


def active(scraped: ScrapedInstallation) -> dict[str, list[dict[str, str]]]:
    """The labels of pending and firing alerts, by alert."""
    return {
        rule["name"]: [alert["labels"] for alert in rule["alerts"]]
        for rule in scraped.prometheus.rules()
        if rule.get("alerts")
    }


def test_every_rule_is_evaluated(scraped: ScrapedInstallation) -> None:
    """Prometheus reports each of them as healthy."""

    def evaluated() -> dict[str, str]:
        health = {one["name"]: one["health"] for one in scraped.prometheus.rules()}
        return health if "unknown" not in health.values() else {}

    health = eventually(evaluated, within=WITHIN_S, what="every rule to be evaluated")

    assert health == dict.fromkeys([*rules(), *recorded()], "ok")


@pytest.mark.parametrize("selector", ASKED)
def test_every_metric_of_a_rule_is_exported(scraped: ScrapedInstallation, selector: str) -> None:
    """Every metric with its labels has series: a rule over a metric that is not exported would never fire."""
    scraped.until(f"count({selector})", selector, WITHIN_S)


def test_every_reason_of_a_rule_is_one() -> None:
    """A reason has a series only while it holds a clock, so a rule with a wrong name would never fire."""
    assert len(REASONS) > 5
    assert {str(reason) for reason in Reason} >= REASONS


@pytest.mark.parametrize(
    ("alert", "labels"),
    [
        ("ClocksvcPartitionHolding", {"clock": "parcels", "partition": "1"}),
        ("ClocksvcClockNotMoving", {"clock": "parcels"}),
        ("ClocksvcPartitionHolding", {"clock": "books"}),
        ("ClocksvcLateRecords", {"clock": "orders"}),
        ("ClocksvcTimestampsRejected", {"clock": "orders", "outcome": "too_far_ahead"}),
        ("ClocksvcPartitionExcluded", {"clock": "orders"}),
        ("ClocksvcConsumerDeadLetters", {"consumer": NAME, "outcome": "success"}),
        ("ClocksvcOutboxStuck", {"clock": "orders"}),
    ],
)
def test_what_is_wrong_there_is_seen(scraped: ScrapedInstallation, alert: str, labels: dict[str, str]) -> None:
    """Pending at once (promtool tests the minutes until it fires), with the labels that an operator needs."""
    eventually(
        lambda: any(labels.items() <= one.items() for one in active(scraped).get(alert, [])),
        within=WITHIN_S,
        what=f"{alert} {labels}",
    )


def test_what_is_in_order_there_is_quiet(scraped: ScrapedInstallation) -> None:
    """No alert but those for what was done to three clocks and the consumer. A clock that waits for others has none."""
    done = {
        "ClocksvcPartitionHolding",
        "ClocksvcClockNotMoving",
        "ClocksvcLateRecords",
        "ClocksvcTimestampsRejected",
        "ClocksvcPartitionExcluded",
        "ClocksvcConsumerDeadLetters",
        "ClocksvcConsumerFlushesFail",
        "ClocksvcOutboxStuck",
    }

    def is_quiet() -> bool:
        found = active(scraped)
        clocks = {labels.get("clock") for every in found.values() for labels in every}
        return found.keys() <= done and clocks.isdisjoint({"warehouse", "mirror"})

    eventually(is_quiet, within=WITHIN_S, what=f"no other alert: {active(scraped)}")


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_runbook_is_answered(scraped: ScrapedInstallation, query: str) -> None:
    """Each query is valid as it is in the text; its result may be empty."""
    scraped.prometheus.query(query)
