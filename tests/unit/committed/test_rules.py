"""The rules of progress from committed offsets, case by case."""

import pytest

from clocksvc.committed.commits import DOUBTED_FOR_S, KNOWN_FOR_S
from clocksvc.committed.leadership import End
from clocksvc.committed.rules import READ_AGAIN_S, PartitionProgress, ReadAhead, WaitsFor, drained_boundary
from clocksvc.interfaces.committed_offsets import FoundRecord

MINUTE = 60_000
T0 = 1_796_000_040_000 - 1_796_000_040_000 % MINUTE
"""A boundary."""


class Partition:
    """A partition and its group, polled every 5 s."""

    def __init__(self, out_of_orderness_ms: int = 0) -> None:
        self.progress = PartitionProgress(out_of_orderness_ms, max_future_ms=MINUTE)
        self.now_s = 1_000.0
        self.low = self.high = self.epoch = 0
        self.committed: int | None = None

    def poll(self, boundary_ms: int | None, *, alive: bool = True, settled: bool = True) -> WaitsFor | None:
        """One poll; the end counts for a boundary."""
        self.now_s += 5
        end = End(self.low, self.high, alive, settled, self.epoch)
        self.progress.observe(self.committed, end, boundary_ms, self.now_s)
        return self.progress.waits_for

    def read_ahead(self, reached: int, *, found: bool) -> None:
        """The answer to the read that is wanted."""
        start = self.progress.wants_read_ahead(self.now_s)
        assert start is not None
        self.progress.note_read_ahead(ReadAhead(start, reached, found), self.now_s)

    def record(self, offset: int, timestamp_ms: int, now_ms: int = T0) -> None:
        """The last visible record below the committed offset."""
        below = self.progress.wants_record()
        assert below is not None
        self.progress.note_record(below, FoundRecord(offset, timestamp_ms), now_ms)


def test_a_drained_partition_passes() -> None:
    one = Partition(out_of_orderness_ms=10_000)
    one.high = one.committed = 7
    assert one.poll(T0) is None
    assert one.progress.raw_ms == T0 + 10_000


def test_an_empty_partition_passes_with_any_committed_offset() -> None:
    for committed in (None, 3, 9):
        one = Partition()
        one.low = one.high = 9
        one.committed = committed
        assert one.poll(T0) is None, committed
        assert one.progress.raw_ms == T0


def test_records_and_no_commit() -> None:
    one = Partition()
    one.high = 9
    assert one.poll(T0) is WaitsFor.NOTHING_COMMITTED
    assert one.progress.raw_ms is None
    assert one.progress.wants_record() is None


def test_the_oldest_end_is_kept_until_it_is_reached() -> None:
    """A partition that is never drained, because records come faster than polls, still passes."""
    one = Partition()
    one.high, one.committed = 10, 5
    assert one.poll(T0) is WaitsFor.NOT_PROCESSED
    one.high, one.committed = 20, 12
    one.poll(T0 + MINUTE)
    assert one.progress.raw_ms == T0
    one.high, one.committed = 30, 20
    one.poll(T0 + 2 * MINUTE)
    assert one.progress.raw_ms == T0 + MINUTE


def test_the_first_end_of_a_boundary_is_kept() -> None:
    """An end that is read again for the same boundary is higher. A busy partition would never reach it."""
    one = Partition()
    one.high, one.committed = 10, 5
    one.poll(T0)
    one.high, one.committed = 20, 10
    one.poll(T0)
    assert one.progress.raw_ms == T0


def test_a_group_that_is_behind_passes_boundary_by_boundary() -> None:
    """The ends of some boundaries between are kept, so it passes them as it reaches them, and not all at the end."""
    one = Partition()
    one.committed = 0
    for minute in range(600):
        one.high += 10
        one.poll(T0 + minute * MINUTE)
    passed = []
    for committed in range(0, one.high + 1, 10):
        one.committed = committed
        one.poll(T0 + 599 * MINUTE)
        if one.progress.raw_ms is not None:
            passed.append((one.progress.raw_ms - T0) // MINUTE)
    assert passed[0] == 0
    assert passed[-1] == 599
    assert 8 <= len(set(passed)) <= 17, "a bounded number is kept"
    assert all(minute <= index for index, minute in enumerate(passed)), "a tick needs the end of its own boundary"


@pytest.mark.parametrize(
    ("alive", "settled", "waits_for"),
    [(False, True, WaitsFor.NO_ANSWER), (True, False, WaitsFor.LEADER_UNCONFIRMED), (False, False, WaitsFor.NO_ANSWER)],
)
@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("committed", [7, None])
def test_an_end_counts_only_from_a_leader_that_is_alive_and_the_same(
    alive: bool, settled: bool, empty: bool, committed: int | None, waits_for: WaitsFor
) -> None:
    one = Partition()
    one.high, one.committed = 7, committed
    one.low = 7 if empty else 0
    if committed is None and not empty and alive:
        waits_for = WaitsFor.NOTHING_COMMITTED
    assert one.poll(T0, alive=alive, settled=settled) is waits_for
    assert one.progress.raw_ms is None
    if committed is not None or empty:
        assert one.poll(T0) is None


def test_without_a_boundary_nothing_passes() -> None:
    """A clock after other clocks that have no tick yet."""
    one = Partition()
    one.high = one.committed = 7
    assert one.poll(None) is None
    assert one.progress.raw_ms is None
    one.low = 7
    one.poll(None)
    assert one.progress.raw_ms is None


def test_only_markers_are_left_behind_the_committed_offset() -> None:
    one = Partition()
    one.high, one.committed = 6, 5
    assert one.poll(T0) is WaitsFor.NOT_PROCESSED
    one.read_ahead(6, found=False)
    assert one.progress.raw_ms == T0
    assert one.progress.waits_for is None
    assert one.poll(T0 + MINUTE) is None, "what was read stays read"


def test_a_read_ahead_ends_at_an_open_transaction() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.read_ahead(6, found=False)
    assert (one.progress.raw_ms, one.progress.waits_for) == (None, WaitsFor.OPEN_TRANSACTION)
    one.poll(T0)
    assert one.progress.wants_read_ahead(one.now_s) == 6, "the transaction may have ended"
    one.read_ahead(8, found=False)
    assert one.progress.raw_ms == T0


def test_a_read_ahead_that_found_a_record_is_repeated_only_when_the_record_may_be_gone() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.read_ahead(6, found=True)
    one.poll(T0)
    assert one.progress.wants_read_ahead(one.now_s) is None
    assert one.progress.wants_read_ahead(one.now_s + READ_AGAIN_S) == 6
    one.low = 7
    one.poll(T0)
    assert one.progress.wants_read_ahead(one.now_s) == 7
    one.committed = 7
    one.poll(T0)
    assert one.progress.wants_read_ahead(one.now_s) == 7


def test_a_read_from_a_later_offset_says_nothing_about_an_offset_that_went_back() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.read_ahead(7, found=True)
    one.committed, one.high = 3, 9
    one.poll(T0 + MINUTE)
    one.poll(T0 + MINUTE)
    assert one.progress.wants_read_ahead(one.now_s) == 3


def test_an_answer_for_another_offset_is_ignored() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.progress.note_read_ahead(ReadAhead(7, 8, found=False), one.now_s)
    assert one.progress.raw_ms is None


def test_no_read_ahead_while_the_group_works_on_a_backlog() -> None:
    one = Partition()
    one.high = 1_000
    for committed in (100, 200, 300):
        one.committed = committed
        one.poll(T0)
        assert one.progress.wants_read_ahead(one.now_s) is None
    one.poll(T0)
    assert one.progress.wants_read_ahead(one.now_s) == 300


def test_an_offset_above_the_end_counts_for_nothing() -> None:
    """A running member's commit of 100 was accepted on a recreated topic with 10 records."""
    one = Partition()
    one.high, one.committed = 10, 100
    assert one.poll(T0) is WaitsFor.ABOVE_END
    one.high = 100
    assert one.poll(T0 + MINUTE) is WaitsFor.ABOVE_END
    assert one.progress.wants_record() is None
    assert one.progress.wants_read_ahead(one.now_s) is None
    one.high, one.committed = 120, 110
    assert one.poll(T0 + 2 * MINUTE) is WaitsFor.ABOVE_END, "the member may still work on records that are gone"
    one.high = one.committed = 90
    assert one.poll(T0 + 3 * MINUTE) is None, "a member has started again"


def test_an_offset_above_the_end_counts_again_when_it_moves_much_later() -> None:
    one = Partition()
    one.high, one.committed = 10, 100
    one.poll(T0)
    one.high, one.committed = 120, 110
    one.now_s += DOUBTED_FOR_S
    assert one.poll(T0 + 6 * MINUTE) is not WaitsFor.ABOVE_END
    one.committed = 120
    assert one.poll(T0 + 7 * MINUTE) is None


def test_an_offset_in_doubt_that_does_not_move_counts_never() -> None:
    one = Partition()
    one.high, one.committed = 10, 100
    one.poll(T0)
    one.high = 100
    for hour in range(1, 100):
        one.now_s += 3_600
        assert one.poll(T0 + hour * 60 * MINUTE) is WaitsFor.ABOVE_END
    assert one.progress.raw_ms is None


def test_an_offset_above_the_end_of_a_former_leader() -> None:
    """A resumed broker answers with an old end. The offset is right, so it counts as soon as the new leader answers."""
    one = Partition()
    one.high, one.committed = 10, 100
    one.epoch = 1
    assert one.poll(T0, alive=False) is WaitsFor.NO_ANSWER
    one.epoch, one.high = 2, 100
    assert one.poll(T0, alive=False) is WaitsFor.NO_ANSWER
    assert one.poll(T0) is None


def test_an_offset_above_the_end_of_a_leader_that_turns_out_to_be_the_present_one() -> None:
    """Records were lost. Until the leader is known to be alive, new ones can fill the offsets."""
    one = Partition()
    one.high, one.committed = 10, 100
    one.epoch = 1
    assert one.poll(T0, alive=False) is WaitsFor.NO_ANSWER
    one.high = 110
    assert one.poll(T0, alive=False) is WaitsFor.NO_ANSWER
    assert one.poll(T0) is WaitsFor.ABOVE_END
    assert one.progress.wants_record() is None
    one.committed = 90
    assert one.poll(T0) is WaitsFor.NOT_PROCESSED
    assert one.poll(T0) is WaitsFor.NOT_PROCESSED


def test_what_was_read_before_records_were_lost_says_nothing() -> None:
    """The offsets that were clear have other records now."""
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.read_ahead(8, found=False)
    one.high = 6
    one.poll(T0 + MINUTE)
    one.high = 9
    one.poll(T0 + MINUTE)
    one.poll(T0 + MINUTE)
    assert one.progress.wants_read_ahead(one.now_s) == 5


def test_what_was_read_before_a_doubt_says_nothing() -> None:
    one = Partition()
    one.high, one.committed = 8, 5
    one.poll(T0)
    one.poll(T0)
    one.read_ahead(8, found=False)
    one.high = 3
    one.poll(T0 + MINUTE, alive=False)
    one.high = 9
    assert one.poll(T0 + MINUTE) is WaitsFor.ABOVE_END
    one.committed = 6
    one.now_s += DOUBTED_FOR_S
    one.poll(T0 + MINUTE)
    one.poll(T0 + MINUTE)
    assert one.progress.wants_read_ahead(one.now_s) == 6


def test_a_recreated_topic() -> None:
    one = Partition()
    one.high = one.committed = 10
    assert one.poll(T0) is None
    one.progress = one.progress.recreated(one.now_s)
    assert one.progress.raw_ms is None
    one.high = 30
    for committed in (10, 11, 12):
        one.committed = committed
        assert one.poll(T0 + MINUTE) is WaitsFor.RECREATED, "a member still works on the former topic's records"
        assert one.progress.wants_record() is None
    one.committed = 4
    assert one.poll(T0 + 2 * MINUTE) is WaitsFor.NOT_PROCESSED
    one.committed = 30
    assert one.poll(T0 + 2 * MINUTE) is None


def test_a_lower_offset_than_in_the_former_topic_counts_at_once() -> None:
    one = Partition()
    one.high = one.committed = 10
    one.poll(T0)
    one.progress = one.progress.recreated(one.now_s)
    one.high, one.committed = 30, 4
    assert one.poll(T0 + MINUTE) is WaitsFor.NOT_PROCESSED
    assert one.progress.wants_record() == 4


def test_a_lower_offset_proves_nothing_if_the_former_one_is_not_known_to_be_the_newest() -> None:
    """The group can have gone back in the former topic, and commit from there."""
    one = Partition()
    one.high = one.committed = 71
    one.poll(T0)
    one.now_s += KNOWN_FOR_S + 1
    one.progress = one.progress.recreated(one.now_s)
    for committed in (63, 64, 5):
        one.committed = committed
        assert one.poll(T0 + MINUTE) is WaitsFor.RECREATED


def test_an_offset_must_be_lower_than_one_above_the_end_of_the_new_topic() -> None:
    """What is above the end belongs to the former topic, and what a member commits after it, too."""
    one = Partition()
    one.high = one.committed = 71
    one.poll(T0)
    one.progress = one.progress.recreated(one.now_s)
    one.high, one.committed = 16, 63
    assert one.poll(T0 + MINUTE) is WaitsFor.ABOVE_END
    one.high, one.committed = 67, 64
    assert one.poll(T0 + MINUTE) is WaitsFor.ABOVE_END
    one.committed = 62
    one.poll(T0 + MINUTE)
    assert one.progress.commits.counting == 62


def test_a_lower_offset_proves_nothing_after_two_changes_one_after_the_other() -> None:
    """A member may have started in the topic between: its first commits are low, and belong to that topic."""
    one = Partition()
    one.high = one.committed = 48
    one.poll(T0)
    one.progress, one.committed = one.progress.recreated(one.now_s), None
    one.high = 48
    one.poll(T0 + MINUTE)
    one.progress = one.progress.recreated(one.now_s)
    for committed in (1, 2, 3, 2):
        one.committed = committed
        assert one.poll(T0 + MINUTE) is WaitsFor.RECREATED


def test_nothing_is_skipped_in_a_recreated_topic() -> None:
    one = Partition()
    one.high = one.committed = 10
    one.poll(T0)
    one.progress = one.progress.recreated(one.now_s)
    one.high, one.committed = 40, None
    one.poll(T0 + MINUTE)
    one.committed = 30
    one.poll(T0 + MINUTE)
    assert one.progress.commits.skipped == 0


def test_a_recreated_topic_without_records_passes() -> None:
    one = Partition()
    one.high = one.committed = 10
    one.poll(T0)
    one.progress, one.high = one.progress.recreated(one.now_s), 0
    assert one.poll(T0 + MINUTE) is None
    assert one.progress.raw_ms == T0 + MINUTE


def test_an_offset_that_goes_back_moves_nothing_back() -> None:
    one = Partition()
    one.high = one.committed = 10
    one.poll(T0)
    one.committed = 2
    assert one.poll(T0 + MINUTE) is WaitsFor.NOT_PROCESSED
    assert one.progress.raw_ms == T0
    one.committed = None
    assert one.poll(T0 + MINUTE) is WaitsFor.NOTHING_COMMITTED
    assert one.progress.raw_ms == T0


def test_lost_records_do_not_stop_a_partition() -> None:
    """After an unclean election the end is lower. The end that was read before is never reached."""
    one = Partition()
    one.high, one.committed = 100, 80
    one.poll(T0)
    one.high = one.committed = 90
    one.poll(T0)
    assert one.progress.raw_ms == T0


def test_skipped_records_are_counted() -> None:
    one = Partition()
    one.high, one.committed = 100, 10
    one.poll(T0)
    one.low = 40
    one.poll(T0)
    assert one.progress.commits.skipped == 0
    one.committed = 60
    one.poll(T0)
    assert one.progress.commits.skipped == 30, "retention deleted them before the group has read them"
    one.committed = None
    one.poll(T0)
    one.committed = 90
    one.poll(T0)
    assert one.progress.commits.skipped == 60, "the offset expired, and the group began at a later one"


def test_removed_records_are_counted_once_without_a_commit() -> None:
    """They count when the low watermark has passed the committed offset, not first at the next commit."""
    one = Partition()
    one.high, one.committed = 100, 10
    one.poll(T0)
    one.low = 40
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 30
    one.poll(T0)
    one.committed = 60
    one.poll(T0)
    assert one.progress.commits.skipped == 30, "they are counted already"
    one.committed = 5
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 30, "a reset to an offset that is gone: they were processed before"


def test_removed_records_of_a_group_that_has_committed_nothing_are_counted() -> None:
    """Those that were removed since the first poll."""
    one = Partition()
    one.low, one.high, one.committed = 20, 100, None
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 0
    one.low = 100
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 80
    one.committed = 100
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 80


def test_records_that_are_removed_after_their_commit_are_not_skipped() -> None:
    """As Kafka Streams does. The low watermark is read after the committed offset, so it can be the newer one."""
    one = Partition()
    one.high, one.committed = 100, 10
    one.poll(T0)
    one.low = one.committed = 50
    one.poll(T0)
    one.low = one.committed = 70
    one.poll(T0)
    one.poll(T0)
    assert one.progress.commits.skipped == 0


def test_a_record_proves() -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0 - MINUTE)
    one.record(49, T0 + 7)
    assert one.progress.raw_ms == T0 + 7
    assert one.progress.wants_record() is None, "nothing new was committed"
    one.committed = 60
    one.poll(T0 - MINUTE)
    assert one.progress.wants_record() == 60
    one.progress.note_record(60, None, T0)
    assert one.progress.wants_record() is None, "there is no visible record near the committed offset"
    assert one.progress.raw_ms == T0 + 7
    one.committed = 70
    one.poll(T0 - MINUTE)
    one.record(69, T0 - MINUTE)
    assert one.progress.raw_ms == T0 + 7, "it never decreases"


def test_a_day_of_minutes_behind_is_passed_with_one_record() -> None:
    one = Partition()
    one.high, one.committed = 100_000, 50
    one.poll(T0)
    one.record(49, T0 - 1_440 * MINUTE)
    one.committed = 99_000
    one.poll(T0)
    one.record(98_999, T0 - 5)
    assert one.progress.raw_ms == T0 - 5


@pytest.mark.parametrize(
    ("timestamp_ms", "waits_for"),
    [
        (T0 + MINUTE + 1, WaitsFor.TOO_FAR_AHEAD),
        (T0 * 1_000, WaitsFor.TOO_FAR_AHEAD),
        (-1, WaitsFor.NO_TIMESTAMP),
        (T0 // 1000, WaitsFor.NO_TIMESTAMP),
    ],
)
def test_a_record_that_proves_nothing(timestamp_ms: int, waits_for: WaitsFor) -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0 - MINUTE)
    one.record(49, timestamp_ms)
    assert (one.progress.raw_ms, one.progress.waits_for) == (None, waits_for)
    assert one.poll(T0 - MINUTE) is waits_for, "it waits for the same"


def test_a_wrong_timestamp_proves_nothing_when_the_wall_clock_reaches_it() -> None:
    """After a reset to an earlier offset and back, the same record is the last one again."""
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0 - MINUTE)
    one.record(49, T0 + 1_440 * MINUTE, now_ms=T0)
    for committed in (30, 50):
        one.committed = committed
        one.poll(T0 - MINUTE)
    one.record(49, T0 + 1_440 * MINUTE, now_ms=T0 + 1_440 * MINUTE)
    assert one.progress.raw_ms is None
    one.committed = 60
    one.poll(T0 - MINUTE)
    one.record(59, T0 + 1_440 * MINUTE, now_ms=T0 + 1_440 * MINUTE)
    assert one.progress.raw_ms == T0 + 1_440 * MINUTE


def test_a_record_above_the_committed_offset_proves_nothing() -> None:
    one = Partition()
    one.high, one.committed = 100, 50
    one.poll(T0)
    one.progress.note_record(60, FoundRecord(59, T0), now_ms=T0)
    one.progress.note_record(50, FoundRecord(50, T0), now_ms=T0)
    assert one.progress.raw_ms is None


def test_no_answer() -> None:
    one = Partition()
    one.high = one.committed = 7
    one.poll(T0)
    one.progress.note_no_answer()
    assert one.progress.waits_for is WaitsFor.NO_ANSWER
    assert one.progress.raw_ms == T0


def test_the_threshold_is_that_of_the_next_boundary() -> None:
    one = Partition(out_of_orderness_ms=10_000)
    assert one.progress.threshold_ms(MINUTE) == 0
    one.high = one.committed = 7
    one.poll(T0)
    assert one.progress.threshold_ms(MINUTE) == T0 + MINUTE + 10_000


def test_the_boundary_that_is_drained() -> None:
    assert drained_boundary(T0 + 19_999, 10_000, 10_000, MINUTE) == T0 - MINUTE
    assert drained_boundary(T0 + 20_000, 10_000, 10_000, MINUTE) == T0
