"""Writes the table of values into the chart's README, and the icon of the status page into Chart.yaml."""

import base64
import re
from itertools import groupby
from pathlib import Path

from helm.metadata import values

CHART = Path(__file__).resolve().parent.parent / "clocksvc"
README, CHART_YAML = CHART / "README.md", CHART / "Chart.yaml"
_ICON = CHART.parent.parent / "clocksvc" / "api" / "status" / "icon.svg"
_BEGIN, _END = "<!-- from values.yaml: make schema -->\n", "<!-- end -->\n"


def texts() -> dict[Path, str]:
    """Return the text of each file."""
    readme, chart = README.read_text(encoding="utf-8"), CHART_YAML.read_text(encoding="utf-8")
    before, _, rest = readme.partition(_BEGIN)
    icon = "data:image/svg+xml;base64," + base64.b64encode(_ICON.read_bytes()).decode()
    return {
        README: before + _BEGIN + _tables() + _END + rest.partition(_END)[2],
        CHART_YAML: re.sub(r"^icon: .*$", f"icon: {icon}", chart, flags=re.MULTILINE),
    }


def _tables() -> str:
    """Return a table for each group of values, and at last one for the values outside groups."""
    every = values.read(values.FILE.read_text(encoding="utf-8"))
    groups = {section: list(rows) for section, rows in groupby(every, key=lambda value: value.section)}
    parts = [_part(section, rows) for section, rows in groups.items() if len(rows) > 1]
    parts.append(_part("Others", [rows[0] for rows in groups.values() if len(rows) == 1]))
    return "\n" + "\n".join(parts) + "\n"


def _part(title: str, rows: list[values.Value]) -> str:
    description = ""
    if rows[0].path == title and not rows[0].default:
        description, rows = f"{rows[0].description}\n\n", rows[1:]
    return f"### {title}\n\n{description}{_table(rows)}"


def _table(rows: list[values.Value]) -> str:
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for row in rows:
        default = f"`{row.default}`" if row.default else ""
        example = f"e.g. `{row.example}`" if row.example not in ("", row.default) else ""
        shown = ", ".join(filter(None, (default, example)))
        cells = (f"`{row.path}`", shown, row.description.replace("<", "&lt;"))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
