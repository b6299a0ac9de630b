"""Configurations that are refused at the start: what `clocksvc check` and `clocksvc serve` write."""

import copy
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from clocksvc.dev.child_server import LOOPBACK, free_ports
from tests.process import module
from tests.system.mistakes.catalogue import INVALID, InvalidConfiguration

_COMMAND_S = 60.0


def commands_without_cause(
    folder: Path, bootstrap: str, redis_url: str, prefix: str, chosen: Sequence[InvalidConfiguration] = INVALID
) -> dict[str, list[str]]:
    """For each invalid configuration, the commands that do not name its cause, or that succeed."""
    (port,) = free_ports(1)
    valid: dict[str, Any] = {
        "redis": {"url": redis_url, "prefix": prefix},
        "kafka": {"bootstrap.servers": bootstrap},
        "tick_log": {"topic": f"{prefix}-ticks"},
        "clocks": {
            "right": {"topics": ["orders"], "group": "orders", "interval": "60s", "heartbeat": {"every": "60s"}}
        },
        "api": {"host": LOOPBACK, "port": port},
    }
    return {one.name: _missing(folder, valid, one) for one in chosen}


def _missing(folder: Path, valid: dict[str, Any], invalid: InvalidConfiguration) -> list[str]:
    file = folder / "invalid.yaml"
    file.write_text(yaml.safe_dump(_changed(valid, *invalid.change)))
    return [command for command in ("check", "serve") if not _names(file, command, invalid.cause)]


def _changed(valid: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(valid)
    *sections, field = path.split(".")
    section = made
    for name in sections:
        section = section.setdefault(name, {})
    section[field] = value
    return made


def _names(file: Path, command: str, cause: str) -> bool:
    done = subprocess.run(
        module("clocksvc.cli.main", command, "--config", str(file)),
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
    )
    return done.returncode != 0 and re.search(cause, done.stdout + done.stderr) is not None
