"""docs/runbook.md: a section for each alert and each reason of a hold, and only metrics that exist."""

import re
from typing import Any

import pytest
import yaml

from clocksvc.clock.holds import Reason
from clocksvc.committed.rules import WaitsFor
from clocksvc.metrics.catalogue import CATALOGUE
from clocksvc.metrics.consumer_catalogue import CONSUMER_CATALOGUE
from clocksvc.metrics.outbox_metrics import OUTBOX_CATALOGUE
from clocksvc.metrics.scheduler_catalogue import SCHEDULER_CATALOGUE
from tests.repository import ROOT
from tests.system.docs.links import anchors

pytestmark = pytest.mark.core

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(part.split("\n", 1) for part in re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:])
PARTS = ["What it means.", "How to look.", "What to do.", "What not to do."]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for path in sorted((ROOT / "helm" / "clocksvc" / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
OF_INSTALLATIONS = {
    *("ClocksvcNoLeader", "ClocksvcTwoLeaders", "ClocksvcLeaderUnsteady"),
    *("ClocksvcStoreUnavailable", "ClocksvcStoreMismatch", "ClocksvcReplicaNotReady"),
    "ClocksvcObserverUnsteady",
}
"""Alerts that are one for an installation or a replica, with the number of clocks or logs."""
SEVERITIES = {"critical": "Critical", "warning": "Warning", "info": "Info"}
_METRIC = re.compile(r"\bclocksvc_\w+")
TABLES = {"clocksvc_outbox", "clocksvc_outbox_rejected"}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_says_all_that_is_needed_at_night(title: str) -> None:
    """Meaning, how to look, what to do and what not to do, in this order, none of them empty."""
    assert re.findall(r"^\*\*(.+?)\*\*", SECTIONS[title], re.MULTILINE) == PARTS
    for part in re.split(r"^\*\*.+?\*\*", SECTIONS[title], flags=re.MULTILINE):
        assert len(part.split()) >= 4, part


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_section(alert: str) -> None:
    """Its `runbook_url` is an anchor of this file, whose section begins with the alert's severity."""
    file, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    severity = SEVERITIES[ALERTS[alert]["labels"]["severity"]]

    assert (file, anchor) == ("docs/runbook.md", alert.lower())
    assert anchor in anchors(RUNBOOK)
    assert re.match(rf"\n{severity}[.,]", SECTIONS[alert])


def test_every_section_is_of_an_alert_or_of_a_reason() -> None:
    """A section without an alert or a reason must be removed; except the ones for ticks that nothing holds, and for
    what partitions wait for."""
    holds = {f"Hold: {reason}" for reason in Reason}

    assert set(SECTIONS) - set(ALERTS) - holds == {
        "The clock began in the wrong place",
        "Clocks from committed offsets",
    }


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_one_section(reason: Reason) -> None:
    """The page finds the section by the reason between backticks: exactly one section has it."""
    found = [title for title, body in SECTIONS.items() if f"`{reason}`" in body]

    assert len(found) == 1
    assert found == [f"Hold: {reason}"] or f"Reason `{reason}`" in SECTIONS[found[0]]
    head = RUNBOOK.split("\n## ", 1)[0]
    assert re.search(rf"^\|[^|]*\b{reason}\b", head, re.MULTILINE), "the table at the top has it not"


@pytest.mark.parametrize("waits_for", WaitsFor)
def test_what_a_partition_waits_for_has_an_advice(waits_for: WaitsFor) -> None:
    """Everything that a partition can wait for is in the section of clocks from committed offsets."""
    assert SECTIONS["Clocks from committed offsets"].count(f"`{waits_for}`") == 1


def test_every_metric_in_it_is_exported() -> None:
    """An operator loses minutes with a query for a metric that does not exist."""
    assert set(_METRIC.findall(RUNBOOK)) - TABLES <= {
        metric.name for metric in (*CATALOGUE, *CONSUMER_CATALOGUE, *SCHEDULER_CATALOGUE, *OUTBOX_CATALOGUE)
    }


def variant(text: str, true: bool) -> str:
    """A template with each `if` replaced by its text for a condition that is true or false."""
    return re.sub(r"\{\{ if [^}]*\}\}(.*?)(?:\{\{ else \}\}(.*?))?\{\{ end \}\}", r"\1" if true else r"\2", text)


@pytest.mark.parametrize("true", [True, False])
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_made_for_a_person(alert: str, true: bool) -> None:
    """It has a duration, one of the severities, a description, and a short summary that names the clock or consumer, or
    the number of clocks: of all clocks of the installation that the cause stops, or of more than ten."""
    rule = ALERTS[alert]
    summary, description = (variant(rule["annotations"][name], true) for name in ("summary", "description"))
    named = "labels.consumer" if alert.startswith("ClocksvcConsumer") else "labels.clock"
    named = "labels.instance" if alert in ("ClocksvcReplicaDown", "ClocksvcSchedulerDown") else named
    for_many = "if $labels.clock" in rule["annotations"]["summary"] and not true
    named = "value" if alert in OF_INSTALLATIONS or for_many else named

    assert re.fullmatch(r"[1-9]\d*[mh]", rule["for"])
    assert alert == "ClocksvcAbsent" or f"${named} }}}}" in summary
    assert len(summary) < 110
    assert re.fullmatch(r"[^.].{30,200}[.?]", description)


def test_an_alert_for_many_clocks_does_not_name_one() -> None:
    """All alerts that name a clock have a text without it, except those of an outbox: each has its own process."""
    named = {name for name, rule in ALERTS.items() if "$labels.clock }}" in rule["annotations"]["summary"]}
    for_many = {
        name for name in named if "$labels.clock }}" not in variant(ALERTS[name]["annotations"]["summary"], False)
    }

    assert {name for name in named - for_many if not name.startswith("ClocksvcOutbox")} == {
        "ClocksvcSchedulesUnreadable"
    }


def test_the_partition_that_holds_is_named() -> None:
    """In the summary: a phone shows only that."""
    summary = ALERTS["ClocksvcPartitionHolding"]["annotations"]["summary"]

    assert "{{ $labels.topic }}:{{ $labels.partition }}" in summary


def test_the_page_for_authors_lists_the_alerts_of_consumers() -> None:
    """docs/write-a-consumer.md has a row for each, in the order of the rules."""
    page = (ROOT / "docs" / "write-a-consumer.md").read_text(encoding="utf-8")

    listed = re.findall(r"^\| \[(\w+)\]\(runbook\.md#(\w+)\)", page, re.MULTILINE)

    assert listed == [(alert, alert.lower()) for alert in ALERTS if alert.startswith("ClocksvcConsumer")]
