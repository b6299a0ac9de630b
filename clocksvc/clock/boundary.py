"""Boundaries: the multiples of a clock's interval since the epoch, UTC. All in milliseconds."""


def floor(timestamp_ms: int, interval_ms: int) -> int:
    """The last boundary at or before a timestamp."""
    return timestamp_ms - timestamp_ms % interval_ms


def next_boundary(timestamp_ms: int, interval_ms: int) -> int:
    """The first boundary after a timestamp. After a change of interval this is the smallest multiple of the
    new one after the last tick."""
    return floor(timestamp_ms, interval_ms) + interval_ms


def ceil(timestamp_ms: int, interval_ms: int) -> int:
    """The first boundary at or after a timestamp."""
    return next_boundary(timestamp_ms - 1, interval_ms)


def boundaries_between(after_ms: int, upto_ms: int, interval_ms: int, limit: int) -> range:
    """Every boundary after `after_ms` and not after `upto_ms`, ascending, at most `limit` of them."""
    first = next_boundary(after_ms, interval_ms)
    stop = min(floor(upto_ms, interval_ms) + interval_ms, first + limit * interval_ms)
    return range(first, max(first, stop), interval_ms)
