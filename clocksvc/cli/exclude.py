"""`clocksvc exclude`: takes a dead partition off, so that ticks go on without it."""

import argparse

from clocksvc.cli import night_shift


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which service, which clock, which partition, why."""
    parser.description = (
        "Take a partition off: ticks no longer wait for it, and each of them says so. What was not processed there may "
        "be missing from what they promise. Exit code 0: it is committed to the tick log."
    )
    night_shift.add_arguments(parser, partition=True)


def run(args: argparse.Namespace) -> int:
    """Ask the service for it."""
    return night_shift.ask(args, "POST", "exclusions", f"ticks no longer wait for {args.partition}")
