"""Upstream clocks in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading


@dataclass
class MemoryUpstreams:
    """`Upstreams` with ticks that a test appends.

    Attributes:
        ticks: the kept ticks of each upstream clock, ascending.
        states: what people see of a clock; the last tick in it is that of `ticks`. A clock without a state is running.
        limit: how many ticks one read returns at most.
        reads: what was asked for, for each read.
    """

    ticks: dict[UpstreamKey, list[Tick]] = field(default_factory=dict)
    states: dict[UpstreamKey, UpstreamObservation] = field(default_factory=dict)
    limit: int = 10_000
    reads: list[Mapping[UpstreamKey, int | None]] = field(default_factory=list)

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        self.reads.append(dict(after_ms))
        return {key: self._read(key, time_ms) for key, time_ms in after_ms.items()}

    def _read(self, key: UpstreamKey, after_ms: int | None) -> UpstreamReading:
        state = self.states.get(key, UpstreamObservation(key.clock, key.url, None, status="running"))
        if state.problem:
            return UpstreamReading((), state)
        kept = self.ticks.get(key, [])
        later = [tick for tick in kept if after_ms is not None and tick.at_ms > after_ms]
        found = kept[-1:] if after_ms is None else later[: self.limit]
        last = found[-1] if found else (kept[-1] if kept else None)
        trimmed = bool(after_ms is not None and kept and (kept[0].previous_ms or 0) > after_ms)
        return UpstreamReading(tuple(found), replace(state, last_tick_ms=None if last is None else last.at_ms), trimmed)
