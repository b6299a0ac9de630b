"""Boundaries: the multiples of a clock's interval since the epoch, UTC. All values are milliseconds."""


def floor(timestamp_ms: int, interval_ms: int) -> int:
    """The last boundary at or before a timestamp."""
    return timestamp_ms - timestamp_ms % interval_ms


def ceil(timestamp_ms: int, interval_ms: int) -> int:
    """The first boundary at or after a timestamp."""
    return next_boundary(timestamp_ms - 1, interval_ms)


def next_boundary(timestamp_ms: int, interval_ms: int) -> int:
    """The first boundary after a timestamp.

    After a change of the interval, this is the smallest multiple of the new interval after the last tick.
    """
    return floor(timestamp_ms, interval_ms) + interval_ms


def boundaries_between(after_ms: int, upto_ms: int, interval_ms: int, limit: int) -> range:
    """All boundaries after `after_ms` up to and including `upto_ms`, ascending, at most `limit`."""
    first = next_boundary(after_ms, interval_ms)
    stop = min(floor(upto_ms, interval_ms) + interval_ms, first + limit * interval_ms)
    return range(first, max(first, stop), interval_ms)


def reached(raw_ms: int, out_of_orderness_ms: int, interval_ms: int) -> int:
    """The last boundary that a partition has reached with a raw record timestamp, or a clock with its minimum."""
    return floor(raw_ms - out_of_orderness_ms, interval_ms)


def next_threshold(raw_ms: int, out_of_orderness_ms: int, interval_ms: int) -> int:
    """The lowest raw record timestamp with which a partition reaches the boundary after the one it has reached."""
    return reached(raw_ms, out_of_orderness_ms, interval_ms) + interval_ms + out_of_orderness_ms
