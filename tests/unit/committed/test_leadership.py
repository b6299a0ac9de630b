"""Which ends of a partition's leader are complete."""

import pytest

from clocksvc.committed.leadership import ANSWERED_WITHIN_S, AWAKE_FOR_S, End, PartitionLeader
from clocksvc.interfaces.committed_offsets import PartitionEnds


def ends(high: int = 7, epoch: int = 3) -> PartitionEnds:
    """An answer."""
    return PartitionEnds(0, high, epoch)


def test_the_first_answer_does_not_count() -> None:
    """A broker that is resumed answers at once, also to a question that waited in its socket while it was suspended."""
    leader = PartitionLeader()
    leader.note(ends(), 0.0, 60.0)
    assert leader.end(0.0) == End(0, 7, alive=False, settled=False, epoch=3)
    leader.note(ends(), 60.1, 60.2)
    assert leader.end(0.0) == End(0, 7, alive=False, epoch=3)
    leader.note(ends(), 60.2 + AWAKE_FOR_S, 62.3)
    assert leader.end(0.0) == End(0, 7, epoch=3)


@pytest.mark.parametrize(
    ("gap_s", "alive"), [(AWAKE_FOR_S, True), (ANSWERED_WITHIN_S, True), (7.1, False), (1.9, False)]
)
def test_an_answer_before_must_be_some_time_ago_but_not_long(gap_s: float, alive: bool) -> None:
    leader = PartitionLeader()
    leader.note(ends(), 100.0, 100.0)
    leader.note(ends(), 100.0 + gap_s, 100.0 + gap_s)
    assert leader.end(0.0) == End(0, 7, alive=alive, epoch=3)


def test_answers_each_second_keep_a_leader_alive() -> None:
    leader = PartitionLeader()
    seen = []
    for second in range(30):
        leader.note(ends(), second, second + 0.1)
        end = leader.end(0.0)
        seen.append(end is not None and end.alive)
    assert seen == [False] * 3 + [True] * 27


def test_a_new_leader_counts_after_some_time() -> None:
    leader = PartitionLeader()
    for second in range(20):
        leader.note(ends(epoch=3 if second < 5 else 4), second, second + 0.1)
        end = leader.end(10.0)
        assert end is not None
        assert end.settled == (second >= 16), second


def test_an_answer_of_a_former_leader_is_none() -> None:
    leader = PartitionLeader()
    for second in range(5):
        leader.note(ends(9, epoch=4), second, second)
    leader.note(ends(5, epoch=3), 5.0, 5.0)
    assert leader.end(0.0) is None
    leader.note(ends(9, epoch=4), 6.0, 6.0)
    assert leader.end(0.0) == End(0, 9, epoch=4)


def test_no_answer_is_no_end() -> None:
    leader = PartitionLeader()
    leader.note(ends(), 0.0, 0.0)
    leader.note(None, 3.0, 3.0)
    assert leader.end(0.0) is None
