"""`clocksvc init`: sets a clock's last tick by a record in its tick log (`clocksvc.leader.set_first_tick`)."""

import argparse

from clocksvc.cli.console import add_config, add_json, load_settings, print_json
from clocksvc.clock.boundary import next_boundary
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, the clock, the last tick and the output format."""
    parser.description = (
        "Set the last tick of a clock that has not ticked yet, or of a clock that holds with ticklog_truncated. The "
        "clock's next tick is the boundary after it. The command publishes no tick. It fences a running leader, which "
        "continues within seconds."
    )
    add_config(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument(
        "--last-tick",
        required=True,
        metavar="T",
        help="a boundary of the clock, not in the future: RFC 3339 or epoch seconds. Everything before it counts as "
        "processed",
    )
    add_json(parser, "what was written")


def run(args: argparse.Namespace) -> int:
    """Commit the record, print the next tick, and return the exit code 0."""
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.leader.set_first_tick import FIELD, set_first_tick
    from clocksvc.service import bootstrap

    last_tick_ms = parse_timestamp(FIELD, args.last_tick)
    settings, time = load_settings(args), SystemTime()
    spec = settings.clock_spec(args.clock)
    ticklog = bootstrap.open_tick_log(settings, spec, time)
    try:
        set_first_tick(spec, bootstrap.open_store(settings, spec), ticklog, time, last_tick_ms)
    finally:
        ticklog.close()
    last, first = to_rfc3339(last_tick_ms), to_rfc3339(next_boundary(last_tick_ms, spec.interval_ms))
    if args.json:
        print_json({"clock": spec.name, "last_tick": last, "next_tick": first, "tick_log": spec.tick_log})
    else:
        print(f"{spec.name}: begins after {last}; the next tick is {first} (written to tick log {spec.tick_log})")
    return 0
