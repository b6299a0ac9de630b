"""Serialises dashboards. The text is the same in every run, and has no fields that a release of the SDK adds."""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from helm.dashboards import clock, consumer, fleet, schedules

FOLDER = Path(__file__).resolve().parent.parent / "clocksvc" / "dashboards"


def texts() -> dict[str, str]:
    """Return the text of each file, by file name."""
    dashboards = {"clock": clock, "consumer": consumer, "fleet": fleet, "schedules": schedules}
    return {f"{name}.json": text(module.dashboard()) for name, module in dashboards.items()}


def text(dashboard: Dashboard) -> str:
    """Return a dashboard as Grafana reads it, with sorted keys and with panels numbered from 1."""
    model: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(dashboard.build()))
    for number, panel in enumerate(_panels(model), 1):
        panel["id"] = number
    for shown in (*model["links"], *model["annotations"].get("list", [])):
        # The SDK puts every link into a menu; without a placement, Grafana shows it next to the variables.
        shown.pop("placement", None)
    return json.dumps(model, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _panels(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for panel in model["panels"] for one in (panel, *panel.get("panels", []))]
