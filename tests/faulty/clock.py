"""A complete in-memory clock whose store, tick log and topics can fail."""

from clocksvc.interfaces.tick_log import TickLog
from clocksvc.testing import InMemoryClock
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.faulty.topics import FaultyTopics


class FaultyClock(InMemoryClock):
    """An InMemoryClock with faults."""

    store: FaultyStore
    log: FaultyLog
    topics: FaultyTopics

    def make_parts(self) -> None:
        self.store = FaultyStore(self.spec.name, self.time, self.spec.recent_ticks_ms)
        self.log = FaultyLog()
        self.topics = FaultyTopics("memory")

    def new_tick_log(self) -> TickLog:
        return FaultyTickLog(self.log, self.spec.name)
