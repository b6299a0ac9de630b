"""Which replica should lead a log: a pure function of the announcements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.interfaces.leases import Announcement
from clocksvc.leader.ranking import HAND_OVER_AFTER_MS, HAND_OVER_EVERY_MS, RANK_DELAY_S, claim_delay_s, successor

pytestmark = pytest.mark.core

HANDED_OVER_MS = HAND_OVER_AFTER_MS + 15 * HAND_OVER_EVERY_MS
"""A replica that has been ready for this long can get any log."""
CLOCKS = st.frozensets(st.sampled_from("abcd"), min_size=1)


def announcement(number: int, clocks: frozenset[str], digest: str, ready_ms: int | None) -> Announcement:
    """The announcement of a replica that knows these clocks."""
    return Announcement(f"host-{number}:1 x", dict.fromkeys(clocks, digest), ready_ms)


ANNOUNCEMENTS = st.lists(
    st.builds(
        announcement,
        st.integers(0, 9),
        CLOCKS,
        st.sampled_from(["one", "two"]),
        st.none() | st.sampled_from([0, HAND_OVER_AFTER_MS - 1, HAND_OVER_AFTER_MS, HANDED_OVER_MS, 10**9]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one.replica,
)
LOGS = st.integers(0, 15)


def order(log: int, announcements: Sequence[Announcement], expired: str | None = None) -> list[str]:
    """The replicas in the order of their delays."""
    return sorted(
        (one.replica for one in announcements), key=lambda name: claim_delay_s(log, name, announcements, expired)
    )


@given(LOGS, ANNOUNCEMENTS, st.randoms(), st.booleans())
def test_every_set_of_announcements_has_one_order(
    log: int, announcements: list[Announcement], random: object, expired: bool
) -> None:
    """The delays of n replicas are 0 to n - 1 seconds, regardless of the order in which they are listed. Ready replicas
    come first, the holder of the expired lease is the last."""
    holder = announcements[0].replica if expired else None
    delays = {one.replica: claim_delay_s(log, one.replica, announcements, holder) for one in announcements}

    assert sorted(delays.values()) == [RANK_DELAY_S * rank for rank in range(len(announcements))]
    shuffled = list(announcements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert delays == {one.replica: claim_delay_s(log, one.replica, shuffled, holder) for one in announcements}
    ready = [delays[one.replica] for one in announcements if one.ready_ms is not None and one.replica != holder]
    others = [delays[one.replica] for one in announcements if one.ready_ms is None and one.replica != holder]
    assert max(ready, default=-1) < min(others, default=99)
    assert holder is None or delays[holder] == max(delays.values())


@given(LOGS, ANNOUNCEMENTS)
def test_a_replica_without_an_announcement_is_last(log: int, announcements: list[Announcement]) -> None:
    """It waits for all announced ones."""
    assert claim_delay_s(log, "unknown:1 x", announcements, None) == RANK_DELAY_S * len(announcements)
    assert successor(log, "unknown:1 x", announcements, {}) is None


@given(LOGS, ANNOUNCEMENTS)
def test_a_replica_that_leaves_moves_only_its_own_logs(log: int, announcements: list[Announcement]) -> None:
    """If all replicas know the same clocks, the order of the others stays the same."""
    same = [replace(one, digests={"a": "one"}) for one in announcements]
    before = order(log, same)

    for gone in before:
        assert order(log, [one for one in same if one.replica != gone]) == [name for name in before if name != gone]


def test_logs_are_shared_among_the_replicas() -> None:
    """Three equal replicas lead a part of 1,600 logs each."""
    announcements = [Announcement(f"host-{number}:1 x", {"a": "one"}, 0) for number in range(3)]

    leaders = Counter(order(log, announcements)[0] for log in range(1_600))

    assert len(leaders) == 3
    assert min(leaders.values()) > 450


@given(LOGS, ANNOUNCEMENTS)
def test_a_successor_is_better_in_every_respect(log: int, announcements: list[Announcement]) -> None:
    """It has been ready for 10 s, knows all clocks of the leader, and acquires a free lease before the leader."""
    for one in announcements:
        name = successor(log, one.replica, announcements, {})
        if name is None:
            continue
        better = next(other for other in announcements if other.replica == name)
        assert (better.ready_ms or 0) >= HAND_OVER_AFTER_MS
        assert set(better.digests) >= set(one.digests)
        leading = [replace(other, ready_ms=0) if other is one else other for other in announcements]
        assert claim_delay_s(log, name, leading, None) < claim_delay_s(log, one.replica, leading, None)


@given(LOGS, ANNOUNCEMENTS)
def test_hand_overs_end(log: int, announcements: list[Announcement]) -> None:
    """From any leader, and with the first claim after each hand-over, no replica leads a second time."""
    ready = [replace(one, ready_ms=HANDED_OVER_MS) for one in announcements]
    for start in ready:
        led = [start.replica]
        while successor(log, led[-1], ready, {}) is not None:
            led.append(order(log, ready)[0])
            assert len(set(led)) == len(led)


@given(LOGS, ANNOUNCEMENTS)
def test_a_strict_superset_gets_the_log(log: int, announcements: list[Announcement]) -> None:
    """In a rolling change that adds a clock, a leader hands over to a replica that knows it, never in the other
    direction."""
    ready = [replace(one, ready_ms=HANDED_OVER_MS) for one in announcements]
    for one in ready:
        above = [other for other in ready if set(other.digests) > set(one.digests)]
        name = successor(log, one.replica, ready, {})
        if above:
            better = next(other for other in ready if other.replica == name)
            assert set(better.digests) > set(one.digests)
            assert claim_delay_s(log, above[0].replica, [one, above[0]], None) == 0
        elif name is not None:
            better = next(other for other in ready if other.replica == name)
            assert set(better.digests) == set(one.digests)


@given(LOGS, ANNOUNCEMENTS)
def test_a_replica_that_has_not_announced_itself_in_this_term_gets_no_log(
    log: int, announcements: list[Announcement]
) -> None:
    """Its announcement is older than the term: it may have died with the last leader."""
    before = {one.replica: one.ready_ms for one in announcements}

    for one in announcements:
        assert successor(log, one.replica, announcements, before) is None


def test_logs_are_handed_over_one_after_the_other() -> None:
    """A replica that has been ready for 10 s gets the first log, and can get the next one each second. A replica that
    knows more clocks gets all of its logs at once, because its new clocks wait for them."""
    leader, returned = (Announcement(f"host-{number}:1 x", {"a": "one"}, HAND_OVER_AFTER_MS) for number in (1, 2))
    preferred = [log for log in range(16) if order(log, [leader, returned])[0] == returned.replica]

    def handed_over(successor_of: Announcement) -> list[int]:
        return [log for log in range(16) if successor(log, leader.replica, [leader, successor_of], {}) is not None]

    for seconds in range(16):
        ready = replace(returned, ready_ms=HAND_OVER_AFTER_MS + seconds * HAND_OVER_EVERY_MS)
        assert handed_over(ready) == [log for log in preferred if log <= seconds]
    assert handed_over(replace(returned, digests={"a": "one", "b": "one"})) == list(range(16))
