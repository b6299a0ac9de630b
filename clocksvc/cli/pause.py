"""`clocksvc pause`: lets a clock stand still until it is resumed."""

import argparse

from clocksvc.cli import night_shift


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which service, which clock, why."""
    parser.description = (
        "Let a clock stand still: no tick comes until it is resumed; then all that came due meanwhile come, each once, "
        "in order. Exit code 0: it is committed to the tick log."
    )
    night_shift.add_arguments(parser, partition=False)


def run(args: argparse.Namespace) -> int:
    """Ask the service for it."""
    return night_shift.ask(args, "POST", "pause", "no tick comes until it is resumed")
