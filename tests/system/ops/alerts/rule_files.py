"""The chart's rules and promtool's test files in this folder, as plain data."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.repository import ROOT

HERE = Path(__file__).resolve().parent
RULES = sorted((ROOT / "helm" / "clocksvc" / "rules").glob("*.yaml"))
SCENARIOS = sorted(HERE.glob("*.yaml"))

_SELECTOR = re.compile(r"\b(?:clocksvc_\w+|up)\b(?:\{[^}]*\})?")
_UNITS_S = {"h": 3600, "m": 60, "s": 1}


class Seen(NamedTuple):
    """How many alerts of a kind a scenario expects to fire at one moment."""

    scenario: str
    alert: str
    at_s: int
    fire: int


def rules() -> dict[str, dict[str, Any]]:
    """Every alert, by name."""
    return {
        rule["alert"]: rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def recorded() -> dict[str, str]:
    """The expression of every recording rule, by name."""
    return {
        rule["record"]: rule["expr"]
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def selectors(expression: str) -> list[str]:
    """The selectors in an expression."""
    return _SELECTOR.findall(expression)


def seen() -> list[Seen]:
    """All expectations of the scenarios."""
    return [
        Seen(test["name"], one["alertname"], _seconds(one["eval_time"]), len(one["exp_alerts"]))
        for path in SCENARIOS
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for one in test.get("alert_rule_test", ())
    ]


def _seconds(text: str) -> int:
    return sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"(\d+)([hms])", text))
