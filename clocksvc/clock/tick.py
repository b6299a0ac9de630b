"""The tick, its JSON, and the chain of ticks.

A tick at time T means that the clock's group has processed, at least once, all records that are in a partition before
the record with which the partition passed T. This is true for every partition. Each tick contains the time of the
previous tick, so readers notice a missing tick.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import CursorTooOld


@dataclass(frozen=True, slots=True)
class Tick:
    """One boundary that the global clock has reached. Times are milliseconds since the epoch.

    `previous_ms` is the time of the previous tick; None for a clock's first tick. The clock did not wait for the
    partitions in `excluded`.
    """

    clock: str
    at_ms: int
    previous_ms: int | None
    interval_ms: int
    emitted_at_ms: int
    excluded: tuple[Partition, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Return the tick as JSON, as it is in the tick log, in HTTP responses and in server-sent events."""
        return {
            "clock": self.clock,
            "time": to_rfc3339(self.at_ms),
            "timestamp_seconds": self.at_ms // 1000,
            "previous": None if self.previous_ms is None else to_rfc3339(self.previous_ms),
            "interval_seconds": self.interval_ms // 1000,
            "emitted_at": to_rfc3339(self.emitted_at_ms),
            "excluded": [partition_to_wire(partition) for partition in self.excluded],
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Tick":
        """The reverse of `to_wire`; unknown fields are ignored.

        Raises:
            KeyError, TypeError, ValueError: the JSON is not a tick.
        """
        previous = wire["previous"]
        return cls(
            clock=wire["clock"],
            at_ms=int(wire["timestamp_seconds"]) * 1000,
            previous_ms=None if previous is None else parse_timestamp("previous", previous),
            interval_ms=int(wire["interval_seconds"]) * 1000,
            emitted_at_ms=parse_timestamp("emitted_at", wire["emitted_at"]),
            excluded=tuple(partition_from_wire(item) for item in wire["excluded"]),
        )


def partition_to_wire(partition: Partition) -> dict[str, Any]:
    """Return `{"topic": …, "partition": …}`."""
    return {"topic": partition.topic, "partition": partition.number}


def partition_from_wire(wire: Mapping[str, Any]) -> Partition:
    """The reverse of `partition_to_wire`."""
    return Partition(wire["topic"], int(wire["partition"]))


def first_chain_break(last_ms: int | None, ticks: Iterable[Tick]) -> Tick | None:
    """Return the first tick whose `previous_ms` is not the time of the tick before it; None if the chain is complete.

    Args:
        last_ms: the time of the tick before the first of `ticks`; None if the chain begins with `ticks`.
        ticks: ticks in the order of the chain, oldest first.
    """
    for tick in ticks:
        if tick.previous_ms != last_ms or (last_ms is not None and tick.at_ms <= last_ms):
            return tick
        last_ms = tick.at_ms
    return None


def cursor_too_old(cursor_ms: int, oldest: Tick) -> CursorTooOld:
    """Return the error about a cursor before the `previous_ms` of the oldest kept tick."""
    kept = f"the oldest kept tick is {to_rfc3339(oldest.at_ms)}"
    message = f"ticks after {to_rfc3339(cursor_ms)} are no longer kept; {kept}"
    return CursorTooOld(message, cursor_ms, oldest.at_ms, oldest.previous_ms)
