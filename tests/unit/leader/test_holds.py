"""What a leader publishes while a hold lasts: without gaps, and with the right partitions."""

import json
from collections.abc import Sequence

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, hold_of, pass_time


def test_a_hold_stays_while_metadata_are_read() -> None:
    """Metadata of a missing topic are read every second; the hold stays published all the time."""
    clock = clock_with_ticks()
    clock.topics.hide("events", 0)
    clock.report(0, "2026-11-22T12:04:00Z")
    said: list[str] = []
    say = clock.store.publish_status

    def listen(token: str, verdict: str, ttl_ms: int) -> None:
        said.append(json.loads(verdict)["hold"]["reason"])
        say(token, verdict, ttl_ms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock.store, "publish_status", listen)
        pass_time(clock, 25, clock.leader)

    assert said
    assert set(said) == {"topic_missing"}
    assert hold_of(clock)[0] is Reason.TOPIC_MISSING


@pytest.mark.parametrize(
    ("refused", "reason"), [((0,), Reason.PARTITION_UNREPORTED), ((0, 1), Reason.REPORTS_REJECTED)]
)
def test_a_rejection_does_not_hide_partitions_without_reports(refused: Sequence[int], reason: Reason) -> None:
    """Rejected reports are the reason only if every partition that holds has one. All that hold are named either
    way."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    for number in refused:
        clock.report(number, "2026-11-22T13:30:00Z")
    pass_time(clock, 1, clock.leader)

    assert hold_of(clock) == (reason, (Partition("events", 0), Partition("events", 1)))
