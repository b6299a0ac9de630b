"""The exception for a broken promise."""


class Violation(AssertionError):
    """A promise was broken. The first word says how: early, lost, twice, back, chain, interval, conflict, paused,
    excluded, request, untold, silent, stale, dead."""
