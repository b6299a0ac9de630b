"""The tick, its JSON, and the chain of ticks.

tick(T): in every partition, all records before the one that carried the partition past T have been processed at least
once by the clock's group. Each tick names the one before it, so a missing tick is noticed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339


@dataclass(frozen=True, slots=True)
class Tick:
    """One boundary that the global clock has reached. Times in milliseconds since the epoch.

    `previous_ms` is None for a clock's first tick. `excluded` are the partitions for which it did not wait.
    """

    clock: str
    at_ms: int
    previous_ms: int | None
    interval_ms: int
    emitted_at_ms: int
    excluded: tuple[Partition, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """The tick as JSON, in the tick log, over HTTP and in server-sent events."""
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
    """`{"topic": …, "partition": …}`."""
    return {"topic": partition.topic, "partition": partition.number}


def partition_from_wire(wire: Mapping[str, Any]) -> Partition:
    """The reverse of `partition_to_wire`."""
    return Partition(wire["topic"], int(wire["partition"]))


def first_chain_break(last_ms: int | None, ticks: Iterable[Tick]) -> Tick | None:
    """The first tick that does not name the one before it; None if the chain is complete.

    Args:
        last_ms: the tick before the first of `ticks`; None if the chain begins with them.
        ticks: in the chain's order.
    """
    for tick in ticks:
        if tick.previous_ms != last_ms or (last_ms is not None and tick.at_ms <= last_ms):
            return tick
        last_ms = tick.at_ms
    return None
