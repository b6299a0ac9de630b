"""What is known of one process that may lead one log: what it has read, and when."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.spec import ClockSpec
from tests.simulation.world.scheduler import SimulatedTime


@dataclass
class ClockReading:
    """What a process has read of one clock in its last round.

    Attributes:
        at: the moment of the reading. -1 before the first.
        store_ms: the store's time then.
        disagreed: replicas with several configurations of this clock were announced.
        out_of_orderness_ms: the least that must be subtracted.
    """

    at: int = -1
    store_ms: int = 0
    disagreed: bool = False
    out_of_orderness_ms: int = 0


@dataclass
class Witness:
    """One process and one log.

    Attributes:
        specs: the clocks of this log in the process's configuration.
        guest: the process belongs to another installation.
        readings: by clock.
        described_at: for each topic, the moment at which the last request for its metadata began.
        topics: the last metadata of each topic. A topic is absent if it was not listed.
        fenced_at: the moment of the last fence; -1 before the first.
        known_end: the end of the log as the process knows it since this fence; None before it has read it.
    """

    name: str
    log: int
    specs: Mapping[str, ClockSpec]
    time: SimulatedTime
    guest: bool = False
    readings: dict[str, ClockReading] = field(default_factory=dict)
    described_at: dict[str, int] = field(default_factory=dict)
    topics: dict[str, TopicMetadata] = field(default_factory=dict)
    fenced_at: int = -1
    known_end: int | None = None

    def note_metadata(self, began: int, names: Collection[str], found: Mapping[str, TopicMetadata]) -> None:
        """It got metadata for a request that began at a moment."""
        for name in names:
            self.described_at[name] = began
            if name in found:
                self.topics[name] = found[name]
            else:
                self.topics.pop(name, None)

    def reading(self, clock: str) -> ClockReading:
        """Return what it last read of a clock."""
        return self.readings.setdefault(clock, ClockReading())
