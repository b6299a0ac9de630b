"""The documents' docker commands name what is in compose.yaml, and run commands of clocksvc."""

import argparse
import importlib
import shlex
from typing import Any

import pytest
import yaml

from clocksvc.cli.main import COMMANDS
from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, commands
from tests.system.docs.handling import DOCKER, handling

pytestmark = pytest.mark.core

TYPED = sorted({one.text for document in DOCUMENTS for one in commands(document) if handling(one) is DOCKER})
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
PROFILES = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", [])}


def compose_parser() -> argparse.ArgumentParser:
    """The options of `docker compose` that the documents use."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--profile", choices=sorted(PROFILES))
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("up").add_argument("--build", action="store_true")
    parts.add_parser("down").add_argument("--volumes", action="store_true")
    for name in ("stop", "start", "restart", "logs"):
        parts.add_parser(name).add_argument("service", choices=sorted(COMPOSE["services"]))
    inside = parts.add_parser("exec")
    inside.add_argument("service", choices=sorted(COMPOSE["services"]))
    inside.add_argument("command", nargs=argparse.REMAINDER)
    return parser


@pytest.mark.parametrize("typed", [typed for typed in TYPED if typed.startswith("docker compose ")])
def test_compose_has_what_is_named(typed: str) -> None:
    """Services and profiles exist; a command inside a container is one of clocksvc, with valid options."""
    asked = compose_parser().parse_args(shlex.split(typed)[2:])

    if asked.part == "exec":
        program, name, *arguments = asked.command
        assert program == "clocksvc"
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
        parser.parse_args(arguments)


@pytest.mark.parametrize("typed", [typed for typed in TYPED if not typed.startswith("docker compose ")])
def test_the_image_is_built_here_and_run_by_its_name(typed: str) -> None:
    """One image, built from this folder, with the name in compose.yaml."""
    _, verb, *arguments = shlex.split(typed)
    image = COMPOSE["services"]["clocksvc"]["image"]

    assert verb in ("build", "run")
    assert image in arguments
    assert verb == "run" or arguments[-1] == "."
