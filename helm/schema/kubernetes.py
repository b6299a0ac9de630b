"""Kubernetes' own definitions, from the newest schemas of `kubernetes-validate`. So Helm rejects typos in them, too."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import kubernetes_validate

from helm.schema.shapes import Schema

_ROOTS = {
    "Affinity": "core.v1.Affinity",
    "EnvFromSource": "core.v1.EnvFromSource",
    "EnvVar": "core.v1.EnvVar",
    "IngressTLS": "networking.v1.IngressTLS",
    "NetworkPolicyEgressRule": "networking.v1.NetworkPolicyEgressRule",
    "NetworkPolicyPeer": "networking.v1.NetworkPolicyPeer",
    "PodSecurityContext": "core.v1.PodSecurityContext",
    "ResourceRequirements": "core.v1.ResourceRequirements",
    "SecurityContext": "core.v1.SecurityContext",
    "Toleration": "core.v1.Toleration",
    "TopologySpreadConstraint": "core.v1.TopologySpreadConstraint",
    "Volume": "core.v1.Volume",
    "VolumeMount": "core.v1.VolumeMount",
}
_PREFIX = "#/$defs/"


def a(name: str) -> Schema:
    """Return a reference to one of the roots."""
    return {"$ref": f"#/definitions/{_short(f'io.k8s.api.{_ROOTS[name]}')}"}


def definitions() -> dict[str, Schema]:
    """Return the roots and all definitions to which they refer, without descriptions."""
    found: dict[str, Schema] = {}
    waiting = [f"io.k8s.api.{root}" for root in _ROOTS.values()]
    while waiting:
        name = waiting.pop()
        if _short(name) not in found:
            found[_short(name)] = _plain(_every()[name], waiting)
    return dict(sorted(found.items()))


@cache
def _every() -> dict[str, Any]:
    folder = (
        files("kubernetes_validate")
        / "kubernetes-json-schema"
        / f"v{kubernetes_validate.latest_version()}-local-strict"
    )
    whole: dict[str, Any] = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    every: dict[str, Any] = whole["$defs"]
    return every


def _plain(schema: Any, waiting: list[str], *, names: bool = False) -> Any:
    """Return the schema without descriptions and extensions. Fields that have these names are kept.

    Adds the definitions to which the schema refers to `waiting`.
    """
    if isinstance(schema, list):
        return [_plain(one, waiting) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and not names:
        waiting.append(schema["$ref"].removeprefix(_PREFIX))
        return {"$ref": f"#/definitions/{_short(waiting[-1])}"}
    return {
        key: _plain(value, waiting, names=key == "properties" and not names)
        for key, value in schema.items()
        if names or not (key in ("description", "default", "format") or key.startswith("x-"))
    }


def _short(name: str) -> str:
    return name.removeprefix("io.k8s.api.").removeprefix("io.k8s.apimachinery.pkg.")
