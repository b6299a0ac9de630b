"""A partition of schedules in several replicas: each due time is sent exactly once, at its tick."""

import json
import logging

import pytest

from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.scheduler import due_appender, term
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState
from clocksvc.schedules.due_log import DueLogReader
from tests.faulty.commits import CommitFault, TornTransaction
from tests.unit.scheduler.partition_fixture import MINUTE, PartitionFixture

pytestmark = pytest.mark.core

DAY_S = 86_400


@pytest.fixture
def partition() -> PartitionFixture:
    return PartitionFixture()


# -- ticks ------------------------------------------------------------------------------------------------------------


def test_what_is_due_is_sent_once_at_its_tick(partition: PartitionFixture) -> None:
    partition.put("a")
    partition.put("b", cron="*/2 * * * *")
    owner = partition.owner()

    partition.tick()
    partition.run(owner)
    assert partition.due() == [("a", "12:01")]
    partition.tick()
    partition.run(owner)
    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("b", "12:02")]

    stats = owner.stats
    assert (stats.schedules, stats.records, stats.ticks, stats.due, stats.due_last_tick) == (2, 2, 2, 3, 2)
    assert stats.position_ms == partition.now_ms


def test_a_change_that_was_acknowledged_before_the_tick_counts(partition: PartitionFixture) -> None:
    """The owner reads to the end of its partition after it has read the tick."""
    partition.put("deleted")
    owner = partition.owner()

    def change() -> None:
        partition.ticks.before_read = lambda: None
        partition.put("added")
        partition.delete("deleted")
        partition.tick()

    partition.ticks.before_read = change
    owner.step()

    assert partition.due() == [("added", "12:01")]


def test_nothing_is_decided_while_the_end_of_the_partition_is_not_read(partition: PartitionFixture) -> None:
    """A record behind an open transaction was acknowledged, but can't be read yet."""
    partition.put("deleted")
    owner = partition.owner()

    partition.topic.open_transaction(0)
    partition.delete("deleted")
    partition.tick()
    _step(partition, owner, 200)
    assert partition.due() == []
    assert "is not read to its end" in (owner.stats.problem or "")

    partition.topic.end_transaction(0)
    partition.tick()
    partition.run(owner)
    assert partition.due() == []
    assert partition.positions()[-1] == "12:02"


def test_a_backlog_is_sent_in_order_and_quiet_ticks_share_a_position(partition: PartitionFixture) -> None:
    partition.put("hourly", interval=3600)
    partition.put("other", cron="*/30 * * * *")
    owner = partition.owner()

    partition.tick(180)
    partition.run(owner)

    due = partition.due()
    assert len(due) == 3 + 6
    assert [at for _, at in due] == sorted(at for _, at in due)
    assert partition.positions() == ["12:00", "13:40", "15:00"]  # 100 ticks a step


def test_a_large_backlog_has_several_transactions(partition: PartitionFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """So its memory is bounded."""
    monkeypatch.setattr(term, "COMMIT_RECORDS", 3)
    for number in range(2):
        partition.put(f"s{number}")
    owner = partition.owner()

    partition.tick(4)
    partition.run(owner)
    partition.tick(3)
    partition.run(owner)

    assert len(partition.due()) == 14
    assert partition.positions() == ["12:00", "12:02", "12:04", "12:06", "12:07"]


def test_catch_up_with_the_last_only(partition: PartitionFixture) -> None:
    """The newest tick that is known counts, and what is skipped is recorded."""
    partition.put("last", catch_up="last")
    owner = partition.owner()

    partition.tick(150)
    partition.run(owner)

    assert partition.due() == [("last", "14:30")]
    future = owner.call(lambda owned: owned.missed(None, 10))
    owner.step()
    ((run,), after) = future.result()
    assert (run.missed.runs, after) == (149, None)


@pytest.mark.parametrize(("limit", "value"), [("MAX_RECORDS", 4), ("MAX_BYTES", 400)])
def test_a_tick_with_many_records_has_several_transactions(
    partition: PartitionFixture, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Only the last one has the position. A new owner passes over what the others have sent."""
    monkeypatch.setattr(due_appender, limit, value)
    for number in range(10):
        partition.put(f"s{number}", payload="x" * 98)
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    partition.due_log.commit_faults = [CommitFault.LANDS]
    partition.tick()
    partition.run(owner)

    assert len(partition.due()) == 20
    _all_once(partition)
    assert partition.positions() == ["12:00", "12:01", "12:02"]
    markers = [entry.offset for entry in partition.due_log.entries if entry.message is None]
    assert markers[:4] == [1, 6, 11, 15]  # the position; then 4, 4, and 2 records with a position
    assert owner.stats.terms == 2


# -- taking over ------------------------------------------------------------------------------------------------------


def test_a_standby_follows_and_takes_over_while_the_owner_works(partition: PartitionFixture) -> None:
    partition.put("a")
    first, second = partition.owner(), partition.open()
    partition.run(second)
    assert second.state is PartitionState.LOADED

    partition.tick()
    partition.run(first)
    second.acquire()
    partition.run(second)
    partition.tick()
    partition.run(first, second)

    assert (first.state, first.lost, first.stats.fenced) == (PartitionState.LOADED, True, 1)
    assert (second.state, second.lost) == (PartitionState.OWNER, False)
    assert partition.due() == [("a", "12:01"), ("a", "12:02")]

    first.acquire()
    assert not first.lost
    partition.run(first)
    partition.tick()
    partition.run(second, first)
    assert second.lost
    assert [at for _, at in partition.due()] == ["12:01", "12:02", "12:03"]


def test_the_fence_comes_before_the_due_log_is_read(partition: PartitionFixture) -> None:
    """Otherwise, what the previous owner sends in between would be sent again."""
    partition.put("a")
    first, second = partition.owner(), partition.open()
    partition.run(second)
    partition.tick()

    def work_until_fenced(step: str) -> None:
        if step == "fence":
            partition.due_log.at = lambda _: None
            partition.run(first)

    partition.due_log.at = work_until_fenced
    second.acquire()
    partition.run(second)
    partition.tick()
    partition.run(first, second)

    assert partition.due() == [("a", "12:01"), ("a", "12:02")]


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("records", [1, 3, 5, 6])
def test_ids_that_are_there_are_passed_over(partition: PartitionFixture, records: int, answered: bool) -> None:
    """A delayed request of the transaction before has committed a part of a tick, or all of it."""
    for number in range(5):
        partition.put(f"s{number}")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)

    partition.due_log.torn = [TornTransaction(records, answered=answered)]
    partition.tick()
    partition.run(owner)
    partition.tick()
    partition.run(owner)

    assert len(partition.due()) == 15
    _all_once(partition)


def _tear_backlog(partition: PartitionFixture) -> None:
    """An owner sends the ticks of 12:02 to 12:04. A delayed request commits those of 12:02 and 12:03, and it dies."""
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    partition.due_log.torn = [TornTransaction(2)]
    partition.tick(3)
    owner.step()
    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03")]


def test_a_schedule_that_was_changed_is_not_due_behind_what_was_sent_later(partition: PartitionFixture) -> None:
    """A new owner does not decide again at ticks before the last one that was sent. So records stay in order."""
    _tear_backlog(partition)
    partition.put("b")

    partition.run(partition.owner())

    due = partition.due()
    assert [one for one in due if one[0] == "b"] == [("b", "12:03"), ("b", "12:04")]
    assert [at for _, at in due] == sorted(at for _, at in due)


def test_a_schedule_that_was_changed_within_a_tick_stays_in_order(partition: PartitionFixture) -> None:
    """At an interval of 5 minutes, a schedule can be due several times at a tick."""
    partition.put("a", cron="* * * * *")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    partition.due_log.torn = [TornTransaction(2)]
    partition.ticks.add(partition.now_ms + 4 * MINUTE, interval_ms=5 * MINUTE)
    owner.step()
    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03")]

    partition.put("a", cron="1,2,4 * * * *")
    partition.run(partition.owner())

    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03"), ("a", "12:04")]


def test_a_position_of_an_earlier_tick_is_not_written_behind_later_ticks(partition: PartitionFixture) -> None:
    """A new owner that does not know the last tick yet commits nothing before it."""
    _tear_backlog(partition)
    late = partition.ticks.all[-2:]
    del partition.ticks.all[-2:]

    second = partition.owner()
    partition.run(second)
    assert partition.positions()[-1] == "12:01"
    partition.ticks.all += late
    partition.run(partition.owner())

    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03"), ("a", "12:04")]


@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_without_an_answer(partition: PartitionFixture, fault: CommitFault) -> None:
    """The owner fences again, and reads what was committed."""
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)

    partition.due_log.commit_faults = [fault]
    partition.tick()
    partition.run(owner)
    partition.tick()
    partition.run(owner)

    assert partition.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03")]
    assert (owner.stats.terms, owner.stats.due, owner.stats.problem) == (2, 3 - (fault is CommitFault.LANDS), None)


def test_an_end_that_is_out_of_date_is_noticed(partition: PartitionFixture) -> None:
    """A deposed partition leader answers a new owner without the newest transaction."""
    partition.put("a")
    first = partition.owner()
    partition.tick()
    partition.run(first)

    partition.due_log.stale_ends = [1, 1]
    second = partition.owner()
    partition.tick()
    partition.run(second)

    assert partition.due() == [("a", "12:01"), ("a", "12:02")]


def test_a_position_is_not_written_behind_what_was_sent_after_it(partition: PartitionFixture) -> None:
    """Otherwise, the next owner would read from there, and send it again."""
    for number in range(5):
        partition.put(f"s{number}")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)
    partition.due_log.torn = [TornTransaction(3, answered=True)]
    partition.tick()
    owner.step()

    late = partition.ticks.all.pop()  # this replica does not know the tick yet
    second = partition.owner()
    partition.time.advance(7_200)
    partition.run(second)
    partition.ticks.all.append(late)
    partition.run(partition.owner())

    _all_once(partition)
    assert len(partition.due()) == 10


def test_release_makes_a_standby(partition: PartitionFixture) -> None:
    partition.put("a")
    owner = partition.owner()

    owner.release()
    partition.tick()
    partition.run(owner)
    assert (owner.state, owner.lost, partition.due()) == (PartitionState.LOADED, False, [])

    owner.acquire()
    partition.run(owner)
    assert partition.due() == [("a", "12:01")]


# -- where the first owner begins -------------------------------------------------------------------------------------


def test_a_new_topic_begins_at_the_clocks_last_tick(partition: PartitionFixture) -> None:
    """Its position is committed at once. So ticks that come before the next owner are not skipped."""
    partition.put("a")
    owner = partition.owner()
    assert partition.positions() == ["12:00"]

    owner.close()
    partition.tick(2)
    partition.run(partition.owner())
    assert [at for _, at in partition.due()] == ["12:01", "12:02"]


def test_a_clock_without_ticks_begins_at_its_first_one(partition: PartitionFixture) -> None:
    partition.ticks.all.clear()
    partition.put("a")
    owner = partition.owner()
    assert (owner.stats.position_ms, partition.positions()) == (None, ["-"])

    partition.tick(2)
    partition.run(owner)
    assert [at for _, at in partition.due()] == ["12:01", "12:02"]


def test_an_owner_that_ends_before_it_has_seen_the_first_tick(partition: PartitionFixture) -> None:
    """The next one finds a clock that has ticks, and sends what was due at all of them."""
    partition.ticks.all.clear()
    partition.put("a")
    partition.owner().close()
    partition.tick(2)

    partition.run(partition.owner())
    assert [at for _, at in partition.due()] == ["12:01", "12:02"]


def test_a_position_that_retention_has_removed(partition: PartitionFixture, caplog: pytest.LogCaptureFixture) -> None:
    """Ticks that may have been sent are not sent again: retention removes only what is older than 7 days."""
    partition.put("a", cron="0 12 * * *")
    owner = partition.owner()
    owner.close()

    partition.time.advance(8 * DAY_S)
    for day in range(1, 9):
        partition.ticks.add(partition.now_ms + day * DAY_S * 1000, interval_ms=DAY_S * 1000)
    partition.due_log.truncate_before(partition.due_log.end)
    partition.run(partition.owner())

    days = [headers["clocksvc-due"][:10] for headers in partition.headers() if "clocksvc-type" not in headers]
    assert days == [f"2026-11-{day}" for day in range(24, 31)]
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "Kafka has removed the position" in record.getMessage()
    assert "begins after 2026-11-23T12:00:00Z" in record.getMessage()


def test_a_position_removed_from_a_topic_without_a_time_limit(partition: PartitionFixture) -> None:
    """Records of any age can have been removed."""
    partition.put("a")
    partition.owner().close()
    partition.due_log.retention_ms = None
    partition.tick(3)
    partition.due_log.truncate_before(partition.due_log.end)
    owner = partition.owner()

    partition.tick()
    partition.run(owner)
    assert partition.due() == [("a", "12:04")]


def test_the_position_is_written_again_so_that_retention_does_not_remove_it(partition: PartitionFixture) -> None:
    """A stalled clock has no ticks."""
    owner = partition.owner()
    for _ in range(5):
        partition.time.advance(1_800)
        partition.run(owner)
    assert partition.positions() == ["12:00"] * 3


def test_ticks_that_init_has_skipped(partition: PartitionFixture, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is due at them."""
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    partition.ticks.add(partition.now_ms + 60 * MINUTE, partition.now_ms + 59 * MINUTE, begins=True)
    partition.run(owner)

    assert partition.due() == [("a", "12:01"), ("a", "13:01")]
    assert "clocksvc init skipped the ticks after 2026-11-22T12:01:00Z and up to 2026-11-22T13:00:00Z" in caplog.text


def test_ticks_that_were_removed_from_the_tick_log(
    partition: PartitionFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock has reached them, so what was due is sent."""
    partition.put("a")
    owner = partition.owner()
    partition.ticks.add(partition.now_ms + 3 * MINUTE, partition.now_ms + 2 * MINUTE)
    partition.run(owner)

    assert [at for _, at in partition.due()] == ["12:01", "12:02", "12:03"]
    assert "were removed from the tick log" in caplog.text


# -- problems ---------------------------------------------------------------------------------------------------------


def test_ticks_that_cannot_be_read_are_a_problem_for_a_while(partition: PartitionFixture) -> None:
    partition.put("a")
    owner = partition.owner()
    partition.ticks.error = TickLogUnavailable("no broker answers")
    partition.tick()
    _step(partition, owner, 50)
    assert owner.stats.problem == "no broker answers"

    partition.ticks.error = None
    partition.run(owner)
    assert partition.due() == [("a", "12:01")]
    assert (owner.stats.terms, owner.stats.problem) == (1, None)  # type: ignore[comparison-overlap]


def test_a_record_that_brokers_reject_delays_no_other(
    partition: PartitionFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """It is recorded as missed."""
    partition.put("large")
    partition.put("small")
    partition.due_log.rejected_keys.add(b"large")
    owner = partition.owner()

    def accept_missed_runs(one: DueLogRecord) -> bool:
        return one.key == b"large" and one.headers[0][0] != "clocksvc-type"

    partition.due_log.rejects = accept_missed_runs  # type: ignore[method-assign]
    partition.tick()
    partition.run(owner)
    assert partition.due() == [("small", "12:01")]
    assert "the due record of schedule large" in caplog.text
    partition.due_log.rejects = lambda _: False  # type: ignore[method-assign,assignment]
    partition.tick()
    partition.run(owner)
    assert sorted(partition.due()) == [("large", "12:02"), ("small", "12:01"), ("small", "12:02")]


def test_a_position_of_a_newer_version_stops_the_owner(partition: PartitionFixture) -> None:
    partition.due_log.write_foreign(
        DueLogRecord(b"_position", json.dumps({"format": 2}).encode(), [("clocksvc-type", b"position")])
    )
    standby = partition.open()
    standby.acquire()
    _step(partition, standby, 50)
    assert standby.state is PartitionState.LOADED
    assert "format: 2 is not valid" in (standby.stats.problem or "")


def test_an_unreadable_schedule_is_counted_and_stops_nothing(partition: PartitionFixture) -> None:
    partition.topic.append(0, b"bad", b"{}")
    partition.put("a")
    owner = partition.owner()
    partition.tick()
    partition.run(owner)

    assert partition.due() == [("a", "12:01")]
    assert (owner.stats.unreadable, owner.stats.schedules) == (1, 1)


def test_after_an_unexpected_error_the_partition_is_loaded_again(
    partition: PartitionFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table may lack a change, so nothing may be decided with it."""
    partition.put("a")
    owner = partition.owner()
    with monkeypatch.context() as patched:
        patched.setattr(DueLogReader, "unsent", lambda *_: 1 / 0)
        partition.tick()
        with pytest.raises(ZeroDivisionError):
            owner.step()
    assert owner.stats.state is PartitionState.LOADING

    partition.run(owner)
    assert owner.state is PartitionState.OWNER
    assert partition.due() == [("a", "12:01")]


def test_a_closed_partition_has_no_contents(partition: PartitionFixture) -> None:
    """A million schedules must not stay in memory: the collector does not look at them."""
    partition.put("a")
    owner = partition.owner()
    owner.close()
    assert owner.stats.schedules == 0


def _step(partition: PartitionFixture, replica: SchedulePartition, steps: int) -> None:
    for _ in range(steps):
        partition.time.advance(max(0.1, replica.step()))


def _all_once(partition: PartitionFixture) -> None:
    ids = partition.ids()
    assert len(set(ids)) == len(ids)


def test_the_fixture_has_schedules_that_are_old() -> None:
    """A schedule is not due before it was created."""
    partition = PartitionFixture()
    partition.put("new", created="2026-11-22T12:01:30Z")
    owner = partition.owner()
    partition.tick(2)
    partition.run(owner)
    assert partition.due() == [("new", "12:02")]
    assert partition.now_ms == parse_timestamp("now", "2026-11-22T12:02:00Z")
