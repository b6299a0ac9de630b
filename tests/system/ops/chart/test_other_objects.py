"""The objects besides the pods: network, metrics, alerts, dashboards, Ingress and routes, and the notes."""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.ops.chart.rendering import CHART, Helm, Manifest, kinds, one
from tests.system.ops.chart.value_sets import EVERY_OBJECT, OPEN, SCHEDULED, with_values

Rendered = Callable[[str], list[Manifest]]


def _groups() -> list[dict[str, Any]]:
    files = sorted((CHART / "rules").glob("*.yaml"))
    return [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]


def test_the_rules_come_through_word_by_word(rendered: Rendered) -> None:
    """With Prometheus' own {{ }}; each alert has the labels of the values besides its own."""
    (rule,) = kinds(rendered("every object"), "PrometheusRule")
    wanted = _groups()
    for alert in (alert for group in wanted for alert in group["rules"] if "alert" in alert):
        alert["labels"] = {**alert.get("labels", {}), "team": "data"}

    assert rule["spec"]["groups"] == wanted
    assert "{{" in json.dumps(wanted)
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_an_alert_can_be_left_out(chart: Helm) -> None:
    """An alert can be turned off by name; the others stay."""
    names = [rule["alert"] for group in _groups() for rule in group["rules"] if "alert" in rule]
    manifests = chart.template(with_values({"prometheusRule": {"enabled": True, "disabled": names[:1]}}))
    (rule,) = kinds(manifests, "PrometheusRule")

    assert [each["alert"] for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each] == names[
        1:
    ]


def test_the_dashboards_come_through_byte_by_byte(rendered: Rendered) -> None:
    """Each file in its own ConfigMap, with the label that Grafana's sidecar looks for; a ConfigMap holds at most 1
    MiB."""
    maps = [each for each in kinds(rendered("every object"), "ConfigMap") if "-dashboard-" in each["metadata"]["name"]]
    found = {name: text for each in maps for name, text in each["data"].items()}
    files = {
        f"clocksvc-{file.name}": file.read_text(encoding="utf-8") for file in (CHART / "dashboards").glob("*.json")
    }

    assert found == files
    assert files
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"]["grafana_folder"] == "clocksvc"
        assert sum(len(text.encode()) for text in each["data"].values()) < 1024 * 1024


def test_links_lead_to_the_page(chart: Helm) -> None:
    """The links of alerts and dashboards, and to the runbook, the page's or another one."""
    values = with_values(EVERY_OBJECT, {"pageUrl": "https://clock.example.com"})
    texts = [text for each in kinds(chart.template(values), "ConfigMap") for text in each["data"].values()]
    variables = [each for text in texts for each in json.loads(text).get("templating", {}).get("list", [])]
    page = {each["query"] for each in variables if each["name"] == "page"}
    runbook = {each["query"] for each in variables if each["name"] == "runbook"}
    assert page == {"https://clock.example.com"}
    assert runbook == {"https://clock.example.com/status/runbook.md"}
    assert "localhost" not in "".join(texts).replace("localhost:6379", "")

    manifests = chart.template({**values, "runbookUrl": "https://wiki.example.com/clock"})
    (rule,) = kinds(manifests, "PrometheusRule")
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    links = [each["annotations"]["runbook_url"] for each in alerts]
    assert {link.partition("#")[0] for link in links} == {"https://wiki.example.com/clock"}
    assert all(link.partition("#")[2] for link in links)


@pytest.mark.parametrize("name", ["clock-clocksvc", "clock-clocksvc-scheduler"])
def test_prometheus_finds_the_pods_and_may_read(rendered: Rendered, name: str) -> None:
    """With the token that may read every clock; labels of clocksvc are not overwritten."""
    manifests = rendered("every object")
    monitor, service = one(manifests, "ServiceMonitor", name)["spec"], one(manifests, "Service", name)
    (endpoint,) = monitor["endpoints"]

    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["honorLabels"] is True
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "clocksvc-tokens", "key": "ops"}}
    (without,) = one(rendered("open"), "ServiceMonitor", name)["spec"]["endpoints"]
    assert "authorization" not in without


def test_only_the_api_and_schedulers_take_connections(rendered: Rendered) -> None:
    """From the named sources; the API from the test, too, and schedulers from the API. Beats and workers accept no
    connection. All may use DNS, and the API may connect to schedulers."""
    manifests = rendered("every object")
    policies = {each["metadata"]["name"]: each["spec"] for each in kinds(manifests, "NetworkPolicy")}
    assert set(policies) == {f"clock-clocksvc-{name}" for name in ("api", "scheduler", "beat", "worker")}
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in _deployments(manifests).items()}
    labels["test"] = kinds(manifests, "Pod")[0]["metadata"]["labels"]
    for name, client in (("api", "test"), ("scheduler", "clock-clocksvc-api")):
        (rule,) = policies[f"clock-clocksvc-{name}"]["ingress"]
        assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
        peers = rule["from"]
        assert peers[0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        chosen = peers[1]["podSelector"]["matchLabels"].items()
        assert [pod for pod, own in labels.items() if chosen <= own.items()] == [client]
    for name in ("clock-clocksvc-beat", "clock-clocksvc-worker"):
        assert "ingress" not in policies[name]
    to_schedulers = policies["clock-clocksvc-api"]["egress"].pop(1)
    assert to_schedulers["ports"] == [{"port": 8081, "protocol": "TCP"}]
    chosen = to_schedulers["to"][0]["podSelector"]["matchLabels"].items()
    assert [pod for pod, own in labels.items() if chosen <= own.items()] == ["clock-clocksvc-scheduler"]
    for policy in policies.values():
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert {each["port"] for each in policy["egress"][0]["ports"]} == {53}
        assert len(policy["egress"]) == 3

    (open_rule,) = one(rendered("smallest"), "NetworkPolicy", "clock-clocksvc-api")["spec"]["ingress"]
    assert "from" not in open_rule


def _deployments(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in kinds(manifests, "Deployment")}


def test_ways_in_lead_to_the_service(rendered: Rendered) -> None:
    """Ingress and HTTPRoute, to the port of the Service."""
    manifests = rendered("every object")
    service = one(manifests, "Service", "clock-clocksvc")
    ports = {each["name"]: each["port"] for each in service["spec"]["ports"]}
    ingress, route = kinds(manifests, "Ingress")[0]["spec"], kinds(manifests, "HTTPRoute")[0]["spec"]

    backend = ingress["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": "http"}}
    (way,) = route["rules"]
    assert way["backendRefs"] == [{"name": service["metadata"]["name"], "port": ports["http"]}]
    assert way["timeouts"] == {"request": "0s"}


def test_the_notes_say_what_to_do_next(chart: Helm, tmp_path: Path) -> None:
    """With the names of this release, and warnings about what is not as it should be."""
    notes = chart.notes(with_values(), tmp_path)
    assert "helm --namespace clocks test clock --logs" in notes
    assert "kubectl --namespace clocks port-forward service/clock-clocksvc 8080:8080" in notes
    assert "get secret clocksvc-tokens --output go-template='{{ index .data \"ops\" | base64decode }}'" in notes
    assert "WARNING" not in notes

    warned = chart.notes(with_values(OPEN), tmp_path)
    assert "WARNING: there are no tokens" in warned
    assert "WARNING: api.replicas is 1" in warned

    alone = chart.notes(with_values(SCHEDULED, {"scheduler": {"replicas": 1}}), tmp_path)
    assert "WARNING: scheduler.replicas is 1" in alone
    without = chart.notes(with_values(SCHEDULED, {"scheduler": {"enabled": False}}), tmp_path)
    assert "WARNING: scheduler.enabled is false: this release does not run the schedules of checkins" in without


def test_a_release_is_small_enough_to_be_kept(chart: Helm) -> None:
    """Helm keeps chart and manifests of a release in one compressed Secret of at most 1 MiB."""
    every = [file.read_text(encoding="utf-8") for file in CHART.rglob("*") if file.is_file()]
    release = json.dumps([*every, chart.template(with_values(EVERY_OBJECT))])

    # base64 twice: by helm itself, and as every Secret
    assert len(b64encode(b64encode(gzip.compress(release.encode())))) < 400_000
