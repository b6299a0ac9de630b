"""Requirements of Grafana, by the SDK's schema, and of a person on call, by rules."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from clocksvc.metrics.catalogue import CATALOGUE
from clocksvc.metrics.consumer_catalogue import CONSUMER_CATALOGUE
from clocksvc.metrics.scheduler_catalogue import SCHEDULER_CATALOGUE
from tests.system.ops.dashboards.grafana_queries import FOLDER, NAMES, filled_in, model, panels, queries, variables

WIDTH = 24
KINDS = {"stat", "timeseries", "state-timeline", "heatmap", "table"}
_METRIC = re.compile(r"\bclocksvc_\w+")


def read_by_the_sdk(dashboard: str) -> Any:
    """A dashboard after it went through the SDK's models, which know every field of Grafana's schema and no other."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(model(dashboard))))


def differences(read: Any, written: Any, path: str = "") -> Iterator[str]:
    """Differences between what the SDK read and what was written; fields that it adds do not count."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from differences(read.get(key), value, f"{path}.{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(read) == len(written):
        for index, (one, other) in enumerate(zip(read, written, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif read != written:
        yield f"{path}: {written!r} was read as {read!r}"


@pytest.mark.parametrize("dashboard", NAMES)
def test_the_sdks_schema_knows_every_field(dashboard: str) -> None:
    """Reading into the SDK's models and writing again changes nothing."""
    assert list(differences(read_by_the_sdk(dashboard), model(dashboard))) == []


def test_a_field_that_grafana_does_not_have_is_found() -> None:
    """The check above finds a stray field at any depth."""
    strange = model("clock")
    panel = next(one for one in strange["panels"] if one["type"] == "stat")
    panel["options"]["colour"] = "red"

    read = json.loads(JSONEncoder().encode(Dashboard.from_json(strange)))

    assert [found.split(":")[0].rpartition(".")[2] for found in differences(read, strange)] == ["colour"]


def test_they_are_four() -> None:
    """Each has its own id for links, and the tag by which dashboards link to each other."""
    models = [model(name) for name in NAMES]

    assert [one["uid"] for one in models] == [f"clocksvc-{name}" for name in NAMES]
    assert [one["tags"] for one in models] == [["clocksvc"]] * 4
    assert all("id" not in one for one in models)


@pytest.mark.parametrize("dashboard", NAMES)
def test_panels_have_numbers_and_places_of_their_own(dashboard: str) -> None:
    """Panel numbers are unique; panels do not overlap, stay within the width, and are in order."""
    whole = model(dashboard)["panels"]
    numbers = [panel["id"] for panel in whole]
    taken: dict[tuple[int, int], str] = {}
    for panel in whole:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        cells = itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
        for cell in cells:
            assert cell not in taken, f"{panel['title']} lies upon {taken.get(cell)}"
            taken[cell] = panel["title"]

    assert numbers == list(range(1, len(whole) + 1))


@pytest.mark.parametrize("dashboard", NAMES)
def test_every_panel_can_be_read_at_night(dashboard: str) -> None:
    """A title, a description in sentences, a unit, thresholds, a word for "not known", and a known kind."""
    wrong = []
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        if not (panel["title"] and re.search(r"\w{3,}.*\.$", panel["description"])):
            wrong.append(f"{panel['title']}: its description is no sentence")
        if not defaults.get("unit") or not defaults.get("noValue"):
            wrong.append(f"{panel['title']}: unit or noValue is missing")
        if panel["type"] not in KINDS:
            wrong.append(f"{panel['title']}: {panel['type']} is no kind that is known here")
        steps = [step["value"] for step in defaults["thresholds"]["steps"]]
        if steps[0] is not None or steps[1:] != sorted(steps[1:]):
            wrong.append(f"{panel['title']}: thresholds {steps} do not ascend from the bottom")

    assert wrong == []


@pytest.mark.parametrize("dashboard", NAMES)
def test_every_query_has_a_unique_name_and_uses_the_chosen_source(dashboard: str) -> None:
    """Query names are unique within a panel; every panel and variable uses `$datasource`."""
    for panel in panels(dashboard):
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)) > 0, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query":
            assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, name


@pytest.mark.parametrize("dashboard", NAMES)
def test_variables_are_there_before_they_are_used(dashboard: str) -> None:
    """Data source, job and clock (or consumer) come first. Variables are defined before they are used."""
    known: dict[str, str] = {}
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query":
            filled_in(variable["query"]["query"], known)
        known[name] = "x"
    for asked in queries(dashboard):
        filled_in(asked.expression, known)

    chosen = {"consumer": ["consumer_job", "consumer"], "schedules": ["scheduler_job", "clock"]}
    assert list(known)[:3] == ["datasource", *chosen.get(dashboard, ["job", "clock"])]
    assert ("topic" in known) == (dashboard == "clock")


@pytest.mark.parametrize("dashboard", NAMES)
def test_links_lead_to_page_and_runbook(dashboard: str) -> None:
    """Both addresses are variables that the URL can set; the file has no other address."""
    links = {link["title"]: link.get("url") for link in model(dashboard)["links"]}
    text = (FOLDER / f"{dashboard}.json").read_text(encoding="utf-8")

    assert links["Status page"] == ("${page}/#${clock}" if dashboard in ("clock", "schedules") else "${page}/")
    assert links["Runbook"] == "${runbook}"
    assert links["clocksvc"] is None
    assert sorted(re.findall(r'https?://[^"]+', text)) == [
        "http://localhost:8080",
        "http://localhost:8080/status/runbook.md",
    ]


def test_holds_are_drawn_over_every_panel_in_all_versions_of_grafana() -> None:
    """Some versions read an annotation's query in its root, some in its target: both have it."""
    layers = model("clock")["annotations"]["list"]

    assert [layer["name"] for layer in layers] == ["Holds"]
    assert layers[0]["expr"] == layers[0]["target"]["expr"]


@pytest.mark.parametrize("dashboard", NAMES)
def test_queries_never_make_up_a_number(dashboard: str) -> None:
    """Nothing turns "not known" into 0 or NaN."""
    made_up = [
        str(asked) for asked in queries(dashboard) if re.search(r"\bvector\(|\bscalar\(|absent", asked.expression)
    ]

    assert made_up == []


@pytest.mark.parametrize("dashboard", NAMES)
def test_metrics_are_those_of_the_catalogue(dashboard: str) -> None:
    """Queries use only exported metrics."""
    exported = {metric.name for metric in (*CATALOGUE, *CONSUMER_CATALOGUE, *SCHEDULER_CATALOGUE)}
    exported |= {f"{metric.name}_bucket" for metric in CATALOGUE if metric.type == "histogram"}
    named = {name for asked in queries(dashboard) for name in _METRIC.findall(asked.expression)}

    assert named - exported == set()
