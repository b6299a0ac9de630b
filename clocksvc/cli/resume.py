"""`clocksvc resume`: lets a paused clock go on."""

import argparse

from clocksvc.cli import night_shift


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which service, which clock, why."""
    parser.description = "Let a paused clock go on. Exit code 0: it is committed to the tick log."
    night_shift.add_arguments(parser, partition=False)


def run(args: argparse.Namespace) -> int:
    """Ask the service for it."""
    return night_shift.ask(args, "POST", "resume", "not paused")
