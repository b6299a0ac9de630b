"""Code, `/metrics`, dashboards, alert rules and documents name the same metrics."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clocksvc.metrics.catalogue import CATALOGUE
from clocksvc.metrics.consumer_catalogue import CONSUMER_CATALOGUE
from clocksvc.metrics.outbox_metrics import OUTBOX_CATALOGUE
from clocksvc.metrics.scheduler_catalogue import SCHEDULER_CATALOGUE
from tests.metrics_page import FakeClockView, watching
from tests.repository import ROOT

pytestmark = pytest.mark.core

CHART = ROOT / "helm" / "clocksvc"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
RULES = sorted((CHART / "rules").glob("*.yaml"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_CODE = {
    metric.name: set(metric.labels)
    for metric in (*CATALOGUE, *CONSUMER_CATALOGUE, *SCHEDULER_CATALOGUE, *OUTBOX_CATALOGUE)
}
OF_TARGETS = {"job", "instance", "namespace", "cluster"}
NO_METRICS = {
    *("clocksvc_clock", "clocksvc_dispatcher", "clocksvc_on_tick", "clocksvc_is_duplicate"),
    *("clocksvc_outbox", "clocksvc_outbox_ids", "clocksvc_outbox_rejected", "clocksvc_outbox_by_id"),
    "clocksvc_outbox_by_number",
}
"""Settings of a Celery app, attributes, tables and indexes, whose names begin like metrics."""

_NAME = re.compile(r"\bclocksvc_[a-z_]+")
_SELECTOR = re.compile(r"\b(clocksvc_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"')


def metric_of(name: str) -> str:
    """The metric of a series: a histogram has several series."""
    whole = re.sub(r"_(bucket|sum|count)$", "", name)
    return whole if whole in IN_CODE else name


def strings(value: Any) -> Iterator[str]:
    """Every string in JSON or YAML data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def asked(paths: list[Path]) -> list[tuple[str, set[str]]]:
    """The metrics that these files query, each with the labels of its selectors."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for one in strings(json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)):
            found += [(metric_of(name), set(_MATCHER.findall(labels))) for name, labels in _SELECTOR.findall(one)]
    return found


def named(paths: list[Path]) -> set[str]:
    """The metrics that these files name."""
    names = {name for path in paths for name in _NAME.findall(path.read_text(encoding="utf-8"))}
    return {metric_of(name) for name in names} - NO_METRICS


def test_what_is_served_is_what_the_code_lists() -> None:
    """`/metrics` has exactly the catalogue's names."""
    page = watching(FakeClockView()).render()[0].decode()

    assert set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)) == {metric.name for metric in CATALOGUE}


def test_what_is_documented_is_what_the_code_lists() -> None:
    """The table of docs/metrics.md has a row for each metric."""
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `(clocksvc_\w+)`", document, re.MULTILINE) == list(IN_CODE)


def test_what_is_asked_for_is_what_the_code_lists() -> None:
    """Dashboards and rules together use every metric, and only exported ones."""
    assert len(DASHBOARDS) >= 2
    assert RULES

    assert {name for name, _ in asked([*DASHBOARDS, *RULES])} == IN_CODE.keys()


def test_what_is_chosen_by_is_a_label() -> None:
    """Every label in a selector of dashboards or rules is a label of its metric."""
    wrong = [
        (name, label)
        for name, labels in asked([*DASHBOARDS, *RULES])
        for label in labels - IN_CODE.get(name, set()) - OF_TARGETS
    ]

    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_another(document: Path) -> None:
    """Every metric named in a document exists."""
    assert named([document]) <= IN_CODE.keys()
