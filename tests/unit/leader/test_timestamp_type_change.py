"""A topic's `message.timestamp.type` is changed while ticks flow."""

from dataclasses import replace

import pytest

from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS
from clocksvc.interfaces.topics import TimestampType
from tests.faulty.clock import FaultyClock
from tests.preconditions import require


@pytest.mark.parametrize("interval_seconds", [1, 10])
def test_create_time_gets_its_out_of_orderness(interval_seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timestamp type is read again every 30 s at any interval: a CreateTime topic gets an out-of-orderness of
    10 s."""
    clock = FaultyClock(interval_seconds=interval_seconds, now="2026-11-22T12:00:00Z")
    clock.leader = clock.new_leader("leader", replace(clock.spec, max_out_of_orderness_ms=None))

    def report_every_second(seconds: int) -> None:
        for _ in range(seconds):
            clock.time.advance(1)
            clock.report(0, clock.time.now_ms() / 1000)

    def out_of_orderness_ms() -> int | None:
        bounds = clock.store.snapshot().parameters
        return None if bounds is None else bounds.out_of_orderness_ms

    report_every_second(40)
    require(out_of_orderness_ms() == 0, "LogAppendTime topics have no out-of-orderness")

    create_time = {"events": TimestampType.CREATE_TIME}
    monkeypatch.setattr(clock.topics, "timestamp_types", lambda topics: create_time)
    report_every_second(60)

    assert out_of_orderness_ms() == CREATE_TIME_OUT_OF_ORDERNESS_MS
