"""What every pod must have: permissions, termination, rolling updates."""

from collections.abc import Callable

import pytest

from tests.repository import ROOT
from tests.system.ops.chart.rendering import Helm, Manifest, kinds, one, pod_specs
from tests.system.ops.chart.value_sets import MATRIX, SCHEDULED, with_values

Rendered = Callable[[str], list[Manifest]]
ALL = [name for name in MATRIX if name != "all at once"]
LONGEST_END_S = 30
"""Of the service: docs/operations.md."""
HAND_OVER_S = 30
"""Of a scheduler: `SchedulerReplica.leave`."""


@pytest.mark.parametrize("values", ALL)
def test_no_pod_has_more_rights_than_it_needs(rendered: Rendered, values: str) -> None:
    """Not root, no capabilities, no privilege escalation, no writable path but /tmp, no variables of Services, no
    token."""
    for name, spec in pod_specs(rendered(values)).items():
        assert spec["enableServiceLinks"] is False, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is ("ingest" not in name), name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            mounts = [each for each in container.get("volumeMounts", []) if not each.get("readOnly")]
            assert [each["mountPath"] for each in mounts] in ([], ["/tmp"]), name


@pytest.mark.parametrize("values", ALL)
def test_every_selector_finds_its_pods_alone(rendered: Rendered, values: str) -> None:
    """Deployments, disruption budgets, spreads and Services: each pod belongs to one Deployment; a Service selects the
    pods of its component."""
    manifests = rendered(values)
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in kinds(manifests, "Deployment")
    }
    labels["test"] = kinds(manifests, "Pod")[0]["metadata"]["labels"]

    def found(selector: dict[str, str]) -> list[str]:
        return [name for name, each in labels.items() if selector.items() <= each.items()]

    for deployment in kinds(manifests, "Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        assert found(spec["selector"]["matchLabels"]) == [name]
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
            assert found(spread["labelSelector"]["matchLabels"]) == [name]
    for budget in kinds(manifests, "PodDisruptionBudget"):
        assert found(budget["spec"]["selector"]["matchLabels"]) == [budget["metadata"]["name"]]
    for service in kinds(manifests, "Service"):
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        assert found(service["spec"]["selector"]) == [name for name in labels if name.endswith(f"-{component}")]


def test_an_update_never_takes_before_it_gives(rendered: Rendered) -> None:
    """A new pod must be ready before an old one is ended; if the order matters, there are never two."""
    manifests = kinds(rendered("pools"), "Deployment") + kinds(rendered("schedules"), "Deployment")
    strategies = {each["metadata"]["name"]: each["spec"]["strategy"] for each in manifests}

    assert strategies.pop("clock-clocksvc-worker-ingest") == {"type": "Recreate"}
    assert set(strategies) > {
        "clock-clocksvc-api",
        "clock-clocksvc-scheduler",
        "clock-clocksvc-beat-heartbeats",
        "clock-clocksvc-worker-heartbeats",
    }
    for strategy in strategies.values():
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_there_are_two_of_everything(rendered: Rendered) -> None:
    """Of the service, of schedulers, of the beats that send heartbeats, of the workers that put them. One may be
    evicted at a time."""
    manifests = rendered("schedules")
    for name in ("api", "scheduler", "beat-heartbeats", "worker-heartbeats"):
        assert one(manifests, "Deployment", f"clock-clocksvc-{name}")["spec"]["replicas"] == 2
        assert one(manifests, "PodDisruptionBudget", f"clock-clocksvc-{name}")["spec"]["maxUnavailable"] == 1
        spread = pod_specs(manifests)[f"clock-clocksvc-{name}"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}


def test_a_beat_counts_once_it_beats(rendered: Rendered) -> None:
    """It has no probe: an old one is ended when the new one has run for longer than its start takes."""
    beat = one(rendered("smallest"), "Deployment", "clock-clocksvc-beat-heartbeats")
    assert beat["spec"]["minReadySeconds"] == 15


def test_pods_fit_the_image(rendered: Rendered) -> None:
    """The user and the path of the configuration, as in the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    spec = pod_specs(rendered("smallest"))["clock-clocksvc-api"]
    context = spec["securityContext"]

    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in dockerfile
    assert f"CLOCKSVC_CONFIG={spec['containers'][0]['env'][0]['value']}\n" in dockerfile
    assert spec["containers"][0]["volumeMounts"][0]["mountPath"] == spec["containers"][0]["env"][0]["value"]


def test_the_service_has_time_for_its_end(rendered: Rendered) -> None:
    """The announcement and the longest shutdown fit before SIGKILL."""
    spec = pod_specs(rendered("smallest"))["clock-clocksvc-api"]
    announced_s = int(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])

    assert announced_s + LONGEST_END_S < spec["terminationGracePeriodSeconds"]


def test_a_scheduler_has_time_for_its_hand_over(rendered: Rendered) -> None:
    """It works until its successors have taken over, for at most 30 s; SIGKILL comes later."""
    spec = pod_specs(rendered("schedules"))["clock-clocksvc-scheduler"]

    assert spec["terminationGracePeriodSeconds"] >= HAND_OVER_S + 5


@pytest.mark.parametrize(
    ("host", "address"),
    [(None, "http://$(POD_IP):8081"), ("::", "http://[$(POD_IP)]:8081")],
)
def test_a_scheduler_announces_its_own_address(chart: Helm, host: str | None, address: str) -> None:
    """The pod's IP address and the scheduler's port, at which it listens, is probed and is scraped."""
    values = with_values(SCHEDULED, {"config": {"scheduler": {"host": host}}})
    manifests = chart.template(values)
    (container,) = pod_specs(manifests)["clock-clocksvc-scheduler"]["containers"]
    environment = [(each["name"], each.get("value")) for each in container["env"]]

    assert environment[1:] == [("POD_IP", None), ("CLOCKSVC_SCHEDULER__ADDRESS", address)]
    assert container["env"][1]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    assert container["ports"] == [{"name": "http", "containerPort": 8081}]
    assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")} == {"http"}
    service = one(manifests, "Service", "clock-clocksvc-scheduler")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
    assert service["ports"][0]["port"] == 8081


def test_there_is_a_scheduler_if_a_clock_has_schedules(chart: Helm, rendered: Rendered) -> None:
    """Unless the values switch it off."""
    assert "clock-clocksvc-scheduler" not in pod_specs(rendered("smallest"))
    assert "clock-clocksvc-scheduler" in pod_specs(rendered("schedules"))
    without = chart.template(with_values(SCHEDULED, {"scheduler": {"enabled": False}}))
    assert not [each for each in without if each["metadata"]["name"] == "clock-clocksvc-scheduler"]


def test_pods_take_what_all_have_and_what_is_their_own(rendered: Rendered) -> None:
    """Maps are merged, lists of extras appended, other values replaced."""
    specs = pod_specs(rendered("all at once"))
    pool = specs["clock-timekeeper-worker-ingest"]
    assert pool["nodeSelector"] == {"kubernetes.io/arch": "amd64", "pool": "batch"}
    assert pool["containers"][0]["image"] == f"registry.example.com/shop@sha256:{'a' * 64}"
    assert [each["name"] for each in pool["containers"][0]["env"]] == ["CLOCKSVC_CONFIG", "SSL_CERT_FILE", "SHOP"]
    assert specs["clock-timekeeper-beat-shop"]["containers"][0]["image"] == "registry.example.com/shop:7"
    for spec in (specs["clock-timekeeper-api"], pool):
        assert spec["priorityClassName"] == "high"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["serviceAccountName"] == "clock"
        assert spec["containers"][0]["imagePullPolicy"] == "Always"
        assert spec["containers"][0]["envFrom"] == [{"configMapRef": {"name": "proxy"}}]
        assert "topologySpreadConstraints" not in spec
        assert {"name": "ca", "configMap": {"name": "company-ca"}} in spec["volumes"]
    image = specs["clock-timekeeper-api"]["containers"][0]["image"]
    assert image == f"registry.example.com/clocksvc@sha256:{'b' * 64}"


def test_labels_and_annotations_are_on_everything(rendered: Rendered) -> None:
    """On each object, and on the pods of each Deployment."""
    for manifest in rendered("every pod"):
        assert manifest["metadata"]["labels"]["team"] == "data"
        assert manifest["metadata"]["annotations"]["owner"] == "data@example.com"
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["metadata"]
            assert {"team": "data", "cost": "42"}.items() <= pod["labels"].items()
            assert "cluster-autoscaler.kubernetes.io/safe-to-evict" in pod["annotations"]
