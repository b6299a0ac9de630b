"""Lists in messages for people: the first few items, then the number of the others."""

from collections.abc import Sequence

MAX_NAMED = 5


def name_first(items: Sequence[object], separator: str = ", ") -> str:
    """`a, b, c, d, e and 3 more`: at most `MAX_NAMED` items as text; "" for none."""
    more = len(items) - MAX_NAMED
    return separator.join(map(str, items[:MAX_NAMED])) + (f" and {more} more" if more > 0 else "")
