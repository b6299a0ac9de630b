"""Rendezvous hashing: each subject prefers the members in an order of its own, which all processes compute alike.

A member that comes or goes changes only the subjects that prefer it.
"""

import hashlib


def preference(subject: str, member: str) -> bytes:
    """Return the sort key of a member for a subject: the lowest one is preferred."""
    return hashlib.sha256(f"{subject} {member}".encode()).digest()
