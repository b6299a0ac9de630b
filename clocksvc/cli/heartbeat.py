"""`clocksvc heartbeat`: sends one round of heartbeats now (`clocksvc.service.heartbeats`)."""

import argparse
from typing import TYPE_CHECKING, Any

from clocksvc.cli.console import add_config, add_json, load_settings, print_json, show
from clocksvc.clock.tick import partition_to_wire
from clocksvc.clock.time_format import to_rfc3339

if TYPE_CHECKING:
    from clocksvc.service.heartbeats import HeartbeatRound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, clocks and output format."""
    parser.description = (
        "Send one heartbeat to every partition of the clocks' topics, and wait until all are delivered. Exit code 1: a "
        "heartbeat was not delivered. It is safe to run the command again."
    )
    add_config(parser)
    parser.add_argument("clocks", nargs="*", metavar="CLOCK", help="default: all clocks with heartbeats")
    add_json(parser, "the result for each clock")


def run(args: argparse.Namespace) -> int:
    """Send a round of heartbeats for each clock. Return the exit code: 1 if a heartbeat was not delivered."""
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.service import bootstrap, heartbeats

    settings, time = load_settings(args), SystemTime()
    specs = [settings.clock_spec(name) for name in args.clocks]
    if not specs:
        specs = [spec for spec in settings.clock_specs().values() if spec.heartbeat is not None]
    topics = bootstrap.open_topics(settings)
    rounds = {}
    try:
        for spec in specs:
            store = bootstrap.open_store(settings, spec)
            rounds[spec.name] = heartbeats.beat(spec, store, topics, time, time.now_ms())
            if not args.json:
                show(*_as_text(spec.name, rounds[spec.name]))
    finally:
        topics.close()
    if args.json:
        print_json({"rounds": [_to_wire(clock, made) for clock, made in rounds.items()]})
    return 0 if all(made.complete for made in rounds.values()) else 1


def _to_wire(clock: str, made: "HeartbeatRound") -> dict[str, Any]:
    failed = [partition_to_wire(partition) | {"reason": why} for partition, why in made.failed.items()]
    unread = [{"topic": topic, "partition": None, "reason": why} for topic, why in made.unread.items()]
    return {
        "clock": clock,
        "time": None if made.timestamp_ms is None else to_rfc3339(made.timestamp_ms),
        "delivered": len(made.delivered),
        "failed": failed + unread,
    }


def _as_text(clock: str, made: "HeartbeatRound") -> list[str]:
    lines = [f"{clock}: {len(made.delivered)} heartbeats delivered"]
    lines += [f"{clock}: topic {topic} failed: {why}" for topic, why in made.unread.items()]
    lines += [f"{clock}: {partition} failed: {why}" for partition, why in made.failed.items()]
    return lines
