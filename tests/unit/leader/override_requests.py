"""An operator who submits requests as a replica of the service does, and reads their results."""

import itertools

from clocksvc.clock.log_record import CONTROL, TICK, Record, decode_message
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult
from clocksvc.clock.time_format import parse_timestamp
from tests.faulty.clock import FaultyClock

TTL_MS = 10_000


_IDS = (f"r{number}" for number in itertools.count(1))


class Operator:
    """Submits requests to one clock's leader, which handles them at its next step."""

    def __init__(self, clock: FaultyClock) -> None:
        self._clock = clock

    def submit(
        self,
        kind: RequestKind | str,
        number: int | None = None,
        reason: str = "a disk died",
        last_tick_ms: int | None = None,
        *,
        skip_ticks: bool = False,
    ) -> str:
        """Submit a request, about a partition of the clock's topic if a number is given; its id."""
        now_ms = self._clock.store.now_ms()
        partition = None if number is None else Partition(self._clock.spec.topics[0], number)
        what = (partition, last_tick_ms, skip_ticks)
        request = Request(next(_IDS), kind, "ada", now_ms, reason, now_ms + TTL_MS, *what)
        assert self._clock.store.submit_request(request)
        return request.id

    def ask(
        self, kind: RequestKind | str, number: int | None = None, reason: str = "a disk died"
    ) -> RequestResult | None:
        """Submit a request, let the leader step, and return the result."""
        submitted = self.submit(kind, number, reason)
        self._clock.settle()
        return self.answer(submitted)

    def submit_init(self, last_tick: str, *, skip_ticks: bool = False) -> str:
        """Submit `clocksvc init CLOCK --last-tick T`; the request's id."""
        last_tick_ms = parse_timestamp("last_tick", last_tick)
        return self.submit(RequestKind.INIT, reason="clocksvc init", last_tick_ms=last_tick_ms, skip_ticks=skip_ticks)

    def init(self, last_tick: str, *, skip_ticks: bool = False) -> RequestResult:
        """Submit an init, let the leader step, and return the result."""
        submitted = self.submit_init(last_tick, skip_ticks=skip_ticks)
        self._clock.settle()
        answer = self.answer(submitted)
        assert answer is not None
        return answer

    def answer(self, request_id: str) -> RequestResult | None:
        """The result so far; None if there is none yet."""
        return self._clock.store.read_request_result(request_id)


def records(clock: FaultyClock) -> list[Record]:
    """All ticks and control records of the tick log, without snapshots."""
    messages = [entry.message for entry in clock.log.committed()]
    return [decode_message(message) for message in messages if message.type in (TICK, CONTROL)]


def controls(clock: FaultyClock) -> list[Record]:
    """The tick log's control records that execute requests. Others contain a new roster."""
    return [record for record in records(clock) if record.requests]
