"""Objects on the API server: where each kind is stored, whether it is accepted, and what is stored."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.system.ops.cluster.server import Answer, Cluster
from tests.waiting import eventually

Manifest = dict[str, Any]
Key = tuple[str, str]
NAMESPACE = "clocks"
_CRDS = Path(__file__).resolve().parent.parent / "chart" / "crds"


class Wrong(AssertionError):
    """The API server did not do what the chart promises."""


def prepare(cluster: Cluster) -> None:
    """The custom resources, and a namespace that accepts only restricted pods and warns of others."""
    for file in sorted(_CRDS.glob("*.yaml")):
        definition = yaml.safe_load(file.read_text(encoding="utf-8"))
        _taken(cluster.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition), file.name)
    for file in sorted(_CRDS.glob("*.yaml")):
        definition = yaml.safe_load(file.read_text(encoding="utf-8"))
        path = f"/apis/{definition['spec']['group']}/v1/{definition['spec']['names']['plural']}"

        def served(path: str = path) -> bool:
            return cluster.ask("GET", path).status == 200

        eventually(served, within=30, what=f"{file.name} to be served")
    enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    metadata = {"name": NAMESPACE, "labels": enforced}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    _taken(cluster.ask("POST", "/api/v1/namespaces", space), "the namespace")
    for name in ("clock-clocksvc", "clock-timekeeper", "clock", "default"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        _taken(cluster.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account), f"account {name}")


def forget_accounts(cluster: Cluster) -> None:
    """The objects that only the pods of `try_out` needed: a release makes its own."""
    for name in ("clock-clocksvc", "clock-timekeeper", "clock"):
        cluster.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{name}")


def try_out(cluster: Cluster, manifests: Iterable[Manifest]) -> int:
    """How many are accepted, without being stored. Raises Wrong for one that is rejected, or that the server warns
    of."""
    count = 0
    for manifest in manifests:
        if (manifest["kind"], manifest["metadata"]["name"]) == ("ServiceAccount", "clock-clocksvc"):
            continue  # it exists, for the pods
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        _taken(cluster.ask("POST", _path(manifest), manifest, dryRun="All", fieldValidation="Strict"), name)
        count += 1
    return count


def live(cluster: Cluster, keys: Iterable[Manifest]) -> dict[Key, Manifest]:
    """The stored ones of these objects, by kind and name."""
    found = {}
    for manifest in keys:
        answer = cluster.ask("GET", f"{_path(manifest)}/{manifest['metadata']['name']}")
        if answer.status == 200:
            found[manifest["kind"], manifest["metadata"]["name"]] = answer.body
    return found


def check_live(cluster: Cluster, manifests: Iterable[Manifest]) -> dict[Key, Manifest]:
    """The stored objects. Raises Wrong unless each of these is stored with all its fields."""
    wanted = [one for one in manifests if "helm.sh/hook" not in one["metadata"].get("annotations", {})]
    found = live(cluster, wanted)
    for manifest in wanted:
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key not in found:
            raise Wrong(f"{key} is not there")
        missed = _missed(manifest, found[key])
        if missed:
            raise Wrong(f"{key} is there, but not its {missed}")
    return found


def _missed(wanted: Any, found: Any, path: str = "") -> str:
    """The first path at which the server has another value. Fields that it adds are no difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return next((miss for name in wanted if (miss := _missed(wanted[name], found.get(name), f"{path}.{name}"))), "")
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return next((miss for n, (a, b) in pairs if (miss := _missed(a, b, f"{path}[{n}]"))), "")
    same = wanted == found or (not wanted and not found)
    return "" if same else f"{path} (wanted {wanted!r}, found {found!r})"


def _path(manifest: Manifest) -> str:
    version, kind = manifest["apiVersion"], manifest["kind"].lower()
    plural = {"networkpolicy": "networkpolicies", "ingress": "ingresses"}.get(kind, f"{kind}s")
    return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{NAMESPACE}/{plural}"


def _taken(answer: Answer, what: str) -> None:
    if answer.status not in (200, 201):
        raise Wrong(f"{what} is refused: {answer.body.get('message', answer.status)}")
    if answer.warnings:
        raise Wrong(f"{what} is warned of: {'; '.join(answer.warnings)}")
