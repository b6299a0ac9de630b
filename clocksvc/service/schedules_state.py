"""The public state of a clock's schedules: what the replicas of the scheduler announce, added up.

A value that is not known is None. Sums are known only if each partition has a replica that knows its part.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.time_format import time_from_wire, time_to_wire
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedulers import Schedulers, SchedulersReading, Stats

MAX_PROBLEMS = 5
LATE_MS = 10_000
"""The least delay that counts as late. Schedulers announce themselves once a second."""


@dataclass(frozen=True, slots=True)
class SchedulesState:
    """The schedules of one clock. All but `partitions` are None, and `problems` is empty, if the store does not answer.

    Attributes:
        partitions: the configured number of partitions.
        owned: how many of them a replica owns. What is due in the others is not sent.
        replicas: the number of live replicas of the scheduler.
        loading: how many partitions replicas load now, to own them or to be their standby.
        loaded_ratio: the share of these partitions that has been read, 0 to 1; None if no replica loads, too.
        schedules: the number of schedules, with those that are paused or have ended.
        unreadable: the number of records that are no valid schedules, at most 100 of each partition.
        due_per_minute: how many due records the owners sent for each minute of the clock, at its last ticks.
        missed: how many missed runs the present owners have recorded, since each of their processes started.
        position_ms: the tick up to which all partitions have sent everything.
        problems: why partitions do not work, at most `MAX_PROBLEMS`.
    """

    partitions: int
    owned: int | None = None
    replicas: int | None = None
    loading: int | None = None
    loaded_ratio: float | None = None
    schedules: int | None = None
    unreadable: int | None = None
    due_per_minute: float | None = None
    missed: int | None = None
    position_ms: int | None = None
    problems: tuple[str, ...] = ()

    def late_ms(self, last_tick_ms: int | None, interval_ms: int) -> int:
        """Return how far the schedules are behind their clock; 0 if this is normal or not known."""
        if self.position_ms is None or last_tick_ms is None:
            return 0
        late_ms = last_tick_ms - self.position_ms
        return late_ms if late_ms > max(2 * interval_ms, LATE_MS) else 0

    def are_sent(self, last_tick_ms: int | None, interval_ms: int) -> bool:
        """False if a partition has no owner, or if the schedules are late. True if neither is known."""
        return self.owned in (None, self.partitions) and not self.late_ms(last_tick_ms, interval_ms)


class SchedulesView:
    """Reads the state of a clock's schedules from the store. Thread-safe.

    Attributes:
        unknown: the state while the store does not answer.
    """

    def __init__(self, spec: SchedulesSpec, schedulers: Schedulers) -> None:
        self.unknown = SchedulesState(spec.partitions)
        self._spec = spec
        self._schedulers = schedulers

    def state(self) -> SchedulesState:
        """Return the state. Blocks for at most the store's timeout. An outage raises no exception."""
        try:
            return self.state_of(self._schedulers.read())
        except ClocksvcError:
            return self.unknown

    def state_of(self, reading: SchedulersReading) -> SchedulesState:
        """Return the state for a reading of the store."""
        return schedules_state(self._spec.partitions, reading)


def schedules_state(partitions: int, reading: SchedulersReading) -> SchedulesState:
    """Add up what the replicas announce. `partitions` is the configured number."""
    numbers = range(partitions)
    owners = {number: reading.owner(number) for number in numbers}
    owned = {number: owner.stats.get(number, {}) for number, owner in owners.items() if owner is not None}
    loaded = {
        number: stats
        for one in reading.announcements
        for number, stats in one.stats.items()
        if number in numbers and number in one.loaded
    } | owned
    loading = [
        stats for one in reading.announcements for number, stats in one.stats.items() if number not in one.loaded
    ]
    positions = _each(owned, partitions, "position_ms")
    return SchedulesState(
        partitions,
        owned=len(owned),
        replicas=len(reading.announcements),
        loading=len(loading),
        loaded_ratio=_loaded_ratio(loading),
        schedules=_sum(_each(loaded, partitions, "schedules")),
        unreadable=_sum(_each(loaded, partitions, "unreadable")),
        due_per_minute=_sum(_each(owned, partitions, "due_per_minute")),
        missed=_sum(_each(owned, partitions, "missed")),
        position_ms=None if positions is None else min(positions),
        problems=tuple(_problems(reading))[:MAX_PROBLEMS],
    )


def schedules_to_wire(state: SchedulesState) -> dict[str, Any]:
    """Return the JSON of the field `schedules` of `GET /v1/clocks/{clock}`."""
    return {
        "partitions": state.partitions,
        "owned": state.owned,
        "replicas": state.replicas,
        "loading": state.loading,
        "loaded_ratio": state.loaded_ratio,
        "count": state.schedules,
        "unreadable": state.unreadable,
        "due_per_minute": state.due_per_minute,
        "missed": state.missed,
        "position": time_to_wire(state.position_ms),
        "problems": list(state.problems),
    }


def schedules_from_wire(wire: Mapping[str, Any]) -> SchedulesState:
    """The reverse of `schedules_to_wire`; unknown fields are ignored.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not the state of schedules.
    """
    return SchedulesState(
        partitions=int(wire["partitions"]),
        owned=wire["owned"],
        replicas=wire["replicas"],
        loading=wire["loading"],
        loaded_ratio=wire["loaded_ratio"],
        schedules=wire["count"],
        unreadable=wire["unreadable"],
        due_per_minute=wire["due_per_minute"],
        missed=wire["missed"],
        position_ms=time_from_wire("position", wire["position"]),
        problems=tuple(wire["problems"]),
    )


def _each(stats: Mapping[int, Stats], partitions: int, field: str) -> list[Any] | None:
    """Return a figure of every partition; None if that of one is not known."""
    values = [one.get(field) for one in stats.values()]
    return None if len(values) < partitions or None in values else values


def _sum(values: list[Any] | None) -> Any:
    return None if values is None else sum(values)


def _loaded_ratio(loading: Iterable[Stats]) -> float | None:
    known = [one for one in loading if one.get("end")]
    end = sum(one["end"] for one in known)
    return sum(min(one["offset"], one["end"]) for one in known) / end if end else None


def _problems(reading: SchedulersReading) -> Iterable[str]:
    for one in reading.announcements:
        name = one.replica.partition(" ")[0]
        for number, stats in sorted(one.stats.items()):
            if stats.get("problem"):
                yield f"partition {number} at {name}: {stats['problem']}"
