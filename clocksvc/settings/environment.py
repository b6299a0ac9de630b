"""Settings from environment variables: `CLOCKSVC_REDIS__URL` sets `redis.url`.

Must not read `os.environ`. The variables are an argument. The sections validate the values.

pydantic-settings can't be used: it does not support names with dots or dashes, or list elements by number. It ignores
unknown variables, does not report which variable sets a field, and stops at the first value that it can't parse.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from clocksvc.settings.document import InvalidYaml, read_yaml
from clocksvc.settings.field_types import (
    FieldType,
    child,
    field_names,
    is_list,
    is_mapping,
    is_scalar,
    is_section,
    may_be_null,
    type_at,
)
from clocksvc.settings.fields import FieldPath, suggestion
from clocksvc.settings.kafka import KafkaSettings, setting_for_variable
from clocksvc.settings.models import Settings
from clocksvc.settings.problems import Problems

PREFIX = "CLOCKSVC_"
NOT_SETTINGS = frozenset(
    {"CLOCKSVC_CONFIG", "CLOCKSVC_URL", "CLOCKSVC_TOKEN", "CLOCKSVC_DEV_CACHE", "CLOCKSVC_OUTBOX_DSN"}
)
# Variables that Kubernetes sets in every pod for a service whose name begins with clocksvc.
_INJECTED = re.compile(r"CLOCKSVC_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_INJECTED_PORT = re.compile(r"CLOCKSVC_(?:\w+_)?PORT")
_INJECTED_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")


def variables_by_path(environ: Mapping[str, str], data: object, problems: Problems) -> dict[FieldPath, str]:
    """Return the variable that sets each path.

    A variable with the prefix CLOCKSVC_ that does not set a field is added to `problems`.

    Args:
        data: the content of the file, for the names of the clocks in it.
    """
    found: dict[FieldPath, str] = {}
    for variable in sorted(environ, key=lambda name: [(len(part), part) for part in name.split("__")]):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
            continue
        segments = variable.removeprefix(PREFIX).split("__")
        if segments[0].lower() not in field_names(Settings):
            if not _is_injected(variable, environ[variable]):
                problems.add_text(f"{variable}: unknown variable{suggestion(variable, _all_variables())}")
            continue
        path = _path(segments, data)
        if path is None:
            problems.add_text(f"{variable}: unknown variable: {_explain_unknown(segments)}")
        elif path in found:
            problems.add_text(f"{variable}: {found[path]} sets the same field. Remove one of the two variables")
        else:
            found[path] = variable
    return found


def apply_environment(
    data: object, found: Mapping[FieldPath, str], environ: Mapping[str, str], problems: Problems
) -> object:
    """Return a copy of `data`, the content of the file, with the values of the variables.

    Args:
        found: the variable that sets each path.
    """
    file_clocks = get(data, ("clocks",))
    for path, variable in found.items():
        other = _secret_counterpart(path)
        if other is not None and other not in found:
            data = remove(data, other)
        try:
            data = put(data, path, _value(path, environ[variable]))
        except IndexGap as error:
            problems.add_text(f"{variable}: {error}")
        except InvalidYaml as error:
            problems.add_text(f"{variable}: not valid YAML: {error}")
        if path[0] == "clocks" and len(path) > 1 and isinstance(file_clocks, dict) and path[1] not in file_clocks:
            known = [name for name in file_clocks if isinstance(name, str)]
            text = f" (the file has no clock {path[1]!r}; {variable} adds it{suggestion(str(path[1]), known)})"
            problems.add_hint(path[:2], text)
    return data


def _is_injected(variable: str, value: str) -> bool:
    if _INJECTED.fullmatch(variable):
        return True
    return _INJECTED_PORT.fullmatch(variable) is not None and _INJECTED_ADDRESS.match(value) is not None


def _path(segments: list[str], data: object) -> FieldPath | None:
    """Return the path of the field that a variable sets; None if there is no such field."""
    path: FieldPath = ()
    field_type: FieldType = Settings
    for segment in segments:
        name = _segment(field_type, segment, get(data, path))
        if name is None:
            return None
        path, field_type = (*path, name), child(field_type, name)
    return path


def _segment(field_type: FieldType, segment: str, here: object) -> str | int | None:
    if field_type is KafkaSettings:
        return setting_for_variable(segment)
    if is_section(field_type):
        return segment.lower()
    if is_list(field_type):
        return int(segment) if re.fullmatch(r"[0-9]{1,4}", segment) else None
    if is_mapping(field_type):
        return _mapping_key(segment, here)
    return None


def _mapping_key(segment: str, clocks: object) -> str:
    wanted = segment.lower().replace("_", "-")
    existing = [name for name in clocks if isinstance(name, str)] if isinstance(clocks, dict) else []
    return next((name for name in existing if name.lower().replace("_", "-") == wanted), wanted)


def _explain_unknown(segments: list[str]) -> str:
    for length in range(len(segments), 0, -1):
        path = _path(segments[:length], {})
        if path is not None:
            known = f"{PREFIX}{'__'.join(segments[:length])}"
            return f"wanted a number, from 0, after {known}" if is_list(type_at(path)) else f"{known} has no fields"
    return "no such field"


def _value(path: FieldPath, text: str) -> Any:
    field_type, section = type_at(path), type_at(path[:-1])
    if text.strip() in ("", "null") and may_be_null(section, path[-1]):
        return None
    if is_list(field_type) and not text.lstrip().startswith("["):
        return text if _accepts_all(path) and text == "all" else _parse_list(path, text)
    return text if is_scalar(field_type) else read_yaml(text)


def _parse_list(path: FieldPath, text: str) -> Any:
    if is_section(child(type_at(path), 0)) and not _accepts_names(path):
        return read_yaml(text)
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _accepts_all(path: FieldPath) -> bool:
    return path[:2] == ("api", "tokens") and path[-1] == "clocks"


def _accepts_names(path: FieldPath) -> bool:
    return path[0] == "clocks" and path[-1] == "after"


def _secret_counterpart(path: FieldPath) -> FieldPath | None:
    """Return the path of `password` for `password_file`, and vice versa. A variable for one overrides both."""
    last = path[-1]
    if not isinstance(last, str) or len(path) < 2:
        return None
    return (*path[:-1], last.removesuffix("_file") if last.endswith("_file") else f"{last}_file")


def _all_variables() -> Iterator[str]:
    for section, field in Settings.model_fields.items():
        yield f"{PREFIX}{section.upper()}"
        field_type = field.annotation
        for name in field_names(field_type) if is_section(field_type) else []:
            yield f"{PREFIX}{section.upper()}__{name.upper()}"
    yield f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS"
    yield from NOT_SETTINGS


class IndexGap(ValueError):
    """An index is beyond the end of a list."""


def get(data: object, path: FieldPath) -> Any:
    """Return the value at `path`; None if there is no value."""
    for segment in path:
        if isinstance(data, dict):
            data = data.get(segment)
        elif isinstance(data, list) and isinstance(segment, int) and segment < len(data):
            data = data[segment]
        else:
            return None
    return data


def put(data: object, path: FieldPath, value: object) -> object:
    """Return a copy of `data` with `value` at `path`. Missing mappings and lists on the path are created.

    If there is a scalar on the path, the copy does not contain `value`. Validation rejects the scalar later.

    Raises:
        IndexGap: an index is beyond the end of a list.
    """
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int) and (data is None or isinstance(data, list)):
        items = list(data or [])
        if head > len(items):
            raise IndexGap(
                f"wanted an index from 0 to {len(items)}: the list has {len(items)} elements, the next index appends"
            )
        return [*items[:head], put(items[head] if head < len(items) else None, rest, value), *items[head + 1 :]]
    if isinstance(head, str) and (data is None or isinstance(data, dict)):
        mapping = data or {}
        return {**mapping, head: put(mapping.get(head), rest, value)}
    return data


def remove(data: object, path: FieldPath) -> object:
    """Return a copy of `data` without the key at the end of `path`."""
    parent = get(data, path[:-1])
    if not isinstance(parent, dict) or path[-1] not in parent:
        return data
    return put(data, path[:-1], {key: value for key, value in parent.items() if key != path[-1]})
