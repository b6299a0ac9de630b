"""What one clock has read of its upstream clocks: how far they are, and which partitions their ticks excluded."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.observations import Observation, UpstreamObservation
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading, upstream_key


class UpstreamTicks:
    """The upstream clocks of one clock.

    The partitions that any tick of an upstream clock after this clock's last tick excluded are kept until this clock's
    ticks have passed that tick. If an upstream clock no longer keeps ticks after this clock's last one, their
    exclusions are those of the last observation in the store, which was written before each report that depends on
    them; ends that are read later depend only on ticks that are still kept.
    """

    def __init__(self, spec: ClockSpec) -> None:
        self.keys = tuple(upstream_key(one.clock, one.url, spec.topics) for one in spec.after)
        self._states = {key: UpstreamObservation(key.clock, key.url, None) for key in self.keys}
        self._read_ms: dict[UpstreamKey, int] = {}
        # The last tick with these exclusions. A clock can wait for days, while its upstream clocks tick each second.
        self._excluded: dict[frozenset[Partition], int] = {}

    @property
    def upstream_ms(self) -> int | None:
        """The last tick that all upstream clocks have committed; None if one has none."""
        times = [self._read_ms.get(key) for key in self.keys]
        known = [time for time in times if time is not None]
        return min(known) if known and len(known) == len(times) else None

    @property
    def states(self) -> tuple[UpstreamObservation, ...]:
        """The upstream clocks in the order of the configuration."""
        return tuple(self._states.values())

    @property
    def excluded(self) -> tuple[Partition, ...]:
        """The partitions that ticks of upstream clocks excluded since this clock's last tick."""
        return tuple(sorted(frozenset().union(*self._excluded)))

    def restore(self, observation: Observation) -> None:
        """Take over the exclusions of an earlier observer."""
        if observation.excluded and observation.upstream_ms is not None:
            self._keep_excluded(observation.excluded, observation.upstream_ms)

    def read_again(self) -> None:
        """Read the ticks again from the clock's last tick on. The exclusions that are known are kept."""
        self._read_ms.clear()

    def cursor(self, key: UpstreamKey, last_tick_ms: int | None) -> int | None:
        """Return the time after which an upstream clock's ticks are wanted; None for its newest tick only.

        Args:
            last_tick_ms: this clock's last tick; None before the first one.
        """
        return self._read_ms.get(key, last_tick_ms)

    def note(self, readings: Mapping[UpstreamKey, UpstreamReading], last_tick_ms: int | None) -> None:
        """Note what was read; `cursor` said after which time, or an earlier time was asked for."""
        for key in self.keys:
            reading = readings.get(key)
            if reading is None:
                continue
            self._note_ticks(key, reading, self.cursor(key, last_tick_ms))
            # Without an answer, the last known tick: a hold must not blame a clock that has ticked far enough.
            known_ms = self._read_ms.get(key) if reading.state.problem else reading.state.last_tick_ms
            self._states[key] = replace(reading.state, last_tick_ms=known_ms)
        if last_tick_ms is not None:
            self._excluded = {each: at_ms for each, at_ms in self._excluded.items() if at_ms > last_tick_ms}

    def _note_ticks(self, key: UpstreamKey, reading: UpstreamReading, cursor_ms: int | None) -> None:
        ticks = reading.ticks[-1:] if cursor_ms is None else reading.ticks
        for tick in ticks:
            if tick.excluded:
                self._keep_excluded(tick.excluded, tick.at_ms)
        last_ms = ticks[-1].at_ms if ticks else reading.state.last_tick_ms
        if last_ms is not None:
            self._read_ms[key] = max(last_ms, self._read_ms.get(key, last_ms))

    def _keep_excluded(self, excluded: Collection[Partition], at_ms: int) -> None:
        partitions = frozenset(excluded)
        self._excluded[partitions] = max(at_ms, self._excluded.get(partitions, at_ms))
