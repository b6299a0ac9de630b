"""Lists in messages for people."""

import pytest

from clocksvc.clock.listing import name_first

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 more"), (1_005, "0, 1, 2, 3, 4 and 1000 more")],
)
def test_at_most_five_are_named(count: int, text: str) -> None:
    """Then the number of the others."""
    assert name_first(range(count)) == text


def test_another_separator() -> None:
    """Where commas separate something else."""
    assert name_first(["a", "b"], separator=" and ") == "a and b"
