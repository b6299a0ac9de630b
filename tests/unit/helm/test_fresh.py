"""The dashboards, the README and the icon in the chart equal the output of their code."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from helm.dashboards.written import FOLDER, texts
from helm.metadata import values, written

NAMES = ("clock.json", "consumer.json", "fleet.json", "schedules.json")


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_carries_what_the_code_writes(name: str) -> None:
    """A change of the code without `make dashboards` fails."""
    carried = (FOLDER / name).read_text(encoding="utf-8")

    assert carried == texts()[name], f"helm/clocksvc/dashboards/{name} is stale: run `make dashboards`"


def test_there_are_no_others() -> None:
    """The chart's folder has exactly these files; removed dashboards are not left there."""
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(NAMES) == sorted(texts())


def test_another_process_writes_the_same() -> None:
    """The files do not depend on the run: order of sets and mappings, time, machine."""
    code = "import json; from helm.dashboards.written import texts; print(json.dumps(texts()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FOLDER.parents[2]
    )

    assert json.loads(done.stdout) == texts()


def test_readme_and_icon_are_of_these_values() -> None:
    """A change of values.yaml or of the page's icon without `make schema` fails."""
    for path, text in written.texts().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is stale: run `make schema`"


def test_the_readme_has_every_value() -> None:
    """Each leaf of values.yaml, as YAML reads it, has a row with its default."""
    rows = {value.path: value.default for value in values.read(values.FILE.read_text(encoding="utf-8"))}
    leaves = dict(_leaves(yaml.safe_load(values.FILE.read_text(encoding="utf-8"))))

    assert len(leaves) > 100
    assert {path: yaml.safe_load(rows[path]) for path in leaves} == leaves
    assert all(f"| `{path}` |" in written.README.read_text(encoding="utf-8") for path in rows if "." in path)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values that are no mappings, and mappings that values.yaml writes in one line."""
    written_in_one_line = path.endswith((".limits", ".requests", ".labels", ".seccompProfile", ".capabilities"))
    if isinstance(value, dict) and value and not written_in_one_line:
        for name, inner in value.items():
            quoted = f'"{name}"' if "." in name else name
            yield from _leaves(inner, f"{path}.{quoted}" if path else quoted)
    else:
        yield path, value
