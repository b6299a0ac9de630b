"""Lists in sentences for people: the first few items, then how many more there are."""

from collections.abc import Sequence

MAX_NAMED = 5
"""The number of items that a sentence names, unless it says otherwise."""


def name_some(items: Sequence[object], limit: int = MAX_NAMED, separator: str = ", ") -> str:
    """`a, b, c and 3 more`: the first `limit` items, then the number of the others."""
    more = len(items) - limit
    return separator.join(str(item) for item in items[:limit]) + (f" and {more} more" if more > 0 else "")
