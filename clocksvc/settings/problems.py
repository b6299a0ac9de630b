"""Collects all problems of a configuration with their full paths, so that one error shows them all.

Must not show a secret. The values of secrets and of unknown fields are never shown. Other values are shortened.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from clocksvc.clock.partition import MAX_NAMED, name_first
from clocksvc.errors import SettingsError
from clocksvc.redaction import without_password
from clocksvc.settings.field_types import child, field_names, is_list, is_scalar, is_section, type_at
from clocksvc.settings.fields import NO_VALUE, FieldErrors, FieldPath, suggestion

_REASONS = {
    "string_type": "wanted text",
    "bytes_type": "wanted text",
    "string_unicode": "wanted text",
    "string_too_short": "wanted text that is not empty",
    "string_too_long": "wanted a shorter text",
    "int_type": "wanted a whole number",
    "int_parsing": "wanted a whole number",
    "int_parsing_size": "wanted a smaller number",
    "bool_type": "wanted true or false",
    "bool_parsing": "wanted true or false",
    "tuple_type": "wanted a list",
    "dict_type": "wanted fields, or nothing",
    "model_type": "wanted fields, or nothing",
}
_LONGEST = 100


class Problems:
    """The problems found so far.

    Attributes:
        reported: the paths whose problems were added. Later problems there are ignored.

    Args:
        origins: the environment variable that sets each path.
    """

    def __init__(self, origins: Mapping[FieldPath, str]) -> None:
        self._origins = origins
        self._found: list[tuple[FieldPath, str]] = []
        self.reported: set[FieldPath] = set()
        self._hints: dict[FieldPath, str] = {}

    def add(self, path: FieldPath, reason: str, value: object = NO_VALUE) -> None:
        """Add a problem, unless the path is marked as reported."""
        if path in self.reported:
            return
        hint = next((self._hints[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._hints), "")
        shown = "" if value is NO_VALUE else f"{_shown(path, value)} is not valid: "
        self._found.append((path, f"{self._name(path)}: {shown}{reason}{hint}"))

    def add_text(self, text: str) -> None:
        """Add a problem that has no path."""
        self._found.append(((), text))

    def mark_reported(self, path: FieldPath) -> None:
        """Ignore later problems at `path`, because they are a consequence of a problem that was added before."""
        self.reported.add(path)

    def add_hint(self, path: FieldPath, text: str) -> None:
        """Append `text` to every later problem at `path` or below it. A hint at a longer path has precedence."""
        self._hints[path] = text

    def add_validation_error(self, error: ValidationError) -> list[tuple[FieldPath, bool]]:
        """Add all errors that pydantic has found in the sections, and mark their paths as reported.

        Returns:
            The path of each error, and whether it was not reported before.
        """
        paths = []
        for detail in error.errors(include_url=False):
            paths += self._add_details(detail["loc"], detail["type"], detail["input"], detail.get("ctx", {}))
        new = [(path, path not in self.reported) for path in paths]
        self.reported.update(paths)
        return new

    def raise_if_any(self, source: str | None, data: object) -> None:
        """Raise SettingsError if there are problems. They have the order of the fields in `data`, the configuration.

        The same problem of a field of more than `MAX_NAMED` clocks is one text.
        """
        if self._found:
            found = sorted(self._found, key=lambda one: _position(one[0], data))
            raise SettingsError(list(_grouped(found)), source)

    def _add_details(
        self, path: FieldPath, error_type: str, value: object, context: Mapping[str, Any]
    ) -> list[FieldPath]:
        """Add one error of pydantic, and return the paths to which its problems belong."""
        error = context.get("error")
        if isinstance(error, FieldErrors):
            for field_error in error.errors:
                self.add(path + field_error.path, field_error.reason, field_error.value)
            return [path + field_error.path for field_error in error.errors]
        if error_type == "missing":
            self.add(path, f"missing: wanted {_description(path)}")
        elif error_type == "extra_forbidden":
            self.add(path, _unknown(path))
        elif error_type in ("literal_error", "enum"):
            self.add(path, f"wanted {context['expected']}", value)
        elif isinstance(error, ValueError):
            self.add(path, str(error), value)
        else:
            quotes = ": put it in quotes" if error_type == "string_type" and _is_number_or_date(value) else ""
            self.add(path, _REASONS.get(error_type, f"wanted another value ({error_type})") + quotes, value)
        return [path]

    def _name(self, path: FieldPath) -> str:
        name = ".".join(_clipped(str(segment)) for segment in path) or "the configuration"
        variable = next((self._origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._origins), None)
        return f"{name} ({variable})" if variable else name


def _grouped(found: Iterable[tuple[FieldPath, str]]) -> Iterator[str]:
    """Yield the texts of problems. More than `MAX_NAMED` clocks with the same problem get one text.

    Args:
        found: the path and the text of each problem.
    """
    groups: dict[tuple[FieldPath, str], list[tuple[FieldPath, str]]] = {}
    for path, text in found:
        of_a_clock = len(path) > 2 and path[0] == "clocks"
        key = (path[2:], text.replace(f"clocks.{path[1]}.", "", 1)) if of_a_clock else (path, text)
        groups.setdefault(key, []).append((path, text))
    for members in groups.values():
        clocks = [path[1] for path, _ in members if len(path) > 2]
        if len(clocks) > MAX_NAMED:
            more = clocks[1:]
            yield f"{members[0][1]} (the same in {len(more):,} more clocks: {name_first(more)})"
        else:
            yield from (text for _, text in members)


def _position(path: FieldPath, data: Any) -> list[int]:
    """Return a sort key: the position of each segment among the fields of its section, or else in the data."""
    key, here, field_type = [], data, type_at(())
    for segment in path:
        known = field_names(field_type) if is_section(field_type) else list(here) if isinstance(here, dict) else []
        names = [str(name) for name in known]
        key.append(segment if isinstance(segment, int) else names.index(segment) if segment in names else len(names))
        here = here.get(segment) if isinstance(here, dict) else here[segment] if _has(here, segment) else None
        field_type = child(field_type, segment)
    return key


def _has(items: object, index: object) -> bool:
    return isinstance(items, list) and isinstance(index, int) and index < len(items)


def _unknown(path: FieldPath) -> str:
    if path[-1] in field_names(type_at(())):
        return f"unknown field: {path[-1]!r} is a section of its own, at the top level"
    known = field_names(type_at(path[:-1])) if is_section(type_at(path[:-1])) else []
    return "unknown field" + (suggestion(str(path[-1]), known) or f": wanted one of {', '.join(known)}")


def _description(path: FieldPath) -> str:
    section = type_at(path[:-1])
    return str(section.model_fields[path[-1]].description) if is_section(section) else "a value"


def _shown(path: FieldPath, value: object) -> str:
    field_type = type_at(path)
    if isinstance(value, SecretStr) or field_type is SecretStr:
        return "the value (not shown)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    showable = is_scalar(field_type) or is_list(field_type)
    if field_type is None or not showable or is_section(child(field_type, 0)):
        return "a list" if isinstance(value, list | tuple) else "the value (not shown)"
    return _clipped(_shown_plainly(value))


def _shown_plainly(value: object) -> str:
    if isinstance(value, str):
        return repr(without_password(value))
    if isinstance(value, list | tuple):
        plain = all(isinstance(item, str) for item in value)
        return repr([without_password(item) for item in value]) if plain else "a list"
    return "a huge number" if isinstance(value, int) and value.bit_length() > _LONGEST else str(value)


def _is_number_or_date(value: object) -> bool:
    return value is not None and not isinstance(value, Iterable)


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
