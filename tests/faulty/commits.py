"""Commits whose answer is lost."""

from enum import StrEnum


class CommitFault(StrEnum):
    """What happens to a commit whose answer is lost."""

    LANDS = "lands"
    LOST = "lost"
