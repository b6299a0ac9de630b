"""Somebody on the night shift: leaves requests as a replica of the service does, and reads the answers."""

import itertools

from clocksvc.clock.log_record import Record, decode_record
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult
from tests.faulty.clock import FaultyClock

LASTS_MS = 10_000


class Operator:
    """Asks one clock's leader. What follows from it happens when the leader steps."""

    def __init__(self, clock: FaultyClock) -> None:
        self._clock = clock
        self._ids = (f"r{number}" for number in itertools.count(1))

    def leave(self, kind: RequestKind | str, number: int | None = None, reason: str = "a disk died") -> str:
        """Leave a request, about a partition of the clock's topic where one is given; its id."""
        now_ms = self._clock.store.now_ms()
        partition = None if number is None else Partition(self._clock.spec.topics[0], number)
        request = Request(next(self._ids), kind, "ada", now_ms, reason, now_ms + LASTS_MS, partition)
        assert self._clock.store.submit_request(request)
        return request.id

    def ask(
        self, kind: RequestKind | str, number: int | None = None, reason: str = "a disk died"
    ) -> RequestResult | None:
        """Leave a request and let the leader step; its answer."""
        left = self.leave(kind, number, reason)
        self._clock.settle()
        return self.answer(left)

    def answer(self, request_id: str) -> RequestResult | None:
        """The leader's answer so far."""
        return self._clock.store.read_request_result(request_id)


def records(clock: FaultyClock) -> list[Record]:
    """The tick log."""
    return [decode_record(message.type or "", message.value or b"") for message in clock.log.committed()]


def controls(clock: FaultyClock) -> list[Record]:
    """The tick log's control records."""
    return [record for record in records(clock) if record.type == "control"]
