"""How commands print: JSON for programs, aligned columns for people. Must not know what is printed."""

import json
import sys
from collections.abc import Sequence


def print_json(value: object) -> None:
    """One JSON value on one line, at once, so that a reader of a pipe sees it."""
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """A line for the person who waits, not for the pipe."""
    print(text, file=sys.stderr, flush=True)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows with their columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
