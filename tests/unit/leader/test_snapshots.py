"""Snapshots: when a leader writes them, what the next leader reads, and logs that have none."""

import json
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_owner import OWNER
from clocksvc.clock.log_record import CONTROL, SNAPSHOT, TICK, LogEntry, Message
from clocksvc.clock.log_state import SNAPSHOT_END, SNAPSHOT_EVERY
from clocksvc.clock.request import Request, RequestKind, ResultKind
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import OutcomeUnknown
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.store import MemoryStore
from tests.faulty.commits import TornTransaction
from tests.faulty.shared_log import SharedLog
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.unit.leader.clocks import logged_times, minutes, published_hold, stored_times, transactions

pytestmark = pytest.mark.core


class CountedLog(FaultyTickLog):
    """A tick log that counts the records that were read."""

    count = 0

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        entries = super().read(start, end, keep_alive)
        self.count += len(entries)
        return entries


class TornSnapshot(FaultyTickLog):
    """A delayed request tears the first transaction with ticks and a snapshot, some records after the ticks."""

    def __init__(self, beyond_ticks: int) -> None:
        super().__init__(FaultyLog())
        self.beyond_ticks, self.torn = beyond_ticks, False

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        ticks = sum(message.type == TICK for message in messages)
        if ticks and messages[-1].type == SNAPSHOT_END and not self.torn:
            self.torn = True
            self._log.torn = [TornTransaction(max(0, ticks + self.beyond_ticks), answered=True)]
        return super().append(messages, end, keep_alive)


class UnansweredSnapshot(FaultyTickLog):
    """Kafka commits the first transaction that has ticks and a snapshot, but its answer is lost."""

    def __init__(self) -> None:
        super().__init__(FaultyLog())
        self.unanswered = False

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        after = super().append(messages, end, keep_alive)
        if messages[0].type == TICK and messages[-1].type == SNAPSHOT_END and not self.unanswered:
            self.unanswered = True
            raise OutcomeUnknown("the answer was lost")
        return after


def types(shared: SharedLog) -> list[str | None]:
    """The types of the committed records."""
    return [entry.message.type for entry in shared.log.committed()]


def restart(shared: SharedLog, replica: str, *clocks: str) -> None:
    """Another replica leads the log; with these clocks in its configuration, if any are given."""
    for leader in shared.leaders.values():
        leader.leave()
    shared.leaders.clear()
    shared.add_leader(replica, specs={name: shared.specs[name] for name in clocks} if clocks else None)


def hold(shared: SharedLog, clock: str) -> Reason | None:
    """The reason of a clock's published hold."""
    return published_hold(shared.stores[clock])[0]


def init(shared: SharedLog, clock: str, last_tick: str) -> ResultKind | None:
    """Run `clocksvc init CLOCK --last-tick T`."""
    store, now_ms = shared.stores[clock], shared.time.now_ms()
    id = f"{clock} {last_tick} {now_ms}"
    last_ms = parse_timestamp("T", last_tick)
    request = Request(id, RequestKind.INIT, "ada", now_ms, "init", now_ms + 10_000, last_tick_ms=last_ms)
    assert store.submit_request(request)
    shared.settle()
    result = store.read_request_result(id)
    return None if result is None else result.kind


# -- when -------------------------------------------------------------------------------------------------------------


def test_a_term_begins_with_a_snapshot() -> None:
    """It has the newest record of each clock, verbatim."""
    shared = SharedLog(2)
    shared.add_leader()
    shared.report(minutes(1)[0])
    newest = [entry.message for entry in shared.log.committed()][-2:]
    begin = shared.log.end
    restart(shared, "next")

    written = [entry.message for entry in shared.log.committed(begin)]
    assert [one.type for one in written] == [OWNER, SNAPSHOT, SNAPSHOT, SNAPSHOT_END]
    assert sorted(written[1:3]) == sorted(one._replace(type=SNAPSHOT) for one in newest)
    body = json.loads(written[-1].value or b"")
    assert (body["offset"], body["count"], body["complete"]) == (begin + 1, 2, True)


def test_there_are_at_most_two_thousand_records_between_snapshots() -> None:
    """In a long backlog of several clocks, with the records of requests."""
    shared = SharedLog(3, interval_seconds=1)
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z")
    shared.report("2026-11-22T11:40:00Z")

    counts, since = [], 0
    for one in types(shared):
        since += one in (TICK, CONTROL)
        if one == SNAPSHOT_END:
            counts.append(since)
            since = 0
    assert types(shared).count(TICK) == 3 * 2_401
    assert max([*counts, since]) <= SNAPSHOT_EVERY
    assert len(counts) <= 1 + 3 * 2_401 // 1_000


def test_a_snapshot_needs_no_transaction_of_its_own() -> None:
    """In a backlog, it is in the transaction of the ticks after which it is due."""
    shared = _backlog()

    markers = sum(entry.message is None for entry in shared.log.entries)
    assert types(shared).count(SNAPSHOT_END) >= 4
    # Besides those with ticks: the snapshot with which the term begins, and the roster.
    assert markers <= len(transactions(shared.log)) + 2


def test_a_rejected_copy_rejects_the_ticks_once() -> None:
    """The limit of the size of records was lowered, and the last record of a clock that left the configuration is too
    large now. The next round commits the ticks without a snapshot."""
    shared = SharedLog(2, interval_seconds=1)
    removed, clock = shared.names
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z")
    restart(shared, "next", clock)
    shared.log.rejected_keys, shared.log.rejects_copies = {removed.encode()}, True

    shared.report("2026-11-22T12:00:00Z", [clock])
    shared.run(2)

    assert len(logged_times(shared.log, clock)) == 3_601
    assert stored_times(shared.stores[clock]) == logged_times(shared.log, clock)


@pytest.mark.parametrize("beyond_ticks", [-1_000, -499, -1, 0, 1, 2, 3])
def test_ticks_whose_snapshot_is_torn(beyond_ticks: int) -> None:
    """A delayed request commits only the first records of a transaction with ticks and a snapshot. No tick is lost, and
    none is emitted twice."""
    log = TornSnapshot(beyond_ticks)
    shared = _backlog(log)
    shared.run(5)

    (clock,) = shared.names
    found = logged_times(shared.log, clock)
    assert log.torn
    assert len(found) == len(set(found)) == 5_001
    assert stored_times(shared.stores[clock]) == found


def test_ticks_before_a_snapshot_that_were_not_published_are_appended() -> None:
    """The next term begins with a snapshot that is after these ticks. The stream is not emptied and restored, because
    readers would wait until its whole history is there."""
    log = UnansweredSnapshot()
    with patch.object(MemoryStore, "begin", autospec=True, side_effect=MemoryStore.begin) as begin:
        shared = _backlog(log)

    (clock,) = shared.names
    assert log.unanswered
    assert begin.call_count == 1
    assert stored_times(shared.stores[clock]) == logged_times(shared.log, clock)


def _backlog(ticklog: FaultyTickLog | None = None) -> SharedLog:
    """One clock of 1 s that has caught up 5,000 ticks."""
    shared = SharedLog(1, interval_seconds=1)
    if ticklog is not None:
        ticklog._log = shared.log
    shared.add_leader(ticklog=ticklog)
    shared.report("2026-11-22T11:00:00Z")
    shared.report("2026-11-22T12:23:20Z")
    return shared


def test_a_quiet_log_gets_no_snapshots() -> None:
    """A leader without ticks writes nothing."""
    shared = SharedLog(1)
    shared.add_leader()
    shared.report(minutes(1)[0])
    end = shared.log.end

    shared.run(300, step_s=1)

    assert shared.log.end == end


def test_the_next_leader_reads_few_records() -> None:
    """The log has 7,200 ticks: the leader reads those since the last snapshot, and at most twice that."""
    shared = SharedLog(3, interval_seconds=1)
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z")
    shared.report("2026-11-22T11:40:00Z")
    shared.leaders.pop("leader").leave()
    log = CountedLog(shared.log)
    shared.add_leader("next", ticklog=log)

    # The log is read for the installation, and after the fence.
    assert log.count / 2 <= 2 * SNAPSHOT_EVERY
    shared.report("2026-11-22T11:40:01Z")
    assert all(stored_times(store)[-1] == "2026-11-22T11:40:01Z" for store in shared.stores.values())


# -- incomplete snapshots ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", range(6))
def test_a_torn_snapshot(records: int) -> None:
    """A delayed request commits the first records of a snapshot. Every clock continues at its last tick, in this term
    and in the next ones."""
    shared = SharedLog(3)
    shared.add_leader()
    shared.report(minutes(1)[0])
    shared.leaders.pop("leader").leave()
    shared.log.torn = [TornTransaction(records, answered=True)]
    shared.add_leader("next")
    shared.run(5)
    shared.report(minutes(2)[0])
    shared.store_server.wipe()
    restart(shared, "third")
    shared.run(5)
    shared.report(minutes(3)[0])

    for name in shared.names:
        assert logged_times(shared.log, name) == stored_times(shared.stores[name]) == minutes(1, 2, 3)


@pytest.mark.parametrize("gone", ["installation", "a copy", "all copies", "the end", "everything"])
def test_a_compacted_snapshot(gone: str) -> None:
    """Compaction removes records of the newest snapshot and keeps a newer record of each key. No state is lost."""
    shared = SharedLog(2)
    shared.add_leader()
    shared.report(minutes(1)[0])
    restart(shared, "next")
    shared.report(minutes(2)[0])
    wanted = {
        "installation": {OWNER},
        "a copy": {SNAPSHOT},
        "all copies": {SNAPSHOT},
        "the end": {SNAPSHOT_END},
        "everything": {OWNER, SNAPSHOT, SNAPSHOT_END},
    }[gone]
    offsets = [entry.offset for entry in shared.log.committed() if entry.message.type in wanted]
    shared.log.compact(set(offsets[-1:] if gone == "a copy" else offsets))
    shared.store_server.wipe()
    restart(shared, "third")
    shared.run(5)
    shared.report(minutes(3)[0])

    assert [logged_times(shared.log, name) for name in shared.names] == [minutes(1, 2, 3)] * 2
    assert [hold(shared, name) for name in shared.names] == [None] * 2


# -- clocks that come and go ------------------------------------------------------------------------------------------


def test_a_clock_that_left_the_configuration_is_kept() -> None:
    """Ten terms and thousands of records without it: when it is configured again, it continues after its last tick,
    even without the store."""
    shared = SharedLog(2, interval_seconds=1)
    first, second = shared.names
    shared.add_leader()
    shared.report("2026-11-22T11:00:00Z")
    for number in range(10):
        restart(shared, f"without-{number}", first)
    shared.report("2026-11-22T11:50:00Z", [first])
    restart(shared, "without", first)
    shared.log.truncate_before(shared.log.end - 20)
    shared.store_server.wipe()

    restart(shared, "with")
    shared.run(4)
    assert hold(shared, second) is Reason.PARTITION_UNREPORTED
    shared.report("2026-11-22T11:00:02Z", [second])

    ticks = shared.stores[second].ticks_after(0, 10)
    last_ms = parse_timestamp("last", "2026-11-22T11:00:00Z")
    assert [tick.previous_ms for tick in ticks] == [last_ms, last_ms + 1_000]


def test_a_new_clock_starts_beside_old_ones() -> None:
    """The log was always complete, so a clock without a record has never ticked, also after old records are gone."""
    shared = SharedLog(2)
    first, second = shared.names
    shared.add_leader("one", specs={first: shared.specs[first]})
    shared.report(minutes(1)[0], [first])
    restart(shared, "again", first)
    shared.log.truncate_before(shared.log.end - 4)
    restart(shared, "both")
    shared.report(minutes(5)[0])

    assert stored_times(shared.stores[second]) == minutes(5)
    assert shared.stores[second].newest_ticks(1)[0].previous_ms is None
    assert stored_times(shared.stores[first]) == minutes(*range(1, 6))


# -- logs without a complete snapshot ---------------------------------------------------------------------------------


def without_snapshots(shared: SharedLog) -> None:
    """Compaction has removed all parts of all snapshots."""
    parts = (OWNER, SNAPSHOT, SNAPSHOT_END)
    shared.log.compact({entry.offset for entry in shared.log.committed() if entry.message.type in parts})


def test_a_log_without_a_snapshot_is_read_from_its_beginning() -> None:
    """No record was deleted before the first one, so a clock without a record has never ticked."""
    shared = SharedLog(2)
    first, second = shared.names
    shared.add_leader("one", specs={first: shared.specs[first]})
    shared.report(minutes(1)[0], [first])
    shared.leaders.pop("one").leave()
    without_snapshots(shared)
    restart(shared, "both")
    shared.report(minutes(3)[0])

    assert [stored_times(shared.stores[name]) for name in (first, second)] == [minutes(1, 2, 3), minutes(3)]


def test_a_truncated_log_without_a_snapshot() -> None:
    """A clock with a record continues. A clock without one holds: it may have ticked. This is also true for the leaders
    after that, which read the snapshots of a log that is not complete, until a person runs `clocksvc init`."""
    shared = SharedLog(3)
    known, unknown, new = shared.names
    both = {name: shared.specs[name] for name in (known, unknown)}
    shared.add_leader("one", specs=both)
    shared.report(minutes(1)[0], [unknown])
    shared.report(minutes(2)[0], [known])
    shared.leaders.pop("one").leave()
    without_snapshots(shared)
    shared.log.truncate_before(shared.log.committed()[-1].offset)
    shared.store_server.wipe()

    for number in range(3):
        restart(shared, f"next-{number}")
        shared.run(5)
        shared.report(minutes(4)[0])
        assert hold(shared, unknown) is hold(shared, new) is Reason.TICKLOG_TRUNCATED
        assert logged_times(shared.log, unknown) == logged_times(shared.log, new) == []
        assert logged_times(shared.log, known) == minutes(2, 3, 4)
    assert init(shared, unknown, minutes(3)[0]) is ResultKind.DONE
    restart(shared, "after-init")
    shared.report(minutes(4)[0])

    assert logged_times(shared.log, unknown) == minutes(4)
    assert hold(shared, unknown) is None
    assert hold(shared, new) is Reason.TICKLOG_TRUNCATED


def test_a_clock_that_is_configured_later_in_a_truncated_log() -> None:
    """It may have ticked before records were deleted. The snapshots since then don't know either, and say so."""
    shared = SharedLog(2)
    known, later = shared.names
    shared.add_leader("one", specs={known: shared.specs[known]})
    shared.report(minutes(1)[0], [known])
    shared.leaders.pop("one").leave()
    without_snapshots(shared)
    shared.log.truncate_before(shared.log.committed()[-1].offset)
    for number in range(3):
        restart(shared, f"next-{number}", known)
    restart(shared, "both")
    shared.report(minutes(2)[0])

    assert hold(shared, later) is Reason.TICKLOG_TRUNCATED
    assert logged_times(shared.log, later) == []
    assert logged_times(shared.log, known) == minutes(1, 2)
    ends = [entry.message for entry in shared.log.committed() if entry.message.type == SNAPSHOT_END]
    assert [json.loads(end.value or b"")["complete"] for end in ends] == [False] * 4


def test_records_of_a_held_clock_don_t_end_its_hold() -> None:
    """Its roster and its pause are committed. No later leader concludes from these records that it never ticked."""
    shared = SharedLog(1)
    (name,) = shared.names
    shared.add_leader()
    shared.report(minutes(1)[0])
    shared.leaders.pop("leader").leave()
    shared.log.truncate_before(shared.log.end)
    shared.store_server.wipe()
    shared.specs[name] = replace(shared.specs[name], group="changed")
    shared.add_leader("next")
    shared.run(5)
    shared.topics.add_partitions(name, 1)
    now_ms = shared.time.now_ms()
    shared.stores[name].submit_request(Request("r", RequestKind.PAUSE, "ada", now_ms, "why", now_ms + 10_000))
    shared.run(40)
    answer = shared.stores[name].read_request_result("r")
    assert answer is not None
    assert answer.kind is ResultKind.DONE

    shared.store_server.wipe()
    restart(shared, "third")
    shared.run(5)
    for partition in range(2):
        shared.report(minutes(9)[0], partition=partition)

    assert hold(shared, name) is Reason.TICKLOG_TRUNCATED
    assert logged_times(shared.log, name) == []
