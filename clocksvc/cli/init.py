"""`clocksvc init`: tells a clock's tick log where to begin. What that means, says `clocksvc.leader.init`."""

import argparse

from clocksvc.cli import arguments
from clocksvc.cli.output import print_json
from clocksvc.clock.boundary import next_boundary
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import UnknownClock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which clock, from where on."""
    parser.description = (
        "Say which tick comes before a clock's first one, so that the first one is the boundary after it; or say where "
        "a clock goes on that is held as ticklog_truncated. No tick appears. It fences a running leader, which comes "
        "back within seconds."
    )
    arguments.add_config(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument(
        "--last-tick",
        required=True,
        metavar="T",
        help="a boundary of the clock, not in the future: RFC 3339 or epoch seconds. Everything before it counts as "
        "processed",
    )
    arguments.add_json(parser, "what was written")


def run(args: argparse.Namespace) -> int:
    """Commit the record, and say what comes next."""
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.leader.init import FIELD, initialise
    from clocksvc.service import bootstrap as wiring

    last_tick_ms = arguments.time(FIELD, args.last_tick)
    settings, time = arguments.load_settings(args), SystemTime()
    specs = settings.clock_specs()
    if args.clock not in specs:
        raise UnknownClock(f"no clock {args.clock!r} is configured: wanted one of {', '.join(specs)}")
    spec = specs[args.clock]
    ticklog = wiring.open_ticklog(settings, spec, time)
    try:
        initialise(spec, wiring.open_store(settings, spec), ticklog, time, last_tick_ms)
    finally:
        ticklog.close()
    last, first = to_rfc3339(last_tick_ms), to_rfc3339(next_boundary(last_tick_ms, spec.interval_ms))
    if args.json:
        print_json({"clock": spec.name, "last_tick": last, "next_tick": first, "tick_log": spec.tick_log})
    else:
        print(f"{spec.name}: begins after {last}; the next tick is {first} (written to tick log {spec.tick_log})")
    return 0
