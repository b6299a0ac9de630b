"""When a clock is polled, and when the leaders of its partitions are asked before."""

import itertools

import pytest

from clocksvc.committed.poll_schedule import EARLY_S, RETRY_S, PollSchedule


def polled(schedule: PollSchedule, seconds: int, *, retry: bool = False) -> tuple[list[int], list[int]]:
    """The seconds of polls, and those in which only leaders were asked."""
    polls, leaders = [], []
    for second in range(seconds):
        if schedule.is_due(second):
            schedule.note_poll(second, retry=retry)
            polls.append(second)
        elif schedule.wants_leaders(second):
            schedule.note_leaders(second)
            leaders.append(second)
    return polls, leaders


@pytest.mark.parametrize("poll_s", [1, 2, 3, 5, 10, 60])
def test_a_poll_in_each_interval(poll_s: int) -> None:
    polls, leaders = polled(PollSchedule("bills", poll_s), 600)
    assert abs(len(polls) - 600 / poll_s) <= 2
    assert polls[0] == 0
    if poll_s > 3:
        assert {min(poll - leader for poll in polls if poll > leader) for leader in leaders[:-1]} == {3}
        assert abs(len(leaders) - len(polls)) <= 2
    else:
        assert leaders == [], "the polls themselves are near enough"


def test_polls_of_clocks_are_spread() -> None:
    seconds = [polled(PollSchedule(f"clock-{number}", 10), 40)[0][-1] for number in range(100)]
    assert len(set(seconds)) == 10


def test_a_retry_is_once_for_each_poll() -> None:
    polls, _ = polled(PollSchedule("bills", 20), 100, retry=True)
    gaps = [after - before for before, after in itertools.pairwise(polls)]
    assert min(gaps[2:]) >= RETRY_S - EARLY_S, "after the first poll, which is at once"
    assert abs(len(polls) - 10) <= 2


@pytest.mark.parametrize("poll_s", [1, 5])
def test_a_loop_that_drifts_does_not_leave_out_a_poll(poll_s: int) -> None:
    """Its calls come a little before or after the second in which the clock is due."""
    schedule, polls = PollSchedule("bills", poll_s), []
    for number in range(2_000):
        now_s = number * 1.003
        if schedule.is_due(now_s):
            schedule.note_poll(now_s + 0.1, retry=False)
            polls.append(now_s)
    gaps = [after - before for before, after in itertools.pairwise(polls[1:])]
    assert max(gaps) < poll_s + 1
    assert min(gaps) > poll_s - 1
