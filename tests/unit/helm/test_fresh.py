"""The dashboards in the chart equal the output of their code."""

import json
import subprocess
import sys

import pytest

from helm.dashboards.written import FOLDER, texts

NAMES = ("clock.json", "fleet.json")


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
