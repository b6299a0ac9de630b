"""The rules of progress from committed offsets, case by case."""

import pytest

from clocksvc.committed.rules import (
    Ends,
    Look,
    Obstacle,
    PartitionProgress,
    VisibleRecord,
    drained_boundary,
)

MINUTE = 60_000
T0 = 1_796_000_040_000 - 1_796_000_040_000 % MINUTE
"""A boundary."""


class Partition:
    """A partition and its group, polled each second."""

    def __init__(self, out_of_orderness_ms: int = 0) -> None:
        self.progress = PartitionProgress(out_of_orderness_ms, max_future_ms=MINUTE)
        self.now_s = 0.0
        self.low = self.high = 0
        self.epoch = 1
        self.committed: int | None = None

    def ends(self, took_s: float = 0.0, known_ms: int = T0 - 1) -> Ends:
        """One answer of the partition's leader."""
        return Ends(self.now_s, self.now_s + took_s, known_ms, self.low, self.high, self.epoch)

    def poll(self, boundary_ms: int, *, known_ms: int = T0 - 1, alive: bool = True) -> Obstacle | None:
        """One poll; the end counts for a boundary."""
        self.now_s += 5
        if alive:
            self.progress.note_alive(self.ends(known_ms=known_ms))
            self.now_s += 0.5
        self.progress.observe(self.committed, self.ends(known_ms=known_ms), boundary_ms)
        return self.progress.obstacle


def test_a_drained_partition_passes() -> None:
    one = Partition(out_of_orderness_ms=10_000)
    one.high = one.committed = 7
    assert one.poll(T0) is None
    assert one.progress.raw_ms == T0 + 10_000


def test_an_empty_partition_passes_whatever_the_group_committed() -> None:
    for committed in (None, 3, 9):
        one = Partition()
        one.low = one.high = 9
        one.committed = committed
        assert one.poll(T0) is None, committed
        assert one.progress.raw_ms == T0


def test_records_and_no_commit() -> None:
    one = Partition()
    one.high = 9
    assert one.poll(T0) is Obstacle.NOTHING_COMMITTED
    assert one.progress.raw_ms is None
    assert one.progress.wants_record(0) is None


def test_the_oldest_end_is_kept_until_it_is_reached() -> None:
    """A partition that is never drained, because records come faster than polls, still passes."""
    one = Partition()
    one.high, one.committed = 10, 5
    assert one.poll(T0) is Obstacle.NOT_PROCESSED
    one.high, one.committed = 20, 12
    one.poll(T0 + MINUTE)
    assert one.progress.raw_ms == T0
    one.high, one.committed = 30, 20
    one.poll(T0 + 2 * MINUTE)
    assert one.progress.raw_ms == T0 + MINUTE


def test_an_end_counts_only_if_the_leader_was_the_same_since_the_boundary() -> None:
    one = Partition()
    one.high = one.committed = 7
    assert one.poll(T0) is None
    one.epoch = 2
    assert one.poll(T0 + MINUTE, known_ms=T0 + MINUTE + 1) is Obstacle.LEADER_CHANGED
    assert one.progress.raw_ms == T0
    assert one.poll(T0 + 2 * MINUTE, known_ms=T0 + 2 * MINUTE + 11_000) is None
    assert one.progress.raw_ms == T0 + 2 * MINUTE


def test_an_end_counts_only_if_the_broker_answered_just_before() -> None:
    one = Partition()
    one.high = one.committed = 7
    assert one.poll(T0, alive=False) is Obstacle.NO_ANSWER
    one.now_s += 1  # less than 5 s after the last answer, with the 5 s of the poll more
    assert one.poll(T0, alive=False) is Obstacle.NO_ANSWER
    assert one.poll(T0) is None


def test_only_markers_are_left_behind_the_committed_offset() -> None:
    one = Partition()
    one.high, one.committed = 6, 5
    assert one.poll(T0) is Obstacle.NOT_PROCESSED
    assert one.progress.wants_look() == 5
    one.progress.note_look(Look(5, 6, found=False))
    assert one.progress.raw_ms == T0
    assert one.poll(T0) is None


def test_a_look_ends_at_an_open_transaction() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    assert one.progress.wants_look() == 5
    one.progress.note_look(Look(5, 6, found=False))
    assert (one.progress.raw_ms, one.progress.obstacle) == (None, Obstacle.OPEN_TRANSACTION)
    assert one.progress.wants_look() == 5, "the transaction may have ended"


def test_a_look_that_found_a_record_is_not_repeated() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.progress.note_look(Look(5, 5, found=True))
    assert one.progress.wants_look() is None
    one.high = 9
    one.poll(T0)
    assert one.progress.wants_look() == 5


def test_no_look_while_the_group_works_on_a_backlog() -> None:
    one = Partition()
    one.high = 1_000
    for committed in (100, 200, 300):
        one.committed = committed
        one.poll(T0)
        assert one.progress.wants_look() is None


def test_an_offset_above_the_end_counts_for_nothing_until_it_moves_below_the_new_end() -> None:
    """A running member's commit of 100 was accepted on a recreated topic with 10 records."""
    one = Partition()
    one.high, one.committed = 10, 100
    assert one.poll(T0) is Obstacle.ABOVE_END
    one.high = 100
    assert one.poll(T0 + MINUTE) is Obstacle.ABOVE_END
    assert one.progress.wants_record(5) is None
    one.high, one.committed = 120, 110
    assert one.poll(T0 + 2 * MINUTE) is not Obstacle.ABOVE_END
    one.committed = 120
    assert one.poll(T0 + 3 * MINUTE) is None


def test_a_recreated_topic() -> None:
    one = Partition()
    one.high = one.committed = 10
    assert one.poll(T0) is None
    one.progress.recreate()
    assert one.progress.raw_ms is None
    assert one.poll(T0 + MINUTE) is Obstacle.RECREATED
    one.high = one.committed = 11
    assert one.poll(T0 + 2 * MINUTE) is None


def test_an_offset_that_goes_back_moves_nothing_back() -> None:
    one = Partition()
    one.high = one.committed = 10
    one.poll(T0)
    one.committed = 2
    assert one.poll(T0 + MINUTE) is Obstacle.NOT_PROCESSED
    assert one.progress.raw_ms == T0
    one.committed = None
    assert one.poll(T0 + MINUTE) is Obstacle.NOTHING_COMMITTED
    assert one.progress.raw_ms == T0


def test_lost_records_do_not_stop_a_partition() -> None:
    """After an unclean election the end is lower. The end that was read before is never reached."""
    one = Partition()
    one.high, one.committed = 100, 80
    one.poll(T0)
    one.high = one.committed = 90
    one.epoch = 2
    one.poll(T0 + MINUTE, known_ms=T0 + MINUTE - 1)
    assert one.progress.raw_ms == T0 + MINUTE


def test_a_record_proves() -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0 - MINUTE)
    assert one.progress.wants_record(None) is None
    assert one.progress.wants_record(50) is None, "the nominated record is not processed"
    assert one.progress.wants_record(49) == 50
    one.progress.note_record(50, VisibleRecord(50, T0 + 7), now_ms=T0)
    assert one.progress.raw_ms == T0 + 7
    assert one.progress.wants_record(49) is None, "nothing new was committed"


@pytest.mark.parametrize(
    ("timestamp_ms", "obstacle"),
    [
        (T0 + MINUTE + 1, Obstacle.TOO_FAR_AHEAD),
        (-1, Obstacle.NO_TIMESTAMP),
        (T0 // 1000, Obstacle.NO_TIMESTAMP),
    ],
)
def test_a_record_that_proves_nothing(timestamp_ms: int, obstacle: Obstacle) -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0 - MINUTE)
    one.progress.note_record(50, VisibleRecord(50, timestamp_ms), now_ms=T0)
    assert (one.progress.raw_ms, one.progress.obstacle) == (None, obstacle)


def test_a_record_above_the_committed_offset_proves_nothing() -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0)
    one.progress.note_record(60, VisibleRecord(60, T0), now_ms=T0)
    assert one.progress.raw_ms is None


def test_the_boundary_that_is_drained() -> None:
    assert drained_boundary(T0 + 19_999, 10_000, 10_000, MINUTE) == T0 - MINUTE
    assert drained_boundary(T0 + 20_000, 10_000, 10_000, MINUTE) == T0
