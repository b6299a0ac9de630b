"""Each alert fires when it should, does not fire for a slow but healthy topic, and resolves, by promtool."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.system.ops.alerts.rule_files import HERE, RULES, SCENARIOS, rules, seen


def told(promtool: Path, *arguments: str | Path) -> str:
    """What promtool reports; "" if nothing."""
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


def test_prometheus_takes_the_rules(promtool: Path) -> None:
    """promtool accepts them, and finds no duplicates."""
    assert told(promtool, "check", "rules", "--lint-fatal", *RULES) == ""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_alerts_are_as_the_scenario_says(promtool: Path, scenario: Path) -> None:
    """Labels, summary and description in full, minute by minute."""
    assert told(promtool, "test", "rules", scenario) == ""


@pytest.mark.parametrize("alert", rules())
def test_every_alert_is_seen_to_fire_and_to_resolve(alert: str) -> None:
    """In one scenario: not yet, then firing, then no more."""
    by_scenario: dict[str, list[tuple[int, bool]]] = {}
    for one in seen():
        if one.alert == alert:
            by_scenario.setdefault(one.scenario, []).append((one.at_s, one.fire > 0))

    lives = [[fires for _, fires in sorted(moments)] for moments in by_scenario.values()]

    assert any(life[0] is False and True in life and life[-1] is False for life in lives), lives


def test_the_healthy_are_asked_for_every_alert_at_every_moment() -> None:
    """A pending alert would be found, too."""
    tests = yaml.safe_load((HERE / "healthy.yaml").read_text(encoding="utf-8"))["tests"]

    asked = [one for test in tests for one in test["promql_expr_test"]]

    assert len(tests) >= 3
    assert asked == [{"eval_time": "6h", "expr": "count_over_time(ALERTS[6h])", "exp_samples": []}] * len(tests)


def test_a_rule_that_never_fires_is_found(promtool: Path, tmp_path: Path) -> None:
    """With each rule replaced by one that never fires, all scenarios fail."""
    for path in RULES:
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))
        for group in groups["groups"]:
            for rule in group["rules"]:
                rule["expr"] = "vector(1) > 2"
        (tmp_path / path.name).write_text(yaml.safe_dump(groups), encoding="utf-8")
    text = (HERE / "leader.yaml").read_text(encoding="utf-8")
    blind = tmp_path / "leader.yaml"
    blind.write_text(text.replace("../../../../helm/clocksvc/rules/", ""), encoding="utf-8")

    found = told(promtool, "test", "rules", blind)

    assert all(alert in found for alert in ("ClocksvcNoLeader", "ClocksvcTwoLeaders", "ClocksvcTickLogTruncated"))
