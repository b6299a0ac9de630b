"""What the judge raises."""


class Violation(AssertionError):
    """A promise was broken. The first word says which one."""
