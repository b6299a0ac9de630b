"""The lease: it is renewed during long operations, and a leader without progress releases it."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from clocksvc.api.leader_requests import EXPIRES_MS
from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import CONTROL, FORMAT, SNAPSHOT, TICK, LogEntry, Message
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from clocksvc.kafka.client import SLICE_S
from clocksvc.leader import lease
from clocksvc.leader.leader import Leader, Phase
from clocksvc.redis.connection import RESPONSE_TIMEOUT_S
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.shared_log import SharedLog
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.faulty.topics import FaultyTopics
from tests.unit.leader.clocks import (
    another_leader,
    clock_with_ticks,
    hold_of,
    minutes,
    pass_time,
    phase_of,
    report_only,
    times,
)


class SlowToRead(FaultyTickLog):
    """A tick log that needs 0.9 s to read a thousand records: less than the interval of the keep-alive."""

    def __init__(self, log: FaultyLog, time: ManualTime) -> None:
        super().__init__(log)
        self._time = time

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        entries: list[LogEntry] = []
        for begin in range(start, end, 1_000):
            self._time.advance(0.9)
            entries += super().read(begin, min(end, begin + 1_000), keep_alive)
            if end - start > 1_000:
                keep_alive()
        return entries


class SlowTopics(FaultyTopics):
    """A cluster that needs 1.7 s for each answer about topics: less than the time-out. Meanwhile a standby steps."""

    standby: Leader | None = None

    def __init__(self, time: ManualTime) -> None:
        super().__init__("memory")
        self._time = time

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        self._wait()
        return super().describe(topics)

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        self._wait()
        return super().timestamp_types(topics)

    def _wait(self) -> None:
        for _ in range(17):
            self._time.advance(0.1)
            if self.standby is not None and self.standby.phase is Phase.STANDBY:
                self.standby.step()


class OlderVersion(FaultyTickLog):
    """A replica of an older version, which can't read the records of the clock."""

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        newer = json.dumps({"format": FORMAT + 1}).encode()
        entries = super().read(start, end, keep_alive)
        return [
            LogEntry(at, message._replace(value=newer)) if _is_record(message) else LogEntry(at, message)
            for at, message in entries
        ]


def _is_record(message: Message) -> bool:
    return message.type in (TICK, CONTROL, SNAPSHOT)


def test_a_restoration_may_take_longer_than_a_lease() -> None:
    """After a FLUSHALL it takes 4.5 s to read a long log: the leader keeps its lease, and the stream is complete
    again."""
    clock = FaultyClock(interval_seconds=1, now="2026-11-22T14:00:00Z")
    clock.report(0, "2026-11-22T12:00:00Z")
    clock.report(0, "2026-11-22T13:23:20Z")
    before = times(clock)
    clock.leader.leave()
    clock.store_server.wipe()
    leader = another_leader(clock, "slow", ticklog=SlowToRead(clock.log, clock.time))
    while phase_of(leader) is not Phase.LEADING or not clock.store.bounds().restoring:
        clock.time.advance(leader.step())
    began, phases = clock.time.monotonic(), set()
    while clock.store.bounds().restoring:
        leader.step()
        phases.add(leader.phase)

    assert clock.time.monotonic() - began > lease.LEASE_MS / 1000
    assert phases == {Phase.LEADING}
    assert len(before) == 5_001
    assert times(clock) == before


def test_slow_answers_about_topics_do_not_cost_the_lease() -> None:
    """Two requests to Kafka that together take longer than a lease, each within its time-out: the leader keeps its
    lease."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    topics = SlowTopics(clock.time)
    topics.create("events", 1, TimestampType.LOG_APPEND_TIME)
    leader = another_leader(clock, "slow", topics=topics, spec=replace(clock.spec, max_out_of_orderness_ms=None))
    for _ in range(8):
        clock.time.advance(leader.step())
    assert leader.phase is Phase.LEADING

    report_only(clock, minutes(1)[0])
    for _ in range(8):
        clock.time.advance(leader.step())

    assert times(clock) == minutes(1)


@pytest.mark.parametrize("lost", [0, 1, 50])
@pytest.mark.parametrize("waited_s", [1, 31])
def test_slow_answers_for_many_clocks_do_not_cost_the_lease(lost: int, waited_s: float) -> None:
    """A round reads the metadata and the timestamp types of fifty clocks in one question each: 3.4 s. Nothing has to be
    committed after a loss of the store, and a standby claims the lease as soon as it expires."""
    shared = SharedLog(50)
    shared.change(max_out_of_orderness_ms=None)
    shared.topics = topics = SlowTopics(shared.time)
    for name in shared.names:
        topics.create(name, 1, TimestampType.LOG_APPEND_TIME)
    leader = shared.add_leader(settle=False)
    for _ in range(8):
        shared.time.advance(leader.step())
    topics.standby = shared.add_leader("standby", settle=False)
    topics.standby.step()
    for _ in range(20):
        leader.step()
        shared.time.advance(waited_s / 20)
    assert leader.phase is Phase.LEADING
    epoch = shared.log.epoch
    for name in shared.names[:lost]:
        shared.store_server.content.clocks.pop(name)

    for _ in range(8):
        shared.time.advance(leader.step())

    assert leader.phase is Phase.LEADING
    assert shared.log.epoch == epoch
    assert all(store.snapshot().unknown == 1 for store in shared.stores.values())


def test_without_kafka_a_quiet_clock_holds_too_and_releases_the_lease() -> None:
    """With a tick a day nothing is due when Kafka is lost: the hold shows without a gap, and other replicas get the
    lease."""
    clock = FaultyClock(interval_seconds=86_400, now="2026-11-22T12:00:00Z")
    clock.report(0, "2026-11-22T11:00:00Z")
    clock.topics.unavailable = clock.log.unavailable = True
    first, other = clock.leader, clock.new_leader("other")
    pass_time(clock, 31, first, other)

    holds, leaders = set(), set()
    for _ in range(80):
        pass_time(clock, 0.25, first, other)
        holds.add(hold_of(clock)[0])
        leaders.add(clock.store.snapshot().leader)

    assert holds <= {Reason.METADATA_UNAVAILABLE, Reason.TICKLOG_UNAVAILABLE}
    assert leaders >= {"leader", "other"}


def released(clock: FaultyClock, leader: Leader) -> bool:
    """True if a leader releases the lease within 10 s."""
    for _ in range(40):
        pass_time(clock, 0.25, leader)
        if phase_of(leader) is Phase.STANDBY:
            return True
    return False


@pytest.mark.parametrize("replica", ["foreign", "other", "a", "b"])
def test_a_replica_of_another_cluster_leaves_the_lease_to_the_right_one(replica: str) -> None:
    """It got the lease while the right replica was away, and can't use it: the right one leads the clock again,
    regardless of their ranks."""
    clock = clock_with_ticks()
    clock.leader.leave()
    elsewhere = FaultyTopics("another")
    elsewhere.create("events", 1)
    foreign = another_leader(clock, replica, ticklog=FaultyTickLog(FaultyLog(clock.time)), topics=elsewhere)
    clock.settle(foreign)
    assert hold_of(clock)[0] is Reason.STORE_MISMATCH
    assert released(clock, foreign)
    assert hold_of(clock)[0] is Reason.STORE_MISMATCH
    right = clock.new_leader("right")

    pass_time(clock, 6, foreign, right)

    assert phase_of(right) is Phase.LEADING
    assert phase_of(foreign) is Phase.STANDBY


@pytest.mark.parametrize("replica", ["old", "other", "a", "b"])
def test_an_older_version_leaves_the_lease_to_a_newer_one(replica: str) -> None:
    """In a rolling upgrade a replica that can't read the last record does not stop the clock, regardless of their
    ranks."""
    clock = clock_with_ticks()
    clock.leader.leave()
    old = another_leader(clock, replica, ticklog=OlderVersion(clock.log))
    clock.settle(old)
    assert hold_of(clock)[0] is Reason.TICKLOG_UNAVAILABLE
    assert released(clock, old)
    assert hold_of(clock)[0] is Reason.TICKLOG_UNAVAILABLE
    new = clock.new_leader("new")

    pass_time(clock, 6, old, new)

    assert phase_of(new) is Phase.LEADING


def test_durations_keep_their_order_if_the_lease_changes() -> None:
    """Other durations rely on this: renewals in time, a turn for a standby, and short failovers that readers don't
    see."""
    lease_s = lease.LEASE_MS / 1000

    assert lease_s > RESPONSE_TIMEOUT_S + lease.RENEW_EVERY_S
    assert lease_s >= 3 * SLICE_S
    assert lease_s + lease.CLAIM_EVERY_S < lease.STEP_BACK_S
    assert 2 * lease.HOLD_RETRY_S < lease.STUCK_TIMEOUT_S
    assert lease.ANNOUNCE_EVERY_S + lease.CLAIM_EVERY_S < lease.ANNOUNCEMENTS_COMPLETE_AFTER_MS / 1000
    assert 2 * lease.ANNOUNCE_EVERY_S < lease.ANNOUNCEMENT_TTL_MS / 1000
    assert lease.STUCK_TIMEOUT_S + lease_s < EXPIRES_MS / 1000
    assert 2 * lease.PUBLISH_STATUS_EVERY_S + lease.STUCK_TIMEOUT_S + lease_s < lease.STATUS_TTL_MS / 1000
