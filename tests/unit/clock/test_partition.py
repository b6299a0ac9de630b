"""A partition's name, lists of them in messages, and which reported timestamps must not count."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.partition import (
    REJECTIONS,
    Outcome,
    Partition,
    describe_rejection,
    name_first,
    rejection_reason,
)
from clocksvc.errors import InvalidValue
from tests.unit.clock.times import at

pytestmark = pytest.mark.core

TOPIC_NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)


@given(topic=TOPIC_NAMES, number=st.integers(0, 10**9))
def test_a_partition_survives_the_way_through_text(topic: str, number: int) -> None:
    """What is written as `topic:partition` is read as the same partition."""
    partition = Partition(topic, number)

    assert str(partition) == f"{topic}:{number}"
    assert Partition.parse(str(partition)) == partition


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing is no partition"),
        ("orders", "a topic alone is no partition"),
        ("7", "a number alone is no partition"),
        (":7", "a partition has a topic"),
        ("orders:", "a partition has a number"),
        ("orders:x", "the number is a number"),
        ("orders:-1", "numbers begin at zero"),
        ("orders:+1", "one partition is written in one way only"),
        ("orders: 1", "one partition is written in one way only"),
        ("orders:01", "one partition is written in one way only"),
        ("orders:1_0", "one partition is written in one way only"),
        ("orders:٣", "digits are ASCII"),
    ],
)
def test_other_text_is_no_partition(text: str, why: str) -> None:
    """Anything else is refused, with the text and what would be right."""
    with pytest.raises(InvalidValue, match="wanted topic:partition") as caught:
        Partition.parse(text)

    assert repr(text) in str(caught.value), why


def test_partitions_are_in_order_of_topic_then_number() -> None:
    """Partition 10 comes after partition 9: numbers, not text."""
    shuffled = [Partition("b", 0), Partition("a", 10), Partition("a", 9)]

    assert sorted(shuffled) == [Partition("a", 9), Partition("a", 10), Partition("b", 0)]


class Case(NamedTuple):
    """A reported timestamp at 12:00 with a `max_future` of 60 s."""

    why: str
    timestamp_ms: int
    expected: Outcome | None


CASES = [
    Case("an ordinary record counts", at("11:59:59"), None),
    Case("a replay of old records counts: it only can't move anything back", at("00:00"), None),
    Case("0 is a number that is not set, never a record of 1970", 0, Outcome.NOT_MILLISECONDS),
    Case("a record as far ahead as max_future counts", at("12:01"), None),
    Case("a millisecond further must not run the world's clock forward", at("12:01:00.001"), Outcome.TOO_FAR_AHEAD),
    Case("seconds taken for milliseconds", at("12:00") // 1000, Outcome.NOT_MILLISECONDS),
    Case("the largest number that looks like seconds", 10**11 - 1, Outcome.NOT_MILLISECONDS),
    Case("the smallest one that does not", 10**11, None),
    Case("1 ms after the epoch is no record's timestamp", 1, Outcome.NOT_MILLISECONDS),
    Case("the largest number that does not look like microseconds", 10**14 - 1, Outcome.TOO_FAR_AHEAD),
    Case("the smallest one that does", 10**14, Outcome.NOT_MILLISECONDS),
    Case("microseconds taken for milliseconds", at("12:00") * 1000, Outcome.NOT_MILLISECONDS),
    Case("nanoseconds taken for milliseconds", at("12:00") * 1_000_000, Outcome.NOT_MILLISECONDS),
    Case("-1 is Kafka's word for none", -1, Outcome.NO_TIMESTAMP),
    Case("nothing below zero is a timestamp", -(10**15), Outcome.NO_TIMESTAMP),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_which_timestamps_are_refused(case: Case) -> None:
    """A timestamp counts, or is refused with the outcome that the row says."""
    assert rejection_reason(case.timestamp_ms, at("12:00"), 60_000) == case.expected


def test_without_any_future_the_present_counts() -> None:
    """A `max_future` of 0 refuses what is ahead, and nothing else."""
    assert rejection_reason(at("12:00"), at("12:00"), 0) is None
    assert rejection_reason(at("12:00") + 1, at("12:00"), 0) is Outcome.TOO_FAR_AHEAD


def test_refusals_are_the_outcomes_of_what_is_forgotten() -> None:
    """A refused number is forgotten; an unknown partition's is kept and repeated."""
    assert {"too_far_ahead", "no_timestamp", "not_milliseconds", "foreign_group", "foreign_topic"} == REJECTIONS
    assert {outcome.value for outcome in Outcome} - REJECTIONS == {"accepted", "unchanged", "unknown"}


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (1_795_348_800, "is 1795348800, looks like seconds, wanted milliseconds"),
        (1_795_348_800 * 10**6, "is 1795348800000000, looks like microseconds, wanted milliseconds"),
        (1_795_348_800 * 10**9, "is 1795348800000000000, looks like nanoseconds, wanted milliseconds"),
        (0, "is 0, not set, wanted milliseconds"),
        (-1, "is -1, the record has no timestamp"),
        (at("13:00"), f"is {at('13:00')} (2026-11-22T13:00:00Z), further ahead of the present time than max_future"),
    ],
)
def test_a_rejection_in_words(timestamp_ms: int, text: str) -> None:
    """The log names the number, and what is wrong with it."""
    outcome = rejection_reason(timestamp_ms, at("12:00"), 60_000)

    assert outcome is not None
    assert describe_rejection(timestamp_ms, outcome) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 more"), (1_005, "0, 1, 2, 3, 4 and 1,000 more")],
)
def test_at_most_five_are_named(count: int, text: str) -> None:
    """Then the number of the others."""
    assert name_first(range(count)) == text


def test_another_separator() -> None:
    """Where commas separate something else."""
    assert name_first(["a", "b"], separator=" and ") == "a and b"
