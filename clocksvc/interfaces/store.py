"""One clock's part of the store, which keeps volatile state: all of it can be lost at any time."""

from typing import Protocol

from clocksvc.interfaces.counters import CounterStore
from clocksvc.interfaces.hold_history import HoldHistoryStore
from clocksvc.interfaces.observations import Observations
from clocksvc.interfaces.progress import PartitionProgress
from clocksvc.interfaces.requests import Requests
from clocksvc.interfaces.tick_stream import TickStream


class Store(PartitionProgress, Observations, HoldHistoryStore, TickStream, Requests, CounterStore, Protocol):
    """The store of one clock, for callers that need several of its interfaces. The lease is in interfaces/leases.py."""
