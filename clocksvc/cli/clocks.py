"""`clocksvc clocks --from-groups REGEX`: prints the configuration of clocks for consumer groups of a cluster."""

import argparse
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from clocksvc.cli.console import add_config, load_settings, note, show
from clocksvc.clock.partition import name_first
from clocksvc.errors import ClocksvcError, InvalidValue

if TYPE_CHECKING:
    from clocksvc.kafka.cluster_facts import GroupFacts
    from clocksvc.settings import Settings

_LONGEST_NAME = 63
_INTERNAL = "__"
"""How the names of Kafka's internal topics begin."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the expression, and where Kafka is."""
    parser.description = (
        "Print the section `clocks` of a configuration: a clock with `source: committed` for each consumer group whose "
        "name matches, with the topics for which the group has committed offsets. Only groups that this Kafka user "
        "may describe are found. Changes nothing. Exit code 1: no clock was printed."
    )
    parser.add_argument(
        "--from-groups",
        metavar="REGEX",
        required=True,
        help="a regular expression (of Python) that must match the group's whole name, such as 'ingest-.*'",
    )
    parser.add_argument(
        "--kafka", metavar="ADDRESS", help="bootstrap.servers of Kafka; default: the section kafka of the configuration"
    )
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the clocks, and on stderr which groups and topics are left out."""
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.kafka.inspector import KafkaInspector
    from clocksvc.settings.document import write_yaml

    try:
        pattern = re.compile(args.from_groups)
    except re.error as error:
        raise InvalidValue("--from-groups", args.from_groups, f"wanted a regular expression ({error})") from None
    settings = load_settings(args) if args.kafka is None else None
    kafka = {"bootstrap.servers": args.kafka} if settings is None else settings.kafka_settings()
    with KafkaInspector(kafka, SystemTime()) as inspector:
        names = inspector.group_names()
        matching = sorted(name for name in names if pattern.fullmatch(name))
        if not matching:
            listed = f"this user may describe {len(names)} consumer groups"
            examples = f": {name_first(sorted(names))}" if names else ""
            raise ClocksvcError(f"no group matches {args.from_groups!r}; {listed}{examples}")
        described = inspector.groups(matching)
        topics = inspector.topics(sorted({one.topic for facts in described.found.values() for one in facts.committed}))
    for group, why in described.failures.items():
        note(f"group {group} is left out: {why}")
    for topic, why in topics.failures.items():
        note(f"topic {topic} is left out: {why}")
    configured = {} if settings is None else _configured(settings)
    clocks = group_clocks(described.found, topics.found, configured)
    if clocks:
        show(*write_yaml({"clocks": clocks}).splitlines())
    return 0 if clocks else 1


def group_clocks(
    groups: Mapping[str, "GroupFacts"], topics: Collection[str], configured: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """Return the configuration of a clock for each group, by the clock's name, and note what is left out.

    Args:
        topics: the topics that exist.
        configured: the group of each clock of the present configuration, by the clock's name.
    """
    clocks: dict[str, dict[str, object]] = {}
    # A group whose name is valid for a clock keeps it, although another group's name is changed to the same one.
    for group, facts in sorted(groups.items(), key=lambda item: (clock_name(item[0], ()) != item[0], item[0])):
        committed = sorted({one.topic for one in facts.committed})
        missing = [topic for topic in committed if topic not in topics]
        existing = [topic for topic in committed if topic in topics and not topic.startswith(_INTERNAL)]
        if missing:
            note(f"group {group}: without {name_first(missing)}, which Kafka does not list any more")
        if not existing:
            note(f"group {group} is left out: it has committed no offsets for an existing topic")
            continue
        if having := [name for name, other in configured.items() if other == group]:
            note(f"group {group} has a clock in the configuration already: {name_first(having)}")
        name = clock_name(group, {*clocks, *configured})
        clocks[name] = {"topics": existing, "group": group, "source": "committed"}
    return clocks


def clock_name(group: str, taken: Collection[str]) -> str:
    """Return a valid name for the clock of a group, which is not `taken`."""
    base = re.sub(r"[^a-z0-9]+", "-", group.lower()).strip("-")[:_LONGEST_NAME].rstrip("-") or "group"
    name, number = base, 1
    while name in taken:
        number += 1
        end = f"-{number}"
        name = base[: _LONGEST_NAME - len(end)].rstrip("-") + end
    return name


def _configured(settings: "Settings") -> dict[str, str]:
    return {name: spec.group for name, spec in settings.clock_specs().items()}
