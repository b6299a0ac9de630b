"""The reasons a clock waits: each rule with rows that hold and rows that release."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from clocksvc.clock import holds as rules
from clocksvc.clock.holds import DELAYED_REASONS, RULES, Hold, HoldInputs, Reason, evaluate
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, merge_metadata
from tests.unit.clock.hold_inputs import ORDERS, ORDERS_0, ORDERS_1, PAUSE, ROSTER, hold_inputs

pytestmark = pytest.mark.core

ALL_EXCLUDED = Roster({"orders": ORDERS}, frozenset({ORDERS_0, ORDERS_1}))
ONE_EXCLUDED = Roster({"orders": ORDERS}, frozenset({ORDERS_1}))
CONFIGURED_BUT_UNLISTED = merge_metadata({"orders": ORDERS}, {}, ["orders"])
NEVER_SEEN = merge_metadata({}, {"orders": ORDERS}, ["orders", "returns"])
NO_LONGER_CONFIGURED = merge_metadata({"orders": ORDERS, "returns": ORDERS}, {"orders": ORDERS}, ["orders"])


REASONS = {
    "announcements_incomplete": "config_conflict",
    "topic_undescribed": "metadata_unavailable",
    "topic_without_id": "metadata_unavailable",
}
"""The reasons of the rules that are not named after their reason."""


class Case(NamedTuple):
    """What one rule says to one sight: the words that its detail must have, or None where it releases."""

    rule: Callable[[HoldInputs], Hold | None]
    why: str
    inputs: HoldInputs
    says: str | None


CASES = [
    Case(rules.paused, "an operator paused the clock", hold_inputs(pause=PAUSE), "paused by ada: planned work"),
    Case(rules.paused, "it is not paused", hold_inputs(), None),
    Case(
        rules.config_conflict,
        "replicas that would make different ticks are alive",
        hold_inputs(digests=frozenset({"digest-b", "digest-a"})),
        "live replicas have 2 different configurations of this clock: digest-a, digest-b",
    ),
    Case(rules.config_conflict, "all replicas agree", hold_inputs(), None),
    Case(rules.config_conflict, "a store that was flushed knows no replica", hold_inputs(digests=frozenset()), None),
    Case(
        rules.topic_undescribed,
        "a permission is missing",
        hold_inputs(undescribed={"returns": "not authorized", "orders": "timed out"}),
        "orders: timed out; returns: not authorized",
    ),
    Case(rules.topic_undescribed, "Kafka describes every topic", hold_inputs(), None),
    Case(
        rules.upstream_behind,
        "an upstream clock has the last tick only",
        hold_inputs(upstream="12:00"),
        "no tick of all upstream clocks is known for the next boundary",
    ),
    Case(
        rules.upstream_behind,
        "an upstream clock with a shorter interval is between two boundaries",
        hold_inputs(upstream="12:00:59"),
        "no tick of all upstream clocks is known for the next boundary",
    ),
    Case(
        rules.upstream_behind,
        "the upstream clocks are not known",
        hold_inputs(upstream_known=False),
        "no tick of all upstream clocks is known for the next boundary",
    ),
    Case(
        rules.upstream_behind,
        "nor are they before the first tick",
        hold_inputs(last=None, upstream_known=False),
        "no tick of all upstream clocks is known for the next boundary",
    ),
    Case(rules.upstream_behind, "all upstream clocks have ticked", hold_inputs(upstream="12:01"), None),
    Case(rules.upstream_behind, "the clock has no upstream clocks", hold_inputs(), None),
    Case(
        rules.partition_unreported,
        "offsets of a partition are not known: reporters and heartbeats have no part in it",
        hold_inputs(lowest=None, observed=True),
        "for some or all partitions it is not known how far the group has processed them",
    ),
    Case(
        rules.topic_without_id,
        "a recreated topic could not be recognized",
        hold_inputs(without_id=("orders", "returns")),
        "the broker gives no topic id for orders, returns, so a recreated topic can't be recognized: use brokers with "
        "topic ids (Kafka 2.8 or later), or accept this with kafka.topic_ids: off",
    ),
    Case(rules.topic_without_id, "every topic has an id", hold_inputs(), None),
    Case(
        rules.topic_missing,
        "a listed topic vanished: its partitions may be read again tomorrow",
        hold_inputs(roster=CONFIGURED_BUT_UNLISTED),
        "Kafka does not list orders",
    ),
    Case(
        rules.topic_missing,
        "a topic that was never listed may have partitions that are not counted",
        hold_inputs(roster=NEVER_SEEN),
        "Kafka does not list returns",
    ),
    Case(rules.topic_missing, "every configured topic is listed", hold_inputs(), None),
    Case(rules.topic_missing, "a topic left the configuration", hold_inputs(roster=NO_LONGER_CONFIGURED), None),
    Case(
        rules.partition_unreported,
        "unknown is not zero, and not the minimum of the others",
        hold_inputs(lowest=None),
        "not every partition has been reported: start the consumers of the topics. A partition without records needs "
        "heartbeats: run celery -A clocksvc worker and beat",
    ),
    Case(
        rules.partition_unreported,
        "with all partitions excluded there is no minimum",
        hold_inputs(roster=ALL_EXCLUDED),
        "no partition is left that has to report",
    ),
    Case(
        rules.partition_unreported,
        "with all partitions excluded the minimum of none is none",
        hold_inputs(roster=ALL_EXCLUDED, lowest=None),
        "no partition is left that has to report",
    ),
    Case(
        rules.partition_unreported,
        "no topic at all makes no tick",
        hold_inputs(roster=Roster({})),
        "no partition is left",
    ),
    Case(rules.partition_unreported, "every partition has been reported", hold_inputs(), None),
    Case(rules.partition_unreported, "one of two is excluded, the other known", hold_inputs(roster=ONE_EXCLUDED), None),
    Case(
        rules.partition_behind,
        "the slowest is a millisecond short of the next boundary",
        hold_inputs(lowest="12:00:59.999"),
        "the slowest partition has not reached the next boundary",
    ),
    Case(
        rules.partition_behind,
        "the out-of-orderness is not over yet",
        hold_inputs(lowest="12:01:09.999", out_of_orderness_s=10),
        "the slowest partition has not reached the next boundary",
    ),
    Case(
        rules.partition_behind,
        "a replay after lost state is below the last tick",
        hold_inputs(lowest="11:15"),
        "the slowest partition has not reached the next boundary",
    ),
    Case(
        rules.partition_behind,
        "an interval grew: 12:01 is no boundary any more",
        hold_inputs(interval_s=300),
        "the slowest partition has not reached the next boundary",
    ),
    Case(rules.partition_behind, "the slowest has just reached the boundary", hold_inputs(lowest="12:01"), None),
    Case(
        rules.partition_behind,
        "the out-of-orderness is over",
        hold_inputs(lowest="12:01:10", out_of_orderness_s=10),
        None,
    ),
    Case(
        rules.partition_behind,
        "before a first tick any boundary is a step",
        hold_inputs(last=None, lowest="03:00"),
        None,
    ),
    Case(
        rules.too_far_back,
        "a first tick of the time when seconds are taken for milliseconds",
        hold_inputs(last=None, lowest="12:00:59", out_of_orderness_s=20_000 * 86_400),
        "the first tick would be 1972-02-19T12:00:00Z, 20,000 d in the past, but max_past is 7 d",
    ),
    Case(
        rules.too_far_back,
        "a millisecond beyond max_past, by the slower one of the two clocks",
        hold_inputs(last=None, lowest="12:00:30", leader="12:10:00.001", store="12:11", max_past_s=600),
        "the first tick would be 2026-11-22T12:00:00Z, 10 min in the past, but max_past is 10 min",
    ),
    Case(
        rules.too_far_back,
        "exactly at max_past, by the slower one of the two clocks",
        hold_inputs(last=None, lowest="12:00:30", leader="12:20", store="12:10", max_past_s=600),
        None,
    ),
    Case(
        rules.too_far_back,
        "a clock with ticks catches up from any time",
        hold_inputs(last="00:00", lowest="00:01:30", max_past_s=600),
        None,
    ),
    Case(
        rules.ahead_of_time,
        "the leader's clock is a millisecond short of the boundary",
        hold_inputs(leader="12:00:59.999"),
        "the leader's or the store's own clock has not",
    ),
    Case(
        rules.ahead_of_time,
        "the store's clock is a millisecond short of the boundary",
        hold_inputs(store="12:00:59.999"),
        "the leader's or the store's own clock has not",
    ),
    Case(
        rules.ahead_of_time,
        "the leader's clock was set back below the last tick",
        hold_inputs(leader="11:00"),
        "the leader's or the store's own clock has not",
    ),
    Case(rules.ahead_of_time, "both clocks stand at the boundary", hold_inputs(leader="12:01", store="12:01"), None),
    Case(
        rules.announcements_incomplete,
        "a flushed store may not know yet of a replica that disagrees",
        hold_inputs(all_replicas_announced=False),
        "until each live replica has announced its configuration again",
    ),
    Case(rules.announcements_incomplete, "every replica had time to announce itself", hold_inputs(), None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule.__name__}: {case.why}")
def test_what_each_rule_says(case: Case) -> None:
    """A rule holds, with its reason and the row's words, or releases; and what holds there holds the clock."""
    said = case.rule(case.inputs)

    if case.says is None:
        assert said is None
        assert evaluate(case.inputs) is None
    else:
        assert said is not None
        assert said.reason == REASONS.get(case.rule.__name__, case.rule.__name__)
        assert case.says in said.detail
        assert evaluate(case.inputs) == said


def test_every_rule_has_a_row_that_holds_and_one_that_releases() -> None:
    """No rule stands outside the table."""
    for rule in RULES:
        answers = {case.says is None for case in CASES if case.rule is rule}

        assert answers == {True, False}, rule.__name__


def test_hold_reasons_are_shown_in_their_order() -> None:
    """With everything wrong at once, each reason shows as soon as the ones before it are mended."""
    unlisted = CONFIGURED_BUT_UNLISTED
    two = frozenset({"digest-a", "digest-b"})
    early = "11:00"
    unknown, anonymous = {"orders": "not authorized"}, ("returns",)

    shown = [
        evaluate(
            hold_inputs(
                pause=PAUSE,
                digests=two,
                roster=unlisted,
                lowest=None,
                leader=early,
                undescribed=unknown,
                without_id=anonymous,
            )
        ),
        evaluate(
            hold_inputs(
                digests=two, roster=unlisted, lowest=None, leader=early, undescribed=unknown, without_id=anonymous
            )
        ),
        evaluate(hold_inputs(roster=unlisted, lowest=None, leader=early, undescribed=unknown, without_id=anonymous)),
        evaluate(hold_inputs(roster=unlisted, lowest=None, leader=early, without_id=anonymous)),
        evaluate(hold_inputs(roster=unlisted, lowest=None, leader=early)),
        evaluate(hold_inputs(lowest=None, leader=early)),
        evaluate(hold_inputs(lowest="12:00:30", leader=early)),
        evaluate(hold_inputs(leader=early, all_replicas_announced=False)),
        evaluate(hold_inputs(all_replicas_announced=False)),
        evaluate(hold_inputs()),
    ]

    assert [one and one.reason for one in shown] == [
        Reason.PAUSED,
        Reason.CONFIG_CONFLICT,
        Reason.METADATA_UNAVAILABLE,
        Reason.METADATA_UNAVAILABLE,
        Reason.TOPIC_MISSING,
        Reason.PARTITION_UNREPORTED,
        Reason.PARTITION_BEHIND,
        Reason.AHEAD_OF_TIME,
        Reason.CONFIG_CONFLICT,
        None,
    ]


def test_reasons_are_the_ones_of_the_contract() -> None:
    """Programs compare these words: they never change."""
    assert {reason.value for reason in Reason} == {
        "partition_unreported",
        "partition_behind",
        "reports_rejected",
        "topic_missing",
        "ahead_of_time",
        "too_far_back",
        "upstream_behind",
        "leader_stuck",
        "metadata_unavailable",
        "store_unavailable",
        "store_mismatch",
        "ticklog_unavailable",
        "ticklog_truncated",
        "ticklog_open_transaction",
        "config_conflict",
        "no_leader",
        "paused",
    }


@pytest.mark.parametrize("reason", Reason)
def test_when_a_hold_shows(reason: Reason) -> None:
    """Waiting for the next minute is a healthy clock's day until `hold_after`; conditions by name show at once."""
    waits = reason.value in ("partition_behind", "reports_rejected", "ahead_of_time", "upstream_behind")
    one = Hold(reason)

    assert one.is_visible(quiet_ms=0, hold_after_ms=120_000) is not waits
    assert one.is_visible(quiet_ms=119_999, hold_after_ms=120_000) is not waits
    assert one.is_visible(quiet_ms=120_000, hold_after_ms=120_000)
    assert (reason in DELAYED_REASONS) is waits


def test_a_brief_hold_shows_only_if_it_lasts() -> None:
    """A hold that ends within seconds is not visible, unless it lasts."""
    one = Hold(Reason.CONFIG_CONFLICT, transient=True)

    assert not one.is_visible(quiet_ms=119_999, hold_after_ms=120_000)
    assert one.is_visible(quiet_ms=120_000, hold_after_ms=120_000)


def test_a_hold_on_the_wire() -> None:
    """A hold is its reason, partitions and a sentence; and is read back as the same."""
    one = Hold(Reason.PARTITION_BEHIND, (Partition("orders", 1),), "orders:1 is behind")
    wire: dict[str, Any] = {
        "reason": "partition_behind",
        "partitions": [{"topic": "orders", "partition": 1}],
        "detail": "orders:1 is behind",
        "upstream": None,
    }

    assert one.to_wire() == wire
    assert Hold.from_wire(wire) == one


def test_a_hold_names_the_clock_that_it_waits_for() -> None:
    """With the hold of that clock, and so on."""
    last = Hold(Reason.PAUSED, detail="paused by ann").to_wire()
    first: dict[str, Any] = {"clock": "raw", "url": "", "time": None, "status": "holding", "hold": last}
    one = Hold(Reason.UPSTREAM_BEHIND, detail="waits for raw", upstream=first)

    assert one.to_wire()["upstream"] == first
    assert Hold.from_wire(one.to_wire()) == one
    assert one.is_visible(quiet_ms=120_000, hold_after_ms=120_000)
    assert not one.is_visible(quiet_ms=119_999, hold_after_ms=120_000), "it also occurs while a clock is healthy"


def test_a_reason_that_is_not_known_passes_through() -> None:
    """A replica of an older version shows a newer leader's hold as it came, and at once, rather than none."""
    wire: dict[str, Any] = {"reason": "moon_phase", "partitions": [], "detail": "the moon is full", "upstream": None}
    found = Hold.from_wire(wire)

    assert found.to_wire() == wire
    assert found.is_visible(quiet_ms=0, hold_after_ms=120_000)


def test_what_the_minimum_has_reached() -> None:
    """The raw minimum less the out-of-orderness, floored; and 0 where it is unknown or would be before the epoch."""
    assert hold_inputs(lowest=None).watermark_boundary_ms == 0
    assert HoldInputs(hold_inputs().state, ROSTER, 5_000, 60_000, 10_000, 0, 10**12, 10**12).watermark_boundary_ms == 0
