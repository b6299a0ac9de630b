"""What every pod must have: permissions, termination, rolling updates."""

from collections.abc import Callable

import pytest

from tests.repository import ROOT
from tests.system.ops.chart.rendering import Manifest, kinds, one, pod_specs
from tests.system.ops.chart.value_sets import MATRIX

Rendered = Callable[[str], list[Manifest]]
ALL = [name for name in MATRIX if name != "all at once"]
LONGEST_END_S = 30
"""Of the service: docs/operations.md."""


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
    """Deployments, disruption budgets, spreads and the Service: each pod belongs to one Deployment; the Service selects
    the API's."""
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
    (service,) = kinds(manifests, "Service")
    assert found(service["spec"]["selector"]) == [name for name in labels if name.endswith("-api")]


def test_an_update_never_takes_before_it_gives(rendered: Rendered) -> None:
    """A new pod must be ready before an old one is ended; if the order matters, there are never two."""
    manifests = rendered("pools")
    strategies = {each["metadata"]["name"]: each["spec"]["strategy"] for each in kinds(manifests, "Deployment")}

    assert strategies.pop("clock-clocksvc-worker-ingest") == {"type": "Recreate"}
    assert set(strategies) > {
        "clock-clocksvc-api",
        "clock-clocksvc-beat-heartbeats",
        "clock-clocksvc-worker-heartbeats",
    }
    for strategy in strategies.values():
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_there_are_two_of_everything(rendered: Rendered) -> None:
    """Of the service, of the beats that send heartbeats, of the workers that put them; one may be evicted at a time."""
    manifests = rendered("smallest")
    for name in ("api", "beat-heartbeats", "worker-heartbeats"):
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
