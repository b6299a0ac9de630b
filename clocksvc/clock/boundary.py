"""Boundaries: the multiples of a clock's interval since the epoch, UTC. All values are milliseconds."""


def floor(timestamp_ms: int, interval_ms: int) -> int:
    """Return the last boundary at or before a timestamp."""
    return timestamp_ms - timestamp_ms % interval_ms


def ceil(timestamp_ms: int, interval_ms: int) -> int:
    """Return the first boundary at or after a timestamp."""
    return next_boundary(timestamp_ms - 1, interval_ms)


def next_boundary(timestamp_ms: int, interval_ms: int) -> int:
    """Return the first boundary after a timestamp.

    If the interval was changed, the result is a multiple of the new interval.
    """
    return floor(timestamp_ms, interval_ms) + interval_ms


def boundaries_between(after_ms: int, upto_ms: int, interval_ms: int, limit: int) -> range:
    """Return all boundaries after `after_ms` up to and including `upto_ms`, ascending, at most `limit`."""
    first = next_boundary(after_ms, interval_ms)
    stop = min(floor(upto_ms, interval_ms) + interval_ms, first + limit * interval_ms)
    return range(first, max(first, stop), interval_ms)


def reached(raw_ms: int, out_of_orderness_ms: int, interval_ms: int) -> int:
    """Return the last boundary that is reached with a raw record timestamp, of a partition or as a clock's minimum."""
    return floor(raw_ms - out_of_orderness_ms, interval_ms)


def next_threshold(raw_ms: int, out_of_orderness_ms: int, interval_ms: int) -> int:
    """Return the lowest raw record timestamp with which a partition at `raw_ms` reaches its next boundary."""
    return reached(raw_ms, out_of_orderness_ms, interval_ms) + interval_ms + out_of_orderness_ms
