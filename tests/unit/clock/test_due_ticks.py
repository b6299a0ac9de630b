"""Which ticks are due, or why none is."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.due_ticks import (
    MAX_TICKS_PER_ROUND,
    count_due,
    due_boundaries,
    make_ticks,
    share_ticks,
    within_pace,
)
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.log_record import decode_message, encode_ticks
from clocksvc.clock.roster import Roster, TopicMetadata, merge_metadata
from tests.unit.clock.hold_inputs import ORDERS, ORDERS_0, ORDERS_1, ORDERS_2, PAUSE, exclusion, hold_inputs
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

GROWN = TopicMetadata("id-1", 3)
LAGGING = TopicMetadata("id-1", 1)
RECREATED = TopicMetadata("id-2", 1)
LISTED = {"orders": ORDERS}


def roster(listed: dict[str, TopicMetadata], *configured: str, excluded: tuple[int, ...] = ()) -> Roster:
    """The roster of a clock that knows `orders` with two partitions, after a metadata reading."""
    off = [partition for partition in (ORDERS_0, ORDERS_1, ORDERS_2) if partition.number in excluded]
    return merge_metadata({"orders": ORDERS}, listed, configured or ("orders",), off)


class Case(NamedTuple):
    """A leader's inputs and the result: the ticks that are due, or the reason for none."""

    why: str
    inputs: HoldInputs
    result: list[str] | Reason
    limit: int = MAX_TICKS_PER_ROUND


FIRST_START = [
    Case("a first start waits for all partitions", hold_inputs(last=None, lowest=None), Reason.PARTITION_UNREPORTED),
    Case("the first tick is the floored minimum alone: history is not made up", hold_inputs(last=None), ["12:01"]),
    Case("a minimum from last night begins there", hold_inputs(last=None, lowest="01:02:03"), ["01:02"]),
    Case(
        "a minimum from too long ago begins nothing",
        hold_inputs(last=None, lowest="01:02:03", max_past_s=3_600),
        Reason.TOO_FAR_BACK,
    ),
    Case(
        "the out-of-orderness counts for the first tick too",
        hold_inputs(last=None, lowest="12:01:05", out_of_orderness_s=10),
        ["12:00"],
    ),
    Case(
        "a minimum ahead of the clocks begins with what both have passed",
        hold_inputs(last=None, lowest="12:02:10", store="12:00:50"),
        ["12:00"],
    ),
    Case("the first tick is one, with any limit", hold_inputs(last=None), ["12:01"], limit=1),
    Case("after init the first tick is the boundary after T", hold_inputs(last="12:00"), ["12:01"]),
    Case(
        "after init every boundary since T is owed, reported or not before",
        hold_inputs(last="11:57"),
        ["11:58", "11:59", "12:00", "12:01"],
    ),
]

STEPS = [
    Case("the minimum reached the next boundary", hold_inputs(lowest="12:01"), ["12:01"]),
    Case("it is a millisecond short", hold_inputs(lowest="12:00:59.999"), Reason.PARTITION_BEHIND),
    Case("the boundary was ticked already", hold_inputs(last="12:01"), Reason.PARTITION_BEHIND),
    Case(
        "every skipped boundary gets its tick",
        hold_inputs(lowest="12:03:30", leader="12:10", store="12:10"),
        ["12:01", "12:02", "12:03"],
    ),
    Case("a jump goes out in batches, oldest first", hold_inputs(last="11:00"), ["11:01", "11:02"], limit=2),
    Case("the next batch goes on where the last one ended", hold_inputs(last="11:02"), ["11:03", "11:04"], limit=2),
    Case("a late record or a replay moves nothing back", hold_inputs(lowest="11:15"), Reason.PARTITION_BEHIND),
    Case(
        "out-of-orderness is subtracted to compare: the tick is the boundary itself",
        hold_inputs(lowest="12:01:10", out_of_orderness_s=10),
        ["12:01"],
    ),
    Case(
        "and a millisecond before it is over nothing is due",
        hold_inputs(lowest="12:01:09.999", out_of_orderness_s=10),
        Reason.PARTITION_BEHIND,
    ),
    Case(
        "an out-of-orderness longer than the interval only waits longer",
        hold_inputs(lowest="12:03:30", out_of_orderness_s=150, leader="12:04", store="12:04"),
        ["12:01"],
    ),
]

TIMES = [
    Case("the leader's clock must pass", hold_inputs(leader="12:00:59.999"), Reason.AHEAD_OF_TIME),
    Case("the store's clock must pass", hold_inputs(store="12:00:59.999"), Reason.AHEAD_OF_TIME),
    Case(
        "what the leader's clock has passed is due, no more",
        hold_inputs(lowest="12:05", leader="12:02:30", store="12:05"),
        ["12:01", "12:02"],
    ),
    Case(
        "what the store's clock has passed is due, no more",
        hold_inputs(lowest="12:05", leader="12:05", store="12:03"),
        ["12:01", "12:02", "12:03"],
    ),
    Case("a clock set back by a day holds, and takes nothing back", hold_inputs(leader="00:01"), Reason.AHEAD_OF_TIME),
]

INTERVALS = [
    Case(
        "60 s to 300 s: the smallest multiple of 5 minutes after the last",
        hold_inputs(last="12:03", lowest="12:06", interval_s=300, leader="12:07", store="12:07"),
        ["12:05"],
    ),
    Case(
        "60 s to 300 s: until then the clock waits",
        hold_inputs(last="12:03", lowest="12:04:59.999", interval_s=300, leader="12:07", store="12:07"),
        Reason.PARTITION_BEHIND,
    ),
    Case(
        "300 s back to 60 s: a minute after the last",
        hold_inputs(last="12:05", lowest="12:07:01", leader="12:08", store="12:08"),
        ["12:06", "12:07"],
    ),
    Case(
        "60 s to 7 s: multiples since the epoch, not since the last tick",
        hold_inputs(last="12:01", lowest="12:01:10", interval_s=7),
        ["12:01:03", "12:01:10"],
    ),
    Case(
        "the clocks are floored to the new interval too",
        hold_inputs(last="12:03", lowest="12:06", interval_s=300, leader="12:04:59", store="12:07"),
        Reason.AHEAD_OF_TIME,
    ),
]

TOPICS = [
    Case(
        "a new partition is unknown and holds",
        hold_inputs(lowest=None, roster=roster({"orders": GROWN})),
        Reason.PARTITION_UNREPORTED,
    ),
    Case("its first report stands as it is", hold_inputs(roster=roster({"orders": GROWN})), ["12:01"]),
    Case(
        "a recreated topic is unknown after any reports of its old partitions",
        hold_inputs(lowest=None, roster=roster({"orders": RECREATED})),
        Reason.PARTITION_UNREPORTED,
    ),
    Case(
        "a recreated topic goes on once all are reported", hold_inputs(roster=roster({"orders": RECREATED})), ["12:01"]
    ),
    Case(
        "metadata that lags: the partition that it does not list still counts",
        hold_inputs(lowest=None, roster=roster({"orders": LAGGING})),
        Reason.PARTITION_UNREPORTED,
    ),
    Case(
        "lagging metadata: not mistaken for a clock without partitions",
        hold_inputs(roster=roster({"orders": LAGGING}, excluded=(0,))),
        ["12:01"],
    ),
    Case("a configured topic that Kafka doesn't list holds", hold_inputs(roster=roster({})), Reason.TOPIC_MISSING),
    Case(
        "a second topic that was never made holds",
        hold_inputs(roster=roster(LISTED, "orders", "returns")),
        Reason.TOPIC_MISSING,
    ),
    Case(
        "a topic removed from the configuration is waited for no longer",
        hold_inputs(roster=roster({"returns": ORDERS}, "returns")),
        ["12:01"],
    ),
    Case("an excluded partition is not waited for", hold_inputs(roster=roster(LISTED, excluded=(1,))), ["12:01"]),
    Case(
        "with one excluded the other must still be reported",
        hold_inputs(lowest=None, roster=roster(LISTED, excluded=(1,))),
        Reason.PARTITION_UNREPORTED,
    ),
    Case(
        "with all excluded there is no minimum",
        hold_inputs(roster=roster(LISTED, excluded=(0, 1))),
        Reason.PARTITION_UNREPORTED,
    ),
]

WISHES = [
    Case("a pause holds what would be due", hold_inputs(pause=PAUSE), Reason.PAUSED),
    Case("a pause holds a first start too", hold_inputs(last=None, pause=PAUSE), Reason.PAUSED),
    Case(
        "replicas that disagree make no tick",
        hold_inputs(digests=frozenset({"digest-a", "digest-b"})),
        Reason.CONFIG_CONFLICT,
    ),
    Case(
        "after a resume every boundary of the pause gets its tick",
        hold_inputs(lowest="12:04", leader="12:05", store="12:05"),
        ["12:01", "12:02", "12:03", "12:04"],
    ),
]


@pytest.mark.parametrize("case", FIRST_START + STEPS + TIMES + INTERVALS + TOPICS + WISHES, ids=lambda case: case.why)
def test_the_verdict(case: Case) -> None:
    """The boundaries that are due, or the hold, are what the row says."""
    result = due_boundaries(case.inputs, case.limit)

    seen = result.reason if isinstance(result, Hold) else list(result)
    assert seen == (case.result if isinstance(case.result, Reason) else [at(time) for time in case.result])


def test_a_batch_is_five_hundred_ticks() -> None:
    """A clock that was away for a day goes on in transactions of five hundred ticks."""
    result = due_boundaries(hold_inputs(last="00:00", lowest="23:59", leader="23:59", store="23:59"))

    assert not isinstance(result, Hold)
    assert len(result) == 500
    assert (result[0], result[-1]) == (at("00:01"), at("08:20"))


def test_each_record_names_the_tick_before_it() -> None:
    """Three ticks of one batch are a chain from the last tick on, and each record's state ends with its own tick."""
    seen = hold_inputs(lowest="12:03", leader="12:04", store="12:04")

    ticks = make_ticks("checkins", seen, due(seen), at("12:04:00.250"))
    made = [decode_message(one) for one in encode_ticks(ticks, seen.state)]

    assert [record.tick for record in made] == ticks
    assert [tick.at_ms for tick in ticks] == [at("12:01"), at("12:02"), at("12:03")]
    assert [tick.previous_ms for tick in ticks] == [at("12:00"), at("12:01"), at("12:02")]
    assert {(tick.clock, tick.interval_ms, tick.emitted_at_ms) for tick in ticks} == {
        ("checkins", 60_000, at("12:04:00.250"))
    }
    assert [record.state.last_tick_ms for record in made] == [tick.at_ms for tick in ticks]
    assert {record.state.last_emitted_ms for record in made} == {at("12:04:00.250")}


@pytest.mark.parametrize(("last", "why"), [(None, "a log never written"), ("12:00", "init said 12:00")])
def test_a_first_tick_names_what_init_said(last: str | None, why: str) -> None:
    """A clock's first tick has no `previous`, or the T of `clocksvc init`."""
    seen = hold_inputs(last=last)

    (made,) = make_ticks("checkins", seen, due(seen), at("12:01:10"))

    assert made.at_ms == at("12:01"), why
    assert made.previous_ms == (None if last is None else at(last))


def test_a_tick_names_who_was_not_waited_for() -> None:
    """All ticks made under exclusions name them, in order; exclusions of missing partitions are left out."""
    seen = hold_inputs(roster=roster({"orders": GROWN}, excluded=(2, 0)))

    (made,) = make_ticks("checkins", seen, due(seen), at("12:01:10"))

    assert made.excluded == (ORDERS_0, ORDERS_2)


def test_a_record_carries_all_that_the_next_leader_needs() -> None:
    """Exclusions are handed on; partition counts and ids are those that the tick was made with."""
    seen = hold_inputs(roster=roster({"orders": GROWN}, excluded=(1,)))

    ticks = make_ticks("checkins", seen, due(seen), at("12:01:10"))
    (message,) = encode_ticks(ticks, seen.state)
    made = decode_message(message)

    assert made.state.exclusions == (exclusion(ORDERS_1),)
    assert (made.state.topics, made.state.group) == ({"orders": GROWN}, "checkins-consumer")


SPANS = st.builds(range, st.integers(0, 9), st.integers(0, 800)).map(lambda due: due or range(1))
DUE = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), SPANS, max_size=20)


@given(DUE, st.integers(1, 600))
def test_shares_of_a_round(due: dict[str, range], limit: int) -> None:
    """Each clock gets the first part of its due boundaries, all together at most the limit, and nothing is left over
    while a clock has more. No clock gets less than another one that did not need more. Beside live clocks, the others
    get 100 at most."""
    shares = share_ticks(due, limit)
    live = sum(len(one) for one in due.values() if len(one) <= 2)
    limit = min(limit, live + 100) if live else limit

    assert shares.keys() == due.keys()
    assert all(list(share) == list(due[clock][: len(share)]) for clock, share in shares.items())
    assert sum(map(len, shares.values())) == min(limit, sum(map(len, due.values())))
    if len(due) <= limit:
        cut = [len(shares[clock]) for clock in due if len(shares[clock]) < len(due[clock])]
        assert all(len(share) <= min(cut, default=limit) + 1 for share in shares.values())


def test_a_live_clock_is_not_delayed_by_backlogs() -> None:
    """Backlogs share 100 ticks of a round with live clocks, which is committed sooner than one of 500."""
    due = {"a-backlog": range(500), "live-1": range(7, 8), "b-backlog": range(90, 590), "live-2": range(3, 5)}

    assert {clock: len(share) for clock, share in share_ticks(due).items()} == {
        "live-1": 1,
        "live-2": 2,
        "a-backlog": 50,
        "b-backlog": 50,
    }


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (hold_inputs(), 1),
        (hold_inputs(last="00:00"), 721),
        (hold_inputs(last="00:00", leader="06:00:59"), 360),
        (hold_inputs(last="00:00", pause=PAUSE), 721),
        (hold_inputs(last=None), 1),
        (hold_inputs(last=None, lowest=None), 0),
        (hold_inputs(lowest=None), 0),
        (hold_inputs(lowest="12:00:59"), 0),
        (hold_inputs(last="00:00:30", lowest="00:10:00", interval_s=300), 2),
    ],
)
def test_how_many_ticks_are_due(inputs: HoldInputs, expected: int) -> None:
    """All that follow, also beyond one round and while a hold lasts."""
    assert count_due(inputs) == expected


@pytest.mark.parametrize(
    ("why", "pace", "elapsed_s", "on_time_from_ms", "expected"),
    [
        ("no pace", None, 0.0, 10**6, 500),
        ("a clock that is on time", 0.1, 0.0, 7, 500),
        ("a clock that is late by one tick", 0.1, 0.0, 8, 0),
        ("a second at a pace", 30, 1.0, 10**6, 30),
        ("a part of a second", 30, 0.1, 10**6, 3),
        ("a time that the computer represents as slightly less", 10, 0.3, 10**6, 3),
        ("too early for the next tick", 30, 0.03, 10**6, 0),
        ("many ticks a second, just before the next step", 1_000, 0.09, 10**6, 0),
        ("many ticks a second, at the next step", 1_000, 0.1, 10**6, 100),
        ("a long time does not add up", 30, 3_600, 10**6, 60),
        ("a slow pace, just before the next tick", 0.1, 9.9, 10**6, 0),
        ("a slow pace, at the next tick", 0.1, 10, 10**6, 1),
        ("a slow pace, after a long time", 0.1, 3_600, 10**6, 1),
        ("an unused pace", 0.1, float("inf"), 10**6, 1),
        ("no more than is due", 10_000, 2, 10**6, 500),
    ],
)
def test_a_pace(why: str, pace: float | None, elapsed_s: float, on_time_from_ms: int, expected: int) -> None:
    """At most pace times elapsed, of a catch-up only, and the oldest ones first."""
    due = range(7, 507)

    assert within_pace(due, pace, elapsed_s, on_time_from_ms) == due[:expected], why


def test_without_anything_due_there_is_no_record() -> None:
    """An empty span makes no record, and no state."""
    assert make_ticks("checkins", hold_inputs(), range(0), at("12:01:10")) == []


def due(seen: HoldInputs) -> range:
    """The boundaries that are due for a sight that doesn't hold."""
    result = due_boundaries(seen)
    assert not isinstance(result, Hold)
    return result
