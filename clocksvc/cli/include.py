"""`clocksvc include`: takes an excluded partition back in."""

import argparse

from clocksvc.cli import night_shift


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which service, which clock, which partition, why."""
    parser.description = (
        "Take an excluded partition back in. The clock never goes back: it holds until the partition has caught up. "
        "Exit code 0: it is committed to the tick log."
    )
    night_shift.add_arguments(parser, partition=True)


def run(args: argparse.Namespace) -> int:
    """Ask the service for it."""
    return night_shift.ask(args, "DELETE", "exclusions", f"ticks wait for {args.partition}")
