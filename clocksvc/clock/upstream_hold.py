"""The hold of an upstream clock inside the hold of a clock that waits for it, as JSON.

The hold of an upstream clock can contain the hold of its own upstream clock, and so on. Clocks of different
installations can wait for each other, because cycles are found in one configuration only. So the depth is limited.
"""

from collections.abc import Iterator, Mapping
from typing import Any

MAX_LEVELS, MAX_PARTITIONS, MAX_DETAIL = 16, 10, 1_000
"""How much is kept of nested holds: levels, and of each level partitions and characters of the detail."""


def cut_upstream(
    upstream: Mapping[str, Any] | None,
    levels: int = MAX_LEVELS,
    partitions: int = MAX_PARTITIONS,
    detail: int = MAX_DETAIL,
) -> dict[str, Any] | None:
    """Return an upstream clock with its nested holds, whose size is bounded.

    Args:
        upstream: JSON with `clock`, `url`, `time`, `status` and `hold`; None if there is none.
        levels: how many upstream clocks are kept, the nearest ones first.
        partitions, detail: how many partitions and characters of the detail each hold keeps.
    """
    if upstream is None or levels == 0:
        return None
    hold = upstream["hold"]
    if hold is not None:
        hold = {
            **hold,
            "partitions": hold["partitions"][:partitions],
            "detail": hold["detail"][:detail],
            "upstream": cut_upstream(hold["upstream"], levels - 1, partitions, detail),
        }
    return {**upstream, "hold": hold}


def chain(upstream: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Yield an upstream clock, the clock for which it waits, and so on."""
    while upstream is not None:
        yield upstream
        hold = upstream["hold"]
        upstream = None if hold is None else hold["upstream"]


def last_of_chain(upstream: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the last upstream clock of the chain: the one to blame."""
    *_, last = chain(upstream)
    return last
