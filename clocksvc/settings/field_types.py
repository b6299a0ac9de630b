"""Finds the type of the field at a path of the configuration.

A field type is a type annotation without validators and without `None`. This module must not use values.
"""

import types
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import SecretStr

from clocksvc.settings.fields import FieldPath, Section
from clocksvc.settings.kafka import KafkaSettings, is_secret
from clocksvc.settings.models import Settings

FieldType: TypeAlias = Any


def type_at(path: FieldPath) -> FieldType:
    """Return the type of the field at `path`; None if there is no such field."""
    field_type: FieldType = Settings
    for segment in path:
        field_type = child(field_type, segment)
    return field_type


def child(field_type: FieldType, segment: object) -> FieldType:
    """Return the type of the value at the key `segment` of a section, list or mapping; None if there is none."""
    if field_type is KafkaSettings:
        return SecretStr if isinstance(segment, str) and is_secret(segment) else str
    if is_section(field_type):
        return unwrap(field_type.model_fields[segment].annotation) if segment in field_names(field_type) else None
    if is_list(field_type) and isinstance(segment, int):
        return unwrap(get_args(field_type)[0])
    if is_mapping(field_type):
        return unwrap(get_args(field_type)[1])
    return None


def unwrap(annotation: FieldType) -> FieldType:
    """Return the annotation without validators and without `None`."""
    origin = origin_of(annotation)
    if origin is Annotated:
        return unwrap(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        (only,) = (option for option in get_args(annotation) if option is not type(None))
        return unwrap(only)
    return annotation


def may_be_null(section: FieldType, name: object) -> bool:
    """True if `section` has a field of this name that may be null."""
    if not is_section(section) or name not in field_names(section):
        return False
    return type(None) in get_args(section.model_fields[name].annotation)


def field_names(section: FieldType) -> list[str]:
    """Return the names of the fields of a section that a user may set."""
    return [name for name, field in section.model_fields.items() if not field.exclude]


def is_section(field_type: FieldType) -> bool:
    """True if the type is a fixed set of fields."""
    return isinstance(field_type, type) and issubclass(field_type, Section)


def is_list(field_type: FieldType) -> bool:
    """True if the type is a list."""
    return origin_of(field_type) is tuple


def is_mapping(field_type: FieldType) -> bool:
    """True if the type is a mapping with the user's own keys, such as `clocks`."""
    return origin_of(field_type) is dict


def is_scalar(field_type: FieldType) -> bool:
    """True if the type is a text, a number, true or false, or a duration."""
    nested = is_section(field_type) or is_list(field_type) or is_mapping(field_type)
    return not nested and field_type is not KafkaSettings


def origin_of(field_type: FieldType) -> object:
    """Call `get_origin`. The result has the type object, because mypy assumes a ParamSpec."""
    return get_origin(field_type)
