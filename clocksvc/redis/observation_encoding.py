"""Encodes what the observer of committed offsets knows of a clock. No I/O."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.observations import Observation, PartitionObservation, UpstreamObservation
from clocksvc.redis.scripts import Argument

_UNKNOWN_OFFSET = "-"


def observation_arguments(
    observation: Observation, partitions: Mapping[Partition, PartitionObservation]
) -> Iterator[Argument]:
    """The arguments of write_observation.lua."""
    yield json.dumps(_to_wire(observation))
    for partition, observed in partitions.items():
        yield str(partition)
        yield f"{_offset(observed.committed)} {_offset(observed.end)} {observed.waits_for}"


def read_observation(text: str | None) -> Observation | None:
    """Decode the key `observation`; None if it is missing, or if this version can't read it."""
    try:
        return _from_wire(json.loads(text)) if text else None
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def read_partition_observation(text: str) -> PartitionObservation | None:
    """Decode a value of the key `observed`; None if it is missing, or if this version can't read it."""
    try:
        committed, end, waits_for = text.split(" ", 2)
        return PartitionObservation(_read_offset(committed), _read_offset(end), waits_for)
    except ValueError:
        return None


def _offset(offset: int | None) -> str:
    return _UNKNOWN_OFFSET if offset is None else str(offset)


def _read_offset(text: str) -> int | None:
    return None if text == _UNKNOWN_OFFSET else int(text)


def _to_wire(observation: Observation) -> dict[str, Any]:
    return {
        "at_ms": observation.at_ms,
        "topic_ids": dict(observation.topic_ids),
        "doubted": _names(observation.doubted),
        "problem": observation.problem,
        "waiting": dict(observation.waiting),
        "named": {reason: _names(partitions) for reason, partitions in observation.named.items()},
        "upstreams": [_upstream_to_wire(upstream) for upstream in observation.upstreams],
        "upstream_ms": observation.upstream_ms,
        "excluded": _names(observation.excluded),
        "skipped_records": observation.skipped_records,
        "committed_partitions": observation.committed_partitions,
    }


def _from_wire(wire: Mapping[str, Any]) -> Observation:
    return Observation(
        at_ms=wire["at_ms"],
        topic_ids=wire["topic_ids"],
        doubted=_partitions(wire["doubted"]),
        problem=wire["problem"],
        waiting=wire["waiting"],
        named={reason: _partitions(names) for reason, names in wire["named"].items()},
        upstreams=tuple(_upstream_from_wire(upstream) for upstream in wire["upstreams"]),
        upstream_ms=wire["upstream_ms"],
        excluded=_partitions(wire["excluded"]),
        skipped_records=wire["skipped_records"],
        committed_partitions=wire["committed_partitions"],
    )


def _upstream_to_wire(upstream: UpstreamObservation) -> dict[str, Any]:
    return {
        "clock": upstream.clock,
        "url": upstream.url,
        "last_tick_ms": upstream.last_tick_ms,
        "status": upstream.status,
        "hold": upstream.hold,
        "problem": upstream.problem,
    }


def _upstream_from_wire(wire: Mapping[str, Any]) -> UpstreamObservation:
    return UpstreamObservation(
        wire["clock"], wire["url"], wire["last_tick_ms"], wire["status"], wire["hold"], wire["problem"]
    )


def _names(partitions: Sequence[Partition]) -> list[str]:
    return [str(partition) for partition in partitions]


def _partitions(names: Sequence[str]) -> tuple[Partition, ...]:
    return tuple(map(Partition.parse, names))
