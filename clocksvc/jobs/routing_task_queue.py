"""Several brokers behind one dispatcher. Keeps nothing itself."""

from collections.abc import Mapping

from clocksvc.interfaces.task_queue import (
    DueTask,
    TaskQueue,
)


class RoutingTaskQueue:
    """A Broker: each entry has its own one.

    Args:
        brokers: by the entry's name.
    """

    def __init__(self, brokers: Mapping[str, TaskQueue]) -> None:
        self._brokers = brokers

    def send(self, sending: DueTask) -> None:
        self._brokers[sending.entry].send(sending)
