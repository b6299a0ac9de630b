"""docs/operations.md: each loss that clocksvc survives has a row, and each row names tests that exist."""

import re
import subprocess
import sys

import pytest

from tests.repository import ROOT

pytestmark = pytest.mark.core

PAGE = ROOT / "docs" / "operations.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py::\w+)`")
LOSSES = (
    "Redis emptied",
    "Redis restarted empty",
    "Redis restarted from an old snapshot",
    "Redis failed over to a replica that lags",
    "Redis unreachable for minutes",
    "Redis full",
    "Redis evicting",
    "Redis of another environment",
    "tick log truncated",
    "tick log deleted, or recreated",
    "tick log with another client's open transaction",
    "broker killed and started again",
    "broker lost the tick log's last records",
    "a commit whose outcome is unknown",
)


def rows() -> list[list[str]]:
    """The cells of each row of each table whose last column is `test`."""
    found: list[list[str]] = []
    table: list[list[str]] = []
    for line in [*PAGE.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            found += table[2:] if table[0][-1] == "test" else []
            table = []
    return found


def test_each_row_is_complete_and_names_a_test() -> None:
    """At least four cells, none of them empty, and a test's name in the last one."""
    wrong = [row for row in rows() if len(row) < 4 or "" in row or not NAMED.findall(row[-1])]

    assert wrong == []


def test_each_loss_has_its_row() -> None:
    """A row that was removed is found."""
    first = [row[0] for row in rows()]

    assert [loss for loss in LOSSES if not any(cell.startswith(loss) for cell in first)] == []


def test_each_test_that_is_named_exists() -> None:
    """pytest collects each of them."""
    named = sorted({name for row in rows() for name in NAMED.findall(row[-1])})
    collect = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run([*collect, *named], cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
