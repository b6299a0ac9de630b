"""Getting and putting a value at a path in plain nested data, without changing the data given.

Must not know what the data mean.
"""

from typing import Any

from clocksvc.settings.fields import Path


class NoSuchPlace(ValueError):
    """A list's index that leaves a gap."""


def get(data: object, path: Path) -> Any:
    """The value at `path`; None where there is nothing."""
    for segment in path:
        if isinstance(data, dict):
            data = data.get(segment)
        elif isinstance(data, list) and isinstance(segment, int) and segment < len(data):
            data = data[segment]
        else:
            return None
    return data


def put(data: object, path: Path, value: object) -> object:
    """A copy of `data` with `value` at `path`, mappings and lists on the way made where nothing is.

    What stands in the way and is neither stays: whoever checks the data refuses it.

    Raises:
        NoSuchPlace: for an index beyond a list's end.
    """
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int) and (data is None or isinstance(data, list)):
        items = list(data or [])
        if head > len(items):
            raise NoSuchPlace(f"wanted an index of at most {len(items)}, the list's next")
        return [*items[:head], put(items[head] if head < len(items) else None, rest, value), *items[head + 1 :]]
    if isinstance(head, str) and (data is None or isinstance(data, dict)):
        mapping = data or {}
        return {**mapping, head: put(mapping.get(head), rest, value)}
    return data


def without(data: object, path: Path) -> object:
    """A copy of `data` with nothing at `path`, whose last segment is a mapping's key."""
    parent = get(data, path[:-1])
    if not isinstance(parent, dict) or path[-1] not in parent:
        return data
    return put(data, path[:-1], {key: value for key, value in parent.items() if key != path[-1]})
