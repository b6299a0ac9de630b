"""Reads values.yaml with its comments: `##` before a value is its description, a line after `#` is an example."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "clocksvc" / "values.yaml"
_LINE = re.compile(r"(?P<indent> *)(?P<example># )?(?:- )?(?P<name>[\w./-]+):(?: +(?P<text>.*))?")


@dataclass
class Value:
    """A value of the chart.

    Attributes:
        path: names from the top, with dots between; a name with a dot is in quotes.
        default: as in values.yaml; empty for a group, and for a value that exists only in an example.
        example: as in values.yaml; empty if there is none.
        description: the text before it.
    """

    path: str
    default: str
    example: str
    description: str

    @property
    def section(self) -> str:
        """The first name of the path."""
        return self.path.partition(".")[0]


def read(text: str) -> list[Value]:
    """Return all values that have a default or a description, in the order of the file."""
    found: dict[str, Value] = {}
    for value in _lines(text):
        if value.path not in found:
            found[value.path] = value
        elif not found[value.path].example:
            found[value.path].example = value.example
    return [value for value in found.values() if value.default or value.description]


def _lines(text: str) -> Iterator[Value]:
    """Yield what each line with a name has."""
    open_names: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if described := re.match(r" *## ?(.*)", line):
            comment.append(described[1])
        elif named := _LINE.fullmatch(line):
            indent = len(named["indent"]) + (2 if re.match(r" *(# )?- ", line) else 0)
            while open_names and open_names[-1][0] >= indent:
                open_names.pop()
            name = named["name"]
            open_names.append((indent, f'"{name}"' if "." in name else name))
            path = ".".join(name for _, name in open_names)
            written = named["text"] or ""
            default, example = ("", written) if named["example"] else (written, "")
            yield Value(path, default, example, " ".join(comment))
            comment.clear()
        else:
            comment.clear()
