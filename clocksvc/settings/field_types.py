"""The type of the field at a path of the configuration.

A kind is a type annotation without its validators and its "or None". Must not look at values.
"""

import types
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import SecretStr

from clocksvc.settings.fields import Path, Section
from clocksvc.settings.kafka import KafkaSettings, is_secret
from clocksvc.settings.models import Settings

Kind: TypeAlias = Any


def kind_at(path: Path) -> Kind:
    """The kind of value at `path`; None if there is no such field."""
    kind: Kind = Settings
    for segment in path:
        kind = child(kind, segment)
    return kind


def child(kind: Kind, segment: object) -> Kind:
    """The kind of value under `segment` of a section, list or mapping of this kind."""
    if kind is KafkaSettings:
        return SecretStr if isinstance(segment, str) and is_secret(segment) else str
    if is_section(kind):
        return unwrap(kind.model_fields[segment].annotation) if segment in field_names(kind) else None
    if is_list(kind) and isinstance(segment, int):
        return unwrap(get_args(kind)[0])
    if is_mapping(kind):
        return unwrap(get_args(kind)[1])
    return None


def unwrap(annotation: Kind) -> Kind:
    """The annotation without its validators and its "or None"."""
    origin = origin_of(annotation)
    if origin is Annotated:
        return unwrap(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        (only,) = (option for option in get_args(annotation) if option is not type(None))
        return unwrap(only)
    return annotation


def may_be_null(section: Kind, name: object) -> bool:
    """Whether `section` has a field of this name that may be null."""
    if not is_section(section) or name not in field_names(section):
        return False
    return type(None) in get_args(section.model_fields[name].annotation)


def field_names(section: Kind) -> list[str]:
    """The fields of a section that a user may set."""
    return [name for name, field in section.model_fields.items() if not field.exclude]


def is_section(kind: Kind) -> bool:
    """Whether the kind is a fixed set of fields."""
    return isinstance(kind, type) and issubclass(kind, Section)


def is_list(kind: Kind) -> bool:
    """Whether the kind is a list."""
    return origin_of(kind) is tuple


def is_mapping(kind: Kind) -> bool:
    """Whether the kind is a mapping with the user's own keys, such as the clocks."""
    return origin_of(kind) is dict


def origin_of(kind: Kind) -> object:
    """`get_origin`, whose result mypy takes for a ParamSpec."""
    return get_origin(kind)
