"""The app, configurations and commands in docs/jobs.md and in the README's section about jobs are valid."""

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
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of the console blocks, without comments."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    return [re.sub(r"\s+# .*", "", line.removeprefix("$ ")) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The app and the configuration of the document."""
    first, on_tick, duplicates, _, _ = blocks(DOCUMENT, "python")
    health = re.search(r"`(clocksvc\.celery\.add_health_file\(app\))`", DOCUMENT)
    assert health is not None
    parts = [first, on_tick, duplicates, "mark_missed_before = print", f"import clocksvc.celery\n{health[1]}"]
    (tmp_path / "shop.py").write_text("\n".join(parts))
    (tmp_path / "clocksvc.yaml").write_text(blocks(DOCUMENT, "yaml")[0])
    return tmp_path


def parsed(folder: Path, lines: list[str]) -> list[dict[str, Any]]:
    """The commands, parsed by Celery's command line."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.beat.parse_commands"],
        input="".join(f"{line}\n" for line in lines),
        cwd=folder,
        env=os.environ | {"CLOCKSVC_CONFIG": "clocksvc.yaml", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_command_is_valid(folder: Path) -> None:
    """Celery accepts each command and its options, the schedule follows the clock, and tasks have the right queues."""
    all_commands = commands(DOCUMENT)
    celery_commands = [line for line in all_commands if line.startswith("celery ")]
    installed = [line for line in all_commands if line.startswith("pip install ")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {extra for line in installed for extra in re.findall(r"clocksvc\[(\w+)\]", line)} <= set(extras)
    others = [line for line in all_commands if line not in celery_commands + installed]
    assert others == [
        "export CLOCKSVC_CONFIG=clocksvc.yaml",
        "clocksvc tail checkins --exec './nightly-job {time}' --position checkins.json",
        "python worker.py",
        next(line for line in all_commands if line.startswith("test ")),
    ]

    beat, worker, one, fast, slow = parsed(folder, celery_commands)

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
    """Unchanged."""
    assert loaded(text).clocks


def test_the_documented_routes_are_true(folder: Path) -> None:
    """The most specific name decides; a name without a route goes to the documented queue."""
    settings = loaded((folder / "clocksvc.yaml").read_text())
    tasks = settings.clocks["checkins"].tasks

    assert [settings.routes().queue(task.route) for task in tasks] == ["ingest", "ingest-slow"]
    assert [settings.routes().queue(name) for name in ("ingest.more", "elsewhere")] == ["ingest", "clocksvc-tasks"]


def test_the_probe_checks_the_files_age(tmp_path: Path) -> None:
    """The documented command succeeds for a file that was just touched, and fails for an old one."""
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
    """The README's app and commands are valid."""
    (text,) = blocks(README, "python")
    (folder / "shop.py").write_text(f"mark_missed_before = print\n{text}")

    beat, worker = parsed(folder, commands(README))

    assert beat == {
        "entries": {"bills": ["all", None]},
        "each_tick": {"shop.close_minute": {"queue": "clocksvc-tasks"}},
    }
    assert worker["queues"] == ["celery", "clocksvc-tasks"]
