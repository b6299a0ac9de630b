"""docs/jobs.md and what the README says of jobs: the app loads, its schedule goes by a clock, each command is one."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.repository import ROOT
from tests.unit.settings.sample_config import loaded

pytestmark = pytest.mark.core

DOCUMENT = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8").split("## Start jobs by it\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """What stands between fences."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    """What is to be typed, without what is said of it."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's app and configuration, as the document has them."""
    first, on_tick, doubles = blocks(DOCUMENT, "python")
    health = re.search(r"`(clocksvc\.celery\.add_health_file\(app\))`", DOCUMENT)
    assert health is not None
    parts = [first, on_tick, doubles, "mark_missed_before = print", f"import clocksvc.celery\n{health[1]}"]
    (tmp_path / "shop.py").write_text("\n".join(parts))
    (tmp_path / "clocksvc.yaml").write_text(blocks(DOCUMENT, "yaml")[0])
    return tmp_path


def parsed(folder: Path, lines: list[str]) -> list[dict[str, Any]]:
    """What Celery's command line makes of commands."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.beat.parsed"],
        input="".join(f"{line}\n" for line in lines),
        cwd=folder,
        env=os.environ | {"CLOCKSVC_CONFIG": "clocksvc.yaml", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_command_is_one(folder: Path) -> None:
    """Celery takes each with its options; the schedule goes by the clock, and each tick's task to its queue."""
    every = commands(DOCUMENT)
    celerys = [line for line in every if line.startswith("celery ")]
    installed = [line for line in every if line.startswith("pip install ")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {extra for line in installed for extra in re.findall(r"clocksvc\[(\w+)\]", line)} <= set(extras)
    others = [line for line in every if line not in celerys + installed]
    assert others == ["export CLOCKSVC_CONFIG=clocksvc.yaml", next(line for line in every if line.startswith("test "))]

    beat, worker, one, fast, slow = parsed(folder, celerys)

    assert beat == {
        "entries": {"bills": ["all", None], "report": ["last", "6h"]},
        "each_tick": {"shop.close_minute": {"queue": "ingest"}},
    }
    assert worker["queues"] == ["celery", "clocksvc-tasks"]
    assert one["queues"] == ["celery", "clocksvc-tasks", "ingest", "ingest-slow"]
    assert [(pool["queues"], pool["concurrency"]) for pool in (fast, slow)] == [(["ingest"], 4), (["ingest-slow"], 1)]
    assert [pool["health_check_file_path"] for pool in (fast, slow)] == ["/tmp/health.txt", "/tmp/health-slow.txt"]


@pytest.mark.parametrize("text", blocks(DOCUMENT, "yaml"))
def test_every_configuration_loads(text: str) -> None:
    """As it stands."""
    assert loaded(text).clocks


def test_the_configuration_routes_as_is_said(folder: Path) -> None:
    """The most specific name wins; what has no route goes to the queue that the document names."""
    settings = loaded((folder / "clocksvc.yaml").read_text())
    tasks = settings.clocks["checkins"].tasks

    assert [settings.routes().queue(task.route) for task in tasks] == ["ingest", "ingest-slow"]
    assert [settings.routes().queue(name) for name in ("ingest.more", "elsewhere")] == ["ingest", "clocksvc-tasks"]


def test_the_probe_tells_young_from_old(tmp_path: Path) -> None:
    """The command of the document, in a shell, over a file that was just touched and over an old one."""
    file = tmp_path / "health"
    file.touch()
    (probe,) = [line for line in commands(DOCUMENT) if line.startswith("test ")]
    probe = probe.replace("/tmp/health.txt", str(file))
    codes = []
    for age_s in (0, 60):
        os.utime(file, (time.time() - age_s, time.time() - age_s))
        codes.append(subprocess.run(["sh", "-c", probe], check=False).returncode)

    assert codes == [0, 1]


def test_the_readmes_jobs(folder: Path) -> None:
    """The README's app and its commands, in few lines."""
    (text,) = blocks(README, "python")
    (folder / "shop.py").write_text(f"mark_missed_before = print\n{text}")

    beat, worker = parsed(folder, commands(README))

    assert beat == {
        "entries": {"bills": ["all", None]},
        "each_tick": {"shop.close_minute": {"queue": "clocksvc-tasks"}},
    }
    assert worker["queues"] == ["celery", "clocksvc-tasks"]
