"""The building blocks of the schema: closed objects, lists, maps, text."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
SWITCH: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$"}
"""The name of a pool or a mount: 1 to 20 characters, so that it fits into object names."""
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}


def closed(fields: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """Return an object that allows only these fields."""
    made: Schema = {"type": "object", "additionalProperties": False, "properties": dict(fields)}
    return made | ({"required": list(required)} if required else {})


def named(value: Schema, name: Schema | None = None) -> Schema:
    """Return an object whose keys the user can choose."""
    made: Schema = {"type": "object", "additionalProperties": value}
    return made | ({"propertyNames": name} if name else {})


def listed(item: Schema) -> Schema:
    """Return a list whose items have this schema."""
    return {"type": "array", "items": item}


def or_null(schema: Schema) -> Schema:
    """Return the schema that also allows null. The description stays at the top level, where editors read it."""
    inner = {key: value for key, value in schema.items() if key != "description"}
    if isinstance(inner.get("type"), str) and "enum" not in inner:
        return {**schema, "type": [inner["type"], "null"]}
    outer = {"description": schema["description"]} if "description" in schema else {}
    return {**outer, "anyOf": [inner, {"type": "null"}]}


def one_of(*values: str) -> Schema:
    """Return a schema that allows only these strings."""
    return {"type": "string", "enum": list(values)}
