"""What somebody may have meant. Must not raise on any text."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'url'?`, or nothing where no known name is near."""
    by_lower_case = {one.lower(): one for one in known}
    near = get_close_matches(name[:200].lower(), by_lower_case, n=1, cutoff=0.6)
    return f": did you mean {by_lower_case[near[0]]!r}?" if near else ""
