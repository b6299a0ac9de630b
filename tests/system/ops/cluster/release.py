"""A release of the chart by helm: installed, upgraded, rolled back, rejected, uninstalled; each step is checked."""

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.ops.chart.rendering import CHART, Helm, Manifest
from tests.system.ops.chart.value_sets import EVERY_OBJECT, MATRIX, POOLS, SECURED, with_values
from tests.system.ops.cluster.objects import NAMESPACE, Key, Wrong, check_live, live
from tests.system.ops.cluster.server import Cluster

_WITHIN_S = 120
FIRST = with_values(EVERY_OBJECT, POOLS)
SECOND = with_values(
    EVERY_OBJECT,
    SECURED,
    {"config": {"clocks": {"checkins": {"interval": "5m"}}}},
    {"workers": {"billing": {"queues": ["billing"]}}, "ingress": {"enabled": False}},
)
"""Another configuration, one pool removed, one added, no Ingress."""


@dataclass(frozen=True)
class Releases:
    """helm on this cluster."""

    helm: Path
    cluster: Cluster
    version: str

    def installed(self) -> list[Manifest]:
        """The first step."""
        self._helm(FIRST, "install")
        return self._looked_at(FIRST, "installed")

    def upgraded(self, before: list[Manifest]) -> None:
        """The second step: what changed is different, the rest is the same, removed objects are gone."""
        old = live(self.cluster, before)
        self._helm(SECOND, "upgrade")
        after = self._looked_at(SECOND, "upgraded")
        new = live(self.cluster, after)
        rendered_old, rendered_new = _by_key(before), _by_key(after)
        changed = {key for key in rendered_old.keys() & rendered_new.keys() if rendered_old[key] != rendered_new[key]}
        touched = {key for key in old.keys() & new.keys() if _version(old[key]) != _version(new[key])}
        if touched != changed:
            raise Wrong(f"upgrade: wanted {sorted(changed)} to change, found {sorted(touched)}")
        gone = [one for key, one in rendered_old.items() if key not in rendered_new]
        if left := live(self.cluster, gone):
            raise Wrong(f"upgrade: {sorted(left)} is still there")
        added = rendered_new.keys() - rendered_old.keys()
        print(f"upgrade: {len(changed)} objects changed, {len(gone)} gone, {len(added)} new, others untouched")

    def rolled_back(self, first: list[Manifest]) -> None:
        """The third step: everything is as it was first."""
        self._helm(None, "rollback", "1")
        check_live(self.cluster, first)
        new = [one for key, one in _by_key(self._rendered(SECOND)).items() if key not in _by_key(first)]
        if left := live(self.cluster, new):
            raise Wrong(f"rollback: {sorted(left)} is still there")
        print("rollback: every object as installed first")

    def refused(self, first: list[Manifest]) -> None:
        """The fourth step: an upgrade with a typo changes nothing."""
        try:
            self._helm(with_values(FIRST, {"config": {"redis": {"perfix": "x"}}}), "upgrade")
        except Wrong:
            check_live(self.cluster, first)
            print("upgrade with a typo: refused, nothing changed")
        else:
            raise Wrong("an upgrade with a typo was taken")

    def taken_away(self, first: list[Manifest]) -> None:
        """The last step: no object is left."""
        self._helm(None, "uninstall")
        if left := live(self.cluster, first):
            raise Wrong(f"uninstall: {sorted(left)} is still there")
        print("uninstall: nothing left")

    def matrix(self) -> dict[str, list[Manifest]]:
        """All manifests for this version, by the name of the values."""
        return {name: self._render(values) for name, values in MATRIX.items()}

    def _looked_at(self, values: Mapping[str, Any], what: str) -> list[Manifest]:
        manifests = self._rendered(values)
        found = check_live(self.cluster, manifests)
        print(f"{what}: {len(found)} objects, each with all that the chart says; helm keeps {self._kept()} bytes of it")
        return manifests

    def _rendered(self, values: Mapping[str, Any]) -> list[Manifest]:
        every = self._render(values)
        return [one for one in every if "helm.sh/hook" not in one["metadata"].get("annotations", {})]

    def _render(self, values: Mapping[str, Any]) -> list[Manifest]:
        return Helm(self.helm).template(values, "--kube-version", self.version)

    def _kept(self) -> int:
        answer = self.cluster.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets", labelSelector="owner%3Dhelm")
        return max(len(secret["data"]["release"]) for secret in answer.body["items"])

    def _helm(self, values: Mapping[str, Any] | None, verb: str, *arguments: str) -> None:
        command: list[Any] = [self.helm, verb, "clock", *([str(CHART)] if verb in ("install", "upgrade") else [])]
        command += [*arguments, "--namespace", NAMESPACE, "--kubeconfig", self.cluster.kubeconfig()]
        if values is not None:
            command += ["--values", "-"]
        began = time.monotonic()
        given = json.dumps(values) if values is not None else ""
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
        if done.returncode:
            raise Wrong(f"helm {verb}: {done.stderr.strip()}")
        if "arning" in done.stderr:
            raise Wrong(f"helm {verb} warns: {done.stderr.strip()}")
        print(f"helm {verb}: {time.monotonic() - began:.1f} s", flush=True)


def _by_key(manifests: list[Manifest]) -> dict[Key, Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests}


def _version(manifest: Manifest) -> str:
    version: str = manifest["metadata"]["resourceVersion"]
    return version
