"""Whether Kubernetes accepts a manifest: by its schemas and those of custom resources, without unknown fields."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from kubernetes_validate.utils import all_versions
from referencing import Registry, Resource

from tests.system.ops.chart.rendering import Manifest

OLDEST, NEWEST = all_versions()[0], all_versions()[-1]
_CUSTOM = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules", "HTTPRoute": "httproutes"}


class NotTaken(AssertionError):
    """Kubernetes would reject the manifest, or does not know one of its fields."""


def validate(manifest: Manifest, version: str) -> None:
    """Raises NotTaken for what that version of Kubernetes would reject."""
    error = jsonschema.exceptions.best_match(
        _judge(manifest["kind"], manifest["apiVersion"], version).iter_errors(manifest)
    )
    if error is not None:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        raise NotTaken(f"{name}: {error.json_path}: {error.message[:300]}")


@cache
def _judge(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    if kind in _CUSTOM:
        return jsonschema.Draft202012Validator(_custom(_CUSTOM[kind]))
    # without the domain of its group: networking.k8s.io/v1 is networking-v1
    group, _, number = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    return jsonschema.Draft202012Validator(_read(version, f"{name}.json"), registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    resource: Resource[Any] = Resource.from_contents(_read(version, "_definitions.json"))
    registry: Registry[Any] = resource @ Registry()
    return registry


def _read(version: str, name: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    schema = json.loads((folder / name).read_text(encoding="utf-8"))
    # the schemas refer to each other by Kubernetes' own site
    return schema | {"$id": f"https://kubernetes.io/api/{name}"}


@cache
def _custom(plural: str) -> dict[str, Any]:
    file = Path(__file__).parent / "crds" / f"{plural}.yaml"
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    schema: dict[str, Any] = _closed(version["schema"]["openAPIV3Schema"])
    return schema


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed
