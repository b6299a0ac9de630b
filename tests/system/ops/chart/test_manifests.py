"""Kubernetes accepts what the chart renders, from the oldest version to the newest."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.system.ops.chart.rendering import CHART, Helm, Manifest, Refused, kinds, one, pod_specs
from tests.system.ops.chart.schemas import NEWEST, OLDEST, NotTaken, validate
from tests.system.ops.chart.value_sets import MATRIX, with_values

Rendered = Callable[[str], list[Manifest]]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", MATRIX)
def test_kubernetes_takes_every_manifest(chart: Helm, name: str, version: str) -> None:
    """Rendered for that version and checked by its schema, without unknown fields."""
    manifests = chart.template(MATRIX[name], "--kube-version", version)

    for manifest in manifests:
        validate(manifest, version)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    assert all(len(each) < 64 for _, each in names)


@pytest.mark.parametrize("kind", ["Deployment", "ServiceMonitor", "PrometheusRule", "HTTPRoute"])
def test_a_wrong_field_would_be_seen(rendered: Rendered, kind: str) -> None:
    """A typo is found."""
    manifest = kinds(rendered("every object"), kind)[0]
    typo: dict[str, Any] = {**manifest, "spec": {**manifest["spec"], "tpyo": 1}}

    with pytest.raises(NotTaken, match="tpyo"):
        validate(typo, NEWEST)


@pytest.mark.parametrize("name", MATRIX)
def test_lint_has_nothing_to_say(chart: Helm, name: str) -> None:
    """`helm lint --strict`, with every set of values."""
    assert "0 chart(s) failed" in chart.lint(MATRIX[name])


def test_lint_takes_the_chart_as_it_comes(chart: Helm) -> None:
    """Without any values it can't be installed, but linted."""
    assert "0 chart(s) failed" in chart.lint({})


def test_every_template_is_in_the_matrix(chart: Helm) -> None:
    """Every file of the chart is rendered by some set of values."""
    templates = {str(file.relative_to(CHART)) for file in (CHART / "templates").rglob("*.yaml")}

    assert chart.sources(MATRIX["every object"]) == templates


def test_one_value_changes_what_it_names_alone(chart: Helm) -> None:
    """`helm template` with one changed value: the configuration, and the checksums that make the pods roll."""
    before, after = (
        chart.template(MATRIX["smallest"]),
        chart.template(MATRIX["smallest"], "--set", "config.clocks.checkins.interval=5m"),
    )

    changed = [(old["kind"], old["metadata"]["name"]) for old, new in zip(before, after, strict=True) if old != new]
    assert sorted(changed) == [
        ("ConfigMap", "clock-clocksvc"),
        ("ConfigMap", "clock-clocksvc-celery"),
        ("Deployment", "clock-clocksvc-api"),
        ("Deployment", "clock-clocksvc-beat-heartbeats"),
        ("Deployment", "clock-clocksvc-worker-heartbeats"),
    ]


def test_a_long_release_name_still_fits(chart: Helm) -> None:
    """Helm allows 53 characters; names and labels of pods 63."""
    manifests = chart.template(MATRIX["pools"], release="a" * 53)

    for manifest in manifests:
        validate(manifest, NEWEST)
        assert len(manifest["metadata"]["name"]) < 64
        assert all(len(value) < 64 for value in manifest["metadata"]["labels"].values())


def test_pools_can_be_taken_away(rendered: Rendered) -> None:
    """Null removes the chart's own beat and worker."""
    assert set(pod_specs(rendered("no celery"))) == {"clock-clocksvc-api", "clock-clocksvc-test"}


def test_a_part_of_another_chart(chart: Helm) -> None:
    """Helm passes a subchart the values `global` of the parent; the schema allows them."""
    assert chart.template(with_values({"global": {"anything": {"at": "all"}}}))


def test_the_test_waits_for_every_clock(chart: Helm, rendered: Rendered) -> None:
    """With the API's address, and a token that may read; helm shows the logs only of pods with one container."""
    test = one(rendered("cluster"), "Pod", "clock-clocksvc-test")
    (container,) = test["spec"]["containers"]
    environment = {each["name"]: each for each in container["env"]}
    assert environment["CLOCKS"]["value"] == "billing checkins"
    assert environment["CLOCKSVC_URL"]["value"] == "http://clock-clocksvc:8080"
    assert environment["CLOCKSVC_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "clocksvc-tokens", "key": "ops"}

    with pytest.raises(Refused, match='has no "chekins"'):
        chart.template(with_values({"test": {"clocks": ["chekins"]}}))
