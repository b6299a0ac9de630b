"""Preconditions of tests that are expected to fail."""

import pytest


def require(condition: bool, what: str) -> None:
    """Fail with something else than an AssertionError: a test that expects one does not hide a broken precondition."""
    if not condition:
        pytest.fail(f"precondition: {what}")
