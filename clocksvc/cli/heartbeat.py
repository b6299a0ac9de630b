"""`clocksvc heartbeat`: sends one round of heartbeats now (`clocksvc.service.heartbeats`)."""

import argparse
from typing import TYPE_CHECKING, Any

from clocksvc.cli.console import add_config, add_json, load_settings, print_json
from clocksvc.clock.tick import partition_to_wire
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import UnknownClock

if TYPE_CHECKING:
    from clocksvc.clock.spec import ClockSpec
    from clocksvc.service.heartbeats import HeartbeatRound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add configuration and clocks."""
    parser.description = (
        "Send one heartbeat to every partition of the clocks' topics, and wait until all are delivered. Exit code 1: a "
        "partition got none. Running it again does no harm."
    )
    add_config(parser)
    parser.add_argument("clocks", nargs="*", metavar="CLOCK", help="default: all clocks with heartbeats")
    add_json(parser, "the result for each clock")


def run(args: argparse.Namespace) -> int:
    """Send a round for each clock. Returns 1 if a heartbeat was not delivered."""
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.service import bootstrap, heartbeats

    settings, time = load_settings(args), SystemTime()
    topics = bootstrap.open_topics(settings)
    rounds = {}
    try:
        for spec in _chosen(settings.clock_specs(), args.clocks):
            store = bootstrap.open_store(settings, spec)
            rounds[spec.name] = heartbeats.beat(spec, store, topics, time, time.now_ms())
            if not args.json:
                print(_as_text(spec.name, rounds[spec.name]))
    finally:
        topics.close()
    if args.json:
        print_json({"rounds": [_to_wire(clock, made) for clock, made in rounds.items()]})
    return 0 if all(made.complete for made in rounds.values()) else 1


def _chosen(specs: "dict[str, ClockSpec]", names: list[str]) -> "list[ClockSpec]":
    for name in names:
        if name not in specs:
            raise UnknownClock(f"no clock {name!r} is configured: wanted some of {', '.join(specs)}")
    if names:
        return [specs[name] for name in names]
    return [spec for spec in specs.values() if spec.heartbeat is not None]


def _to_wire(clock: str, made: "HeartbeatRound") -> dict[str, Any]:
    failed = [partition_to_wire(partition) | {"reason": why} for partition, why in made.failed.items()]
    unread = [{"topic": topic, "partition": None, "reason": why} for topic, why in made.unread.items()]
    return {
        "clock": clock,
        "time": None if made.timestamp_ms is None else to_rfc3339(made.timestamp_ms),
        "delivered": len(made.delivered),
        "failed": failed + unread,
    }


def _as_text(clock: str, made: "HeartbeatRound") -> str:
    lines = [f"{clock}: {len(made.delivered)} heartbeats delivered"]
    lines += [f"{clock}: topic {topic} failed: {why}" for topic, why in made.unread.items()]
    lines += [f"{clock}: {partition} failed: {why}" for partition, why in made.failed.items()]
    return "\n".join(lines)
