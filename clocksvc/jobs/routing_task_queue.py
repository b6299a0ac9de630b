"""Several brokers behind one sender. Keeps nothing itself."""

from collections.abc import Mapping

from clocksvc.interfaces.task_queue import (
    Broker,
    Sending,
)


class BrokerByEntry:
    """A Broker: each entry has its own one.

    Args:
        brokers: by the entry's name.
    """

    def __init__(self, brokers: Mapping[str, Broker]) -> None:
        self._brokers = brokers

    def send(self, sending: Sending) -> None:
        self._brokers[sending.entry].send(sending)
