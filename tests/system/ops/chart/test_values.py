"""values.yaml and values.schema.json match the code: every setting, its default, and a comment."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, SecretStr

from clocksvc.clock.time_format import parse_duration
from clocksvc.settings import Settings
from helm.schema.written import FILE, text
from tests.system.ops.chart.rendering import CHART
from tests.system.ops.chart.value_sets import shown

VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
OTHER_IN_A_CLUSTER = {"api.host": "0.0.0.0", "redis.url": None}
"""Defaults that no pod could use are replaced, or missing."""


def _settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, field) of every field that a user can write; entries of lists and maps have no name."""
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        inner = _model(field.annotation)
        if inner is None or name == "kafka":
            yield f"{path}{name}", field
        else:
            yield from _settings(inner, f"{path}{name}.")


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model(inner))), None)


def _is_secret(field: Any) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation)) or "SecretStr" in str(field.annotation)


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """The paths in some values, without names of clocks and namespaces and list positions."""
    yield path
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            named = path == "" and name in ("clocks", "namespaces")
            for one in inner.values() if named else [inner]:
                yield from _paths(one, f"{path}.{name}".lstrip("."))


SETTINGS = list(_settings(Settings))


@cache
def _shown() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(shown(VALUES))
    return values


@pytest.mark.parametrize(("path", "field"), SETTINGS)
def test_every_setting_is_in_the_values(path: str, field: Any) -> None:
    """Under `config`, or under `secrets` if it is a secret: a new setting must be added here. The token of an upstream
    clock is in a file of a volume."""
    where = "secrets" if _is_secret(field) and path not in ("kafka", "clocks.after.token") else "config"
    wanted = {"api.tokens.token": "tokens", "clocks.after.token": "clocks.after.token_file"}.get(path, path)

    missed = [] if wanted in set(_paths(_shown()[where])) else [f"{where}.{wanted}"]
    assert missed == []


@pytest.mark.parametrize(("path", "field"), SETTINGS)
def test_every_setting_is_documented_beside_it(path: str, field: Any) -> None:
    """The line above it, or above its example, describes it."""
    if _is_secret(field) and path not in ("redis.url", "celery.broker_url"):
        return
    section, name = path.partition(".")[0], path.rpartition(".")[2]
    lines = VALUES[VALUES.index(f"\n  {section}:") :].splitlines()[1:] if "." in path else VALUES.splitlines()
    places = [number for number, line in enumerate(lines) if re.match(rf" *(# )?(- )?{name}:", line)]

    assert any(lines[place - 1].lstrip().startswith("## ") for place in places)


@pytest.mark.parametrize(("path", "field"), SETTINGS)
def test_defaults_are_the_codes(path: str, field: Any) -> None:
    """A value that values.yaml sets is the code's default."""
    if _is_secret(field) and path != "redis.url":
        return
    here: Any = yaml.safe_load(VALUES)["config"]
    for name in path.split("."):
        if not isinstance(here, dict) or name not in here:
            return
        here = here[name]
    default = field.get_default(call_default_factory=True)
    if path in OTHER_IN_A_CLUSTER:
        assert here == OTHER_IN_A_CLUSTER[path]
        assert here != default
    elif path == "kafka":
        assert here == {"bootstrap.servers": None}
    else:
        written = parse_duration(here) if isinstance(here, str) and isinstance(default, int) else here
        assert written == (list(default) if isinstance(default, tuple) else default)


def test_the_schema_is_not_stale() -> None:
    """`python -m helm.schema` would write the same."""
    assert FILE.read_text(encoding="utf-8") == text()


def test_every_example_in_the_values_is_valid() -> None:
    """The schema accepts values.yaml with all examples."""
    jsonschema.Draft7Validator(json.loads(text())).validate(_shown())


def test_every_object_of_the_schema_is_closed() -> None:
    """Each object lists its fields, or the schema of the values under names of the user's; only `global` is open."""
    open_ones = [path for path, one in _objects(json.loads(text())) if "additionalProperties" not in one]

    assert set(open_ones) <= {"/properties/global", *KUBERNETES_OWN}


KUBERNETES_OWN = {
    "/definitions/apis.meta.v1.FieldsV1",
    "/definitions/runtime.RawExtension",
}
"""They are open in Kubernetes' own schemas too."""


def _objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            yield from _objects(one, f"{path}/{number}")
    elif isinstance(schema, dict):
        if "object" in (schema.get("type"), *(schema["type"] if isinstance(schema.get("type"), list) else [])):
            yield path, schema
        for name, one in schema.items():
            yield from _objects(one, f"{path}/{name}")
