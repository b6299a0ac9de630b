"""A complete in-memory clock whose store, tick log and topics can fail."""

from clocksvc.interfaces.tick_log import TickLog
from clocksvc.testing import InMemoryClock
from tests.faulty.store import FaultyStoreServer
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.faulty.topics import FaultyTopics


class FaultyClock(InMemoryClock):
    """An InMemoryClock with faults."""

    store_server: FaultyStoreServer
    log: FaultyLog
    topics: FaultyTopics

    def make_parts(self) -> None:
        self.store_server = FaultyStoreServer(self.time)
        self.log = FaultyLog(self.time)
        self.topics = FaultyTopics("memory")

    def new_tick_log(self) -> TickLog:
        return FaultyTickLog(self.log)

    def kafka_ready(self) -> bool:
        return not self.topics.unavailable
