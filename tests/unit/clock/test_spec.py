"""What can be configured as a clock."""

import json
from collections import Counter
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from clocksvc.clock.spec import (
    CREATE_TIME_OUT_OF_ORDERNESS_MS,
    ClockSpec,
    HeartbeatSpec,
    Source,
    UpstreamSpec,
    check_clock_name,
    spread_heartbeats,
    wanted_clock,
)
from clocksvc.errors import InvalidValue

pytestmark = pytest.mark.core

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
SPEC = ClockSpec("checkins", ("ingest-checkins",), "checkins-consumer")


def test_what_holds_unless_set() -> None:
    """The numbers of the contract."""
    assert (SPEC.interval_ms, SPEC.max_out_of_orderness_ms, SPEC.max_future_ms) == (MINUTE, None, MINUTE)
    assert (SPEC.hold_after_ms, SPEC.recent_ticks_ms, SPEC.heartbeat) == (None, 7 * DAY, None)
    assert HeartbeatSpec() == HeartbeatSpec(every_ms=MINUTE, key=None, payload=None)
    assert CREATE_TIME_OUT_OF_ORDERNESS_MS == 10 * SECOND


class Good(NamedTuple):
    """A change to a good clock that leaves it good."""

    why: str
    change: dict[str, Any]


GOOD = [
    Good("the shortest interval is a second", {"interval_ms": SECOND}),
    Good("the longest interval is a day", {"interval_ms": DAY}),
    Good("seconds that divide no minute are an interval too", {"interval_ms": 7 * SECOND}),
    Good("several topics are one clock", {"topics": ("orders", "returns")}),
    Good("Kafka allows dots and underscores", {"topics": ("Orders.v1_eu",)}),
    Good("no out-of-orderness at all", {"max_out_of_orderness_ms": 0}),
    Good("out-of-orderness longer than the interval", {"max_out_of_orderness_ms": DAY}),
    Good("no record may be ahead", {"max_future_ms": 0}),
    Good("a first tick of two intervals ago", {"max_past_ms": 2 * MINUTE + 10_000}),
    Good(
        "a first tick of two intervals ago, without out-of-orderness",
        {"max_past_ms": 2 * MINUTE, "max_out_of_orderness_ms": 0},
    ),
    Good("two ticks in each interval are a catch-up", {"catch_up_pace": 2 / 60}),
    Good("a hold shows at once", {"hold_after_ms": 0}),
    Good("a drift that is never usual", {"max_drift_ms": 2 * MINUTE + 10 * SECOND + 2 * MINUTE}),
    Good(
        "a shorter drift, where less is usual",
        {"max_drift_ms": 2 * MINUTE + SECOND, "max_out_of_orderness_ms": SECOND, "hold_after_ms": 0},
    ),
    Good("what hold_after is unless set can be set", {"interval_ms": DAY, "hold_after_ms": 2 * DAY}),
    Good("a heartbeat for each boundary", {"heartbeat": HeartbeatSpec(MINUTE)}),
    Good("a heartbeat every second", {"heartbeat": HeartbeatSpec(SECOND)}),
    Good("ticks kept for a minute", {"recent_ticks_ms": MINUTE}),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.why)
def test_what_is_accepted(case: Good) -> None:
    """A clock of this shape can be."""
    changed = replace(SPEC, **case.change)

    assert {name: getattr(changed, name) for name in case.change} == case.change


class Bad(NamedTuple):
    """A change to a good clock, and the start of what the message says."""

    why: str
    change: dict[str, Any]
    message: str


BAD = [
    Bad("a name is small letters", {"name": "Checkins"}, "clocks: 'Checkins' is not valid: wanted 1 to 63"),
    Bad("a clock has a topic", {"topics": ()}, "topics: [] is not valid: wanted at least one"),
    Bad("a topic named twice is a slip", {"topics": ("a", "a")}, "topics: ['a', 'a'] is not valid: wanted each"),
    Bad("Kafka allows no blanks", {"topics": ("a b",)}, "topics: 'a b' is not valid: wanted a Kafka topic"),
    Bad("Kafka allows no empty name", {"topics": ("",)}, "topics: '' is not valid: wanted a Kafka topic"),
    Bad("Kafka allows no topic named dot", {"topics": (".",)}, "topics: '.' is not valid: wanted a Kafka topic"),
    Bad("Kafka allows 249 characters", {"topics": ("a" * 250,)}, "topics: 'aaa"),
    Bad("a group is required", {"group": ""}, "group: '' is not valid: wanted the consumer group"),
    Bad("half a second is no interval", {"interval_ms": 500}, "interval: '0.5s' is not valid: wanted whole seconds"),
    Bad("90.5 seconds are no interval", {"interval_ms": 90_500}, "interval: '90.5s' is not valid: wanted whole"),
    Bad("zero is no interval", {"interval_ms": 0}, "interval: '0s' is not valid: wanted whole seconds from 1s to 1d"),
    Bad("time has one direction", {"interval_ms": -MINUTE}, "interval: '-60s' is not valid: wanted whole seconds"),
    Bad("a day and a second is too long", {"interval_ms": DAY + SECOND}, "interval: '86401s' is not valid"),
    Bad("records can't be in too much order", {"max_out_of_orderness_ms": -1}, "max_out_of_orderness: '-0.001s' is"),
    Bad("more than a day of disorder is a mistake", {"max_out_of_orderness_ms": DAY + 1}, "max_out_of_orderness: '8"),
    Bad(
        "a negative future refuses the present", {"max_future_ms": -1}, "max_future: '-0.001s' is not valid: wanted 0s"
    ),
    Bad(
        "an ordinary first tick must not hold the clock",
        {"max_past_ms": 2 * MINUTE},
        "max_past: '120s' is not valid: wanted at least 130s: two intervals plus max_out_of_orderness",
    ),
    Bad(
        "a clock that catches up must be faster than time",
        {"catch_up_pace": 1 / 60},
        "catch_up_pace: 0.016666666666666666 is not valid: wanted ticks a second, at least 0.0333: two ticks in each",
    ),
    Bad("no pace is no number", {"catch_up_pace": float("nan")}, "catch_up_pace: nan is not valid"),
    Bad("a pace without a limit is null", {"catch_up_pace": float("inf")}, "catch_up_pace: inf is not valid"),
    Bad("more than a day ahead is no future", {"max_future_ms": DAY + 1}, "max_future: '86400.001s' is not"),
    Bad("a hold can't show before it begins", {"hold_after_ms": -1}, "hold_after: '-0.001s' is not valid: wanted 0s"),
    Bad("a hold that shows after days is silence", {"hold_after_ms": 2 * DAY + SECOND}, "hold_after: '172801s' is"),
    Bad(
        "partitions of a clock that is on time must not be paused",
        {"max_drift_ms": 250 * SECOND - 1},
        "max_drift: '249.999s' is not valid: wanted at least 250s: two intervals plus max_out_of_orderness plus hold_",
    ),
    Bad("the same where holds show late", {"max_drift_ms": 250 * SECOND, "hold_after_ms": 3 * MINUTE}, "max_drift: '2"),
    Bad("ticks are kept long enough to resume", {"recent_ticks_ms": 59_999}, "recent_ticks: '59.999s' is not valid"),
    Bad(
        "heartbeats rarer than boundaries leave a quiet partition behind at each",
        {"heartbeat": HeartbeatSpec(MINUTE + SECOND)},
        "heartbeat.every: '61s' is not valid: wanted 1s to 60s, the interval",
    ),
    Bad(
        "the same for a short interval", {"interval_ms": 5_000, "heartbeat": HeartbeatSpec()}, "heartbeat.every: '60s'"
    ),
    Bad("a heartbeat each millisecond is a flood", {"heartbeat": HeartbeatSpec(1)}, "heartbeat.every: '0.001s' is"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.why)
def test_what_is_refused(case: Bad) -> None:
    """The message names the field as in the configuration, the value, and what would be right."""
    with pytest.raises(InvalidValue) as caught:
        replace(SPEC, **case.change)

    assert str(caught.value).startswith(case.message)


@pytest.mark.parametrize("name", ["a", "0", "checkins", "a-b", "a--b", "2nd", "a" * 63])
def test_names_that_a_clock_can_have(name: str) -> None:
    """1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or number."""
    check_clock_name("clock", name)


@pytest.mark.parametrize("name", ["", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "a\n", "é", "a" * 64, "{a}", "a:b"])
def test_names_that_a_clock_can_not_have(name: str) -> None:
    """All others are rejected: a name is part of keys, addresses and metrics."""
    with pytest.raises(InvalidValue, match="clock: ") as caught:
        check_clock_name("clock", name)

    assert caught.value.value == name


@pytest.mark.parametrize(
    ("interval_ms", "hold_after_ms", "expected_ms", "why"),
    [
        (MINUTE, None, 2 * MINUTE, "two intervals without a tick are a hold"),
        (SECOND, None, 10 * SECOND, "but two seconds are nothing: at least 10 s"),
        (5 * SECOND, None, 10 * SECOND, "two intervals of 5 s are 10 s"),
        (MINUTE, 5 * SECOND, 5 * SECOND, "what is set counts, shorter"),
        (SECOND, MINUTE, MINUTE, "what is set counts, longer"),
        (MINUTE, 0, 0, "zero is set, not unset"),
    ],
)
def test_when_silence_is_a_hold(interval_ms: int, hold_after_ms: int | None, expected_ms: int, why: str) -> None:
    """`hold_after` is what is set, else two intervals, at least 10 s."""
    spec = replace(SPEC, interval_ms=interval_ms, hold_after_ms=hold_after_ms)

    assert spec.effective_hold_after_ms == expected_ms, why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "payments"}, "another clock"),
        ({"topics": ("ingest-checkins", "more")}, "more partitions count"),
        ({"topics": ("other",)}, "other partitions count"),
        ({"group": "canary"}, "another group's progress counts"),
        ({"require_topic_ids": False}, "a recreated topic would keep its progress"),
        ({"interval_ms": 300 * SECOND}, "other boundaries"),
        ({"max_out_of_orderness_ms": 0}, "ticks would come earlier"),
        ({"max_future_ms": 0}, "other reports count"),
        ({"max_past_ms": DAY}, "another first tick is a hold"),
    ],
)
def test_a_digest_differs_where_ticks_would(change: dict[str, Any], why: str) -> None:
    """Replicas that would make different ticks have different digests."""
    assert replace(SPEC, **change).digest() != SPEC.digest(), why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hold_after_ms": 0}, "when a hold shows is no tick's matter"),
        ({"recent_ticks_ms": DAY}, "how long ticks are kept is no tick's matter"),
        ({"catch_up_pace": 10.0}, "how fast ticks come is no tick's matter"),
        ({"max_drift_ms": 10 * MINUTE}, "what consumers pause is no tick's matter"),
        ({"heartbeat": HeartbeatSpec(key=b"k", payload=b"\xff")}, "heartbeats are no tick's matter"),
    ],
)
def test_a_digest_is_the_same_where_ticks_are(change: dict[str, Any], why: str) -> None:
    """Replicas that would make the same ticks agree: a rolling change of anything else holds no clock."""
    assert replace(SPEC, **change).digest() == SPEC.digest(), why


def test_the_order_of_topics_is_no_difference() -> None:
    """Two files that list the same topics in another order agree."""
    there, back = replace(SPEC, topics=("a", "b")), replace(SPEC, topics=("b", "a"))

    assert there.digest() == back.digest()


COMMITTED = replace(SPEC, source=Source.COMMITTED, heartbeat=None, after=(UpstreamSpec("raw"), UpstreamSpec("b", "u")))


@pytest.mark.parametrize(
    "change", [{"source": Source.REPORTS, "after": ()}, {"after": (UpstreamSpec("raw"),)}, {"drain_delay_ms": 0}]
)
def test_a_digest_differs_with_what_is_observed(change: dict[str, Any]) -> None:
    """Source, upstream clocks and drain_delay. Not how often offsets are read, nor the order of upstream clocks."""
    assert replace(COMMITTED, **change).digest() != COMMITTED.digest()
    assert replace(COMMITTED, poll_ms=1_000, after=COMMITTED.after[::-1]).digest() == COMMITTED.digest()
    assert {"source", "after", "drain_delay"} <= json.loads(COMMITTED.config_json()).keys()


def test_committed_offsets_count_as_a_group_of_their_own() -> None:
    """A Reporter of the group does not count, and neither do offsets from before a change of the upstream clocks."""
    group = f"committed offsets of {SPEC.group}"
    assert SPEC.reporting_group == SPEC.group
    assert replace(COMMITTED, after=()).reporting_group == group
    assert COMMITTED.reporting_group == f"{group} after b@u, raw"


def test_a_digest_is_the_same_in_every_process_and_release() -> None:
    """It is written to tick logs and to the store: a change would be a hold in each rolling update."""
    assert SPEC.digest() == "eed654a1a4c6b9b3"


def test_config_json_contains_what_replicas_must_agree_on() -> None:
    """By the configuration's names, with nothing in it that replicas may differ in."""
    assert json.loads(replace(SPEC, topics=("b", "a"), interval_ms=300 * SECOND).config_json()) == {
        "name": SPEC.name,
        "topics": ["a", "b"],
        "group": SPEC.group,
        "interval": "300s",
        "max_out_of_orderness": None,
        "max_future": "60s",
        "max_past": "604800s",
        "kafka.topic_ids": "on",
    }


def test_an_error_about_an_unknown_clock_is_short() -> None:
    """It has the most similar names first, also for a name that a stranger made long."""
    clocks = [f"clock-{number}" for number in range(300)]

    assert wanted_clock("clok-217", clocks).startswith("wanted one of clock-217, ")
    assert wanted_clock("x" * 100_000, clocks) == (
        "wanted one of clock-0, clock-1, clock-10, clock-100, clock-101 and 295 more"
    )


def test_an_error_about_an_unknown_clock_compares_few_names() -> None:
    """The service makes it in its event loop: 2,000 comparisons would delay all clients by some 70 ms."""
    clocks = [
        f"{team}-customer-{number:04}" for number in range(500) for team in ("billing", "checkins", "uptime", "api")
    ]
    with patch("clocksvc.clock.spec.get_close_matches", wraps=get_close_matches) as compare:
        assert wanted_clock("chekins-customer-0217", clocks).startswith("wanted one of checkins-customer-0217, ")
        assert wanted_clock("uptime-custmer-0499", clocks).endswith(" and 1,995 more")

    assert [len(call.args[1]) for call in compare.call_args_list] == [50, 50]


@pytest.mark.parametrize(
    ("clocks", "every_ms", "last_ms", "per_second"),
    [
        pytest.param(1, MINUTE, 0, 1, id="one clock: at the multiple"),
        pytest.param(3, MINUTE, 40, 3, id="three: as good as together"),
        pytest.param(2_000, MINUTE, 39_980, 50, id="two thousand a minute: at most 50 a second"),
        pytest.param(10_000, MINUTE, 40_000, 250, id="more: within two thirds of a minute"),
        pytest.param(200, SECOND, 666, 200, id="each second"),
    ],
)
def test_heartbeats_of_many_clocks_follow_one_another(
    clocks: int, every_ms: int, last_ms: int, per_second: int
) -> None:
    """20 ms apart, in the order of names; closer if the last one would be later than two thirds of the interval."""
    names = [f"clock-{number:05}" for number in range(clocks)]
    offsets = spread_heartbeats(dict.fromkeys(reversed(names), every_ms))

    assert (list(offsets), sorted(offsets.values())) == (names, list(offsets.values()))
    assert max(offsets.values()) == last_ms
    assert max(Counter(offset_ms // SECOND for offset_ms in offsets.values()).values()) <= per_second
