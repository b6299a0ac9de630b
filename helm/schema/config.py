"""The schema of `config` and `secrets`: fields and types of `clocksvc.settings`, and descriptions from its document."""

import re
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import BeforeValidator, SecretStr

from clocksvc.clock.spec import Source
from clocksvc.clock.time_format import parse_duration, parse_whole_seconds
from clocksvc.interfaces.checkpoints import checkpoint_topic
from clocksvc.interfaces.schedule_topics import MAX_PARTITIONS
from clocksvc.settings import Settings
from clocksvc.settings.field_types import field_names, is_list, is_mapping, is_scalar, is_section, origin_of, unwrap
from clocksvc.settings.kafka import KNOWN_SETTINGS, TOPIC_IDS, KafkaSettings, forbidden_reason, is_secret
from helm.schema.shapes import PORT, SWITCH, TEXT, Schema, closed, listed, named, or_null

_DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "configuration.md"
_DURATION: Schema = {
    "anyOf": [{"type": "string", "pattern": "^[0-9]+([.][0-9]+)? ?(ms|s|m|h|d)?$"}, {"type": "number", "minimum": 0}]
}
_CLOCK: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
_TOKEN: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}$"}
_URLS: dict[str, Schema] = {
    "redis.url": {"type": "string", "pattern": "^rediss?://([^:/@]*@)?[^/@]+(/[0-9]*)?$"},
    "celery.broker_url": {
        "type": "string",
        "pattern": "^[a-z0-9+]+://([^:/@]*@)?[^@]*$",
        "not": {"type": "string", "pattern": "password="},
    },
}
"""Secret settings that may be in a ConfigMap if they contain no password."""
_TOPIC = "^[A-Za-z0-9._-]{1,%d}$"
_EXPLICIT: dict[str, Schema] = {
    "clocks.<name>.topics": {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "string", "pattern": _TOPIC % 249},
    },
    "clocks.<name>.group": {**TEXT, "minLength": 1},
    "clocks.<name>.source": {"type": "string", "enum": [str(source) for source in Source]},
    "tick_log.topic": {"type": "string", "pattern": _TOPIC % (249 - len(checkpoint_topic("")))},
    "redis.prefix": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
    "redis.sentinel.nodes": {**listed(TEXT), "minItems": 1},
    "api.tokens.<n>.scopes": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "enum": ["read", "report", "schedule", "admin"]},
    },
    "api.port": PORT,
    "scheduler.port": PORT,
    "api.tokens.<n>.clocks": {"anyOf": [{"const": "all"}, listed(TEXT)]},
    "clocks.<name>.tasks.<n>.catch_up": {"type": "string", "enum": ["all", "last"]},
    "clocks.<name>.tasks.<n>.arguments": named({}),
    "clocks.<name>.schedules.partitions": {"type": "integer", "minimum": 1, "maximum": MAX_PARTITIONS},
    "taskbroker.replicas": named({"type": "integer", "minimum": 1}),
}
_UPSTREAMS = "clocks.<name>.after"
"""A list whose items are names or sections."""
_NULL_IS_UNSET = {"redis.url"}
"""Settings whose default is of no use in a cluster. They are null in values.yaml, which means that they must be set."""


def config() -> Schema:
    """Return the schema of all settings except secrets."""
    return _schema_of(Settings, "")


def overrides() -> Schema:
    """Return the schema of the connection settings that beats and workers can override."""
    sections = ("redis", "kafka", "celery")
    return closed({name: {"$ref": f"#/properties/config/properties/{name}"} for name in sections})


def secrets(*, tokens: bool) -> Schema:
    """Return the schema of the references to keys of Kubernetes Secrets, one for every secret setting."""
    key = or_null(closed({"name": {**TEXT, "minLength": 1}, "key": {**TEXT, "minLength": 1}}, ["name", "key"]))
    every: dict[str, Schema] = {
        "redis": closed({"url": key, "password": key, "sentinel": closed({"password": key})}),
        "celery": closed({"broker_url": key}),
        "kafka": closed({name: key for name in sorted(KNOWN_SETTINGS) if is_secret(name)}),
    }
    return closed(every | ({"tokens": named(key, _TOKEN)} if tokens else {}))


def _schema_of(kind: Any, path: str) -> Schema:
    if kind is KafkaSettings:
        return _kafka()
    if is_section(kind):
        return _section(kind, path)
    if is_list(kind):
        item = get_args(kind)[0]
        if path == _UPSTREAMS:
            return listed({"anyOf": [_CLOCK, _schema_of(unwrap(item), f"{path}.<n>")]})
        return listed(_schema_of(unwrap(item), f"{path}.<n>") if is_section(unwrap(item)) else _leaf(item))
    if is_mapping(kind):
        value = unwrap(get_args(kind)[1])
        inner = _schema_of(value, f"{path}.<name>") if is_section(value) else _leaf(value)
        # With null, a values file removes a section that another values file sets.
        return named(or_null(inner) if is_section(value) else inner, _CLOCK if path == "clocks" else None)
    return _leaf(kind)


def _section(kind: Any, path: str) -> Schema:
    fields, required = {}, []
    for name in field_names(kind):
        here, info = f"{path}.{name}".lstrip("."), kind.model_fields[name]
        if unwrap(info.annotation) is SecretStr and here not in _URLS:
            continue
        schema = _URLS.get(here) or _EXPLICIT.get(here)
        if schema is None:
            field_type = unwrap(info.annotation)
            scalar = is_scalar(field_type)
            schema = _leaf(info.annotation, info.metadata) if scalar else _schema_of(field_type, here)
        schema = {**schema, **_description(here)}
        fields[name] = or_null(schema) if type(None) in get_args(info.annotation) or here in _NULL_IS_UNSET else schema
        if info.is_required() and path:
            required.append(name)
    return closed(fields, required)


def _kafka() -> Schema:
    value: Schema = {"type": ["string", "number", "boolean", "null"]}
    plain: dict[str, Schema] = {TOPIC_IDS: {"enum": ["on", "off", True, False, None]}}
    plain |= {
        name: value
        for name in KNOWN_SETTINGS
        if name not in plain and not is_secret(name) and forbidden_reason(name) is None
    }
    files = {f"{name}_file": TEXT for name in KNOWN_SETTINGS if is_secret(name)}
    return closed(dict(sorted((plain | files).items())))


def _leaf(annotation: Any, metadata: Any = ()) -> Schema:
    if {parse_duration, parse_whole_seconds} & set(_validators(annotation, metadata)):
        return _DURATION
    kind = unwrap(annotation)
    if origin_of(kind) is Literal:
        return {"type": "string", "enum": list(get_args(kind))}
    return {bool: SWITCH, int: {"type": "integer"}, float: {"type": "number"}}.get(kind, TEXT)


def _validators(annotation: Any, metadata: Any = ()) -> list[Any]:
    found = [one.func for one in metadata if isinstance(one, BeforeValidator)]
    origin = origin_of(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        return found + _validators(inner, extras)
    if origin in (Union, UnionType):
        return found + [one for option in get_args(annotation) for one in _validators(option)]
    return found


@cache
def _descriptions() -> dict[str, str]:
    rows = re.findall(
        r"^\| `([a-z_.<>]+)` \|[^|]*\|[^|]*\|[^|]*\|([^|]*)\|$", _DOCUMENT.read_text(encoding="utf-8"), re.M
    )
    return {path: meaning.strip() for path, meaning in rows}


def _description(path: str) -> Schema:
    return {"description": _descriptions()[path]} if path in _descriptions() else {}
