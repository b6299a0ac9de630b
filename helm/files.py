"""Writes generated files of the chart."""

from collections.abc import Mapping
from pathlib import Path


def write(texts: Mapping[Path, str]) -> None:
    """Write the files whose text has changed, and print their names."""
    for path, text in texts.items():
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        if not same:
            path.write_text(text, encoding="utf-8")
        print(f"{'same   ' if same else 'written'} {path}")
