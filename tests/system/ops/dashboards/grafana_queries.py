"""The queries of a dashboard, with the variables filled in as Grafana does.

It reads the files in the chart, and shares no code with the code that wrote them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.repository import ROOT

FOLDER = ROOT / "helm" / "clocksvc" / "dashboards"
NAMES = ("clock", "consumer", "fleet", "schedules")

STEP_S = 1
_BUILT_IN = {"__interval": f"{STEP_S}s", "__rate_interval": f"{4 * STEP_S}s"}
"""For a data source that scrapes each second, on a panel that is wide enough."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


@dataclass(frozen=True)
class DashboardQuery:
    """One query, of a panel or of an annotation."""

    dashboard: str
    panel: str
    name: str
    expression: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}-{self.panel}-{self.name}".replace(" ", "_")


def model(dashboard: str) -> dict[str, Any]:
    """A dashboard as it is in the chart."""
    found: dict[str, Any] = json.loads((FOLDER / f"{dashboard}.json").read_text(encoding="utf-8"))
    return found


def panels(dashboard: str) -> Iterator[dict[str, Any]]:
    """Every panel, those in rows too; not the rows."""
    for panel in model(dashboard)["panels"]:
        yield from panel.get("panels", [])
        if panel["type"] != "row":
            yield panel


def queries(dashboard: str) -> Iterator[DashboardQuery]:
    """Every query of a dashboard."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield DashboardQuery(dashboard, panel["title"], target["refId"], target["expr"], target["instant"])
    for layer in model(dashboard)["annotations"].get("list", []):
        yield DashboardQuery(dashboard, "annotation", layer["name"], layer["target"]["expr"], False)


def variables(dashboard: str) -> dict[str, dict[str, Any]]:
    """The dashboard's own variables, by name."""
    return {one["name"]: one for one in model(dashboard)["templating"]["list"]}


def asked_by_variable(variable: Mapping[str, Any]) -> tuple[str, str]:
    """The selector and the label of a query variable."""
    found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
    assert found is not None, variable["query"]
    return found[1], found[2]


def chosen(dashboard: str, values: Mapping[str, list[str]]) -> dict[str, str]:
    """The value of each variable in a query: the chosen one of `values`, else all, if the variable allows that."""
    texts = {}
    for name, variable in variables(dashboard).items():
        if variable.get("multi") and name in values:
            texts[name] = _one_of(values[name])
        elif variable.get("includeAll") and variable.get("allValue"):
            texts[name] = variable["allValue"]
        elif name in values:
            texts[name] = values[name][0]
    return texts


def filled_in(expression: str, texts: Mapping[str, str], range_s: int = 0) -> str:
    """An expression as it is sent. Raises KeyError for a variable that the dashboard does not have."""
    known = {**_BUILT_IN, "__range": f"{range_s}s", **texts}
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2]) or _group(found[0], known), expression)


def _group(text: str, known: Mapping[str, str]) -> str:
    """`$1` in label_replace is no variable."""
    if re.fullmatch(r"\$\d+", text):
        return text
    raise KeyError(f"{text} is not one of {sorted(known)}")


def _one_of(values: list[str]) -> str:
    escaped = [re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
