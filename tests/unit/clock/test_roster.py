"""Who must report, after each metadata reading."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata, add_former_ids, merge_metadata

pytestmark = pytest.mark.core

A2, A3, A3_NEW, A1_NEW = (
    TopicMetadata("a-1", 2),
    TopicMetadata("a-1", 3),
    TopicMetadata("a-2", 3),
    TopicMetadata("a-2", 1),
)
B1 = TopicMetadata("b-1", 1)


@dataclass(frozen=True)
class Case:
    """A metadata reading, and what it makes of the roster."""

    why: str
    remembered: Mapping[str, TopicMetadata]
    listed: Mapping[str, TopicMetadata]
    topics: Mapping[str, TopicMetadata]
    configured: tuple[str, ...] = ("a",)
    missing: tuple[str, ...] = ()
    excluded: frozenset[Partition] = field(default_factory=frozenset)
    present_exclusions: tuple[Partition, ...] = ()
    required: int | None = None


CASES = [
    Case("a first reading is the roster", {}, {"a": A2}, {"a": A2}, required=2),
    Case("the same reading changes nothing", {"a": A2}, {"a": A2}, {"a": A2}, required=2),
    Case("new partitions must report", {"a": A2}, {"a": A3}, {"a": A3}, required=3),
    Case("metadata may lag: fewer partitions under the same id count for nothing", {"a": A3}, {"a": A2}, {"a": A3}),
    Case("a recreated topic has the partitions that it has now", {"a": A2}, {"a": A3_NEW}, {"a": A3_NEW}, required=3),
    Case("even when they are fewer", {"a": A2}, {"a": A1_NEW}, {"a": A1_NEW}, required=1),
    Case(
        "absence retires nothing: the partitions stay, and the topic is missing",
        {"a": A2},
        {},
        {"a": A2},
        missing=("a",),
        required=2,
    ),
    Case(
        "a topic that was never seen is missing, and counts no partition",
        {},
        {"b": B1},
        {"b": B1},
        configured=("a", "b"),
        missing=("a",),
        required=1,
    ),
    Case(
        "a topic listed without partitions is missing",
        {"a": A2},
        {"a": TopicMetadata("a-1", 0)},
        {"a": A2},
        missing=("a",),
        required=2,
    ),
    Case("the configuration retires a topic", {"a": A2, "b": B1}, {"a": A2, "b": B1}, {"a": A2}, required=2),
    Case(
        "a topic that is not configured is ignored",
        {"a": A2},
        {"a": A2, "b": B1},
        {"a": A2},
        required=2,
    ),
    Case(
        "several topics are one clock",
        {"a": A2},
        {"a": A2, "b": B1},
        {"a": A2, "b": B1},
        configured=("b", "a"),
        required=3,
    ),
    Case(
        "no tick waits for an excluded partition",
        {"a": A2},
        {"a": A2},
        {"a": A2},
        excluded=frozenset({Partition("a", 1)}),
        present_exclusions=(Partition("a", 1),),
        required=1,
    ),
    Case(
        "an exclusion outlives a recreated topic",
        {"a": A2},
        {"a": A3_NEW},
        {"a": A3_NEW},
        excluded=frozenset({Partition("a", 1)}),
        present_exclusions=(Partition("a", 1),),
        required=2,
    ),
    Case(
        "exclusions that name nothing there are neither counted nor named",
        {"a": A2},
        {"a": A2},
        {"a": A2},
        excluded=frozenset({Partition("a", 2), Partition("a", -1), Partition("z", 0)}),
        required=2,
    ),
    Case(
        "a tick names the excluded in order",
        {"a": A3},
        {"a": A3},
        {"a": A3},
        excluded=frozenset({Partition("a", 2), Partition("a", 0)}),
        present_exclusions=(Partition("a", 0), Partition("a", 2)),
        required=1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_roster_after_a_reading(case: Case) -> None:
    """Topics, missing ones, exclusions and the count are what the row says."""
    roster = merge_metadata(case.remembered, case.listed, case.configured, case.excluded)

    assert dict(roster.topics) == dict(case.topics)
    assert roster.missing == case.missing
    assert roster.present_exclusions() == case.present_exclusions
    if case.required is not None:
        assert roster.required_count() == case.required


def test_partitions_are_listed_in_order() -> None:
    """Every partition once, in order of topic and number, excluded ones too."""
    roster = Roster({"b": B1, "a": A2}, frozenset({Partition("a", 1)}))

    assert list(roster.partitions()) == [Partition("a", 0), Partition("a", 1), Partition("b", 0)]


TOPICS = st.sampled_from("abc")
LISTINGS = st.dictionaries(
    TOPICS, st.builds(TopicMetadata, st.sampled_from(["id-1", "id-2"]), st.integers(0, 4)), max_size=3
)
READINGS = st.lists(st.tuples(LISTINGS, st.sets(TOPICS, min_size=1)), max_size=12)


@given(READINGS)
def test_no_reading_loses_a_partition(readings: list[tuple[dict[str, TopicMetadata], set[str]]]) -> None:
    """Over any readings, a partition leaves only with its topic's configuration or its topic's id."""
    roster = Roster({})
    for listed, configured in readings:
        before, roster = roster, merge_metadata(roster.topics, listed, configured)
        gone = set(before.partitions()) - set(roster.partitions())
        for topic, _ in gone:
            assert topic not in configured or listed[topic].id != before.topics[topic].id


@given(READINGS)
def test_a_roster_is_what_its_history_says(readings: list[tuple[dict[str, TopicMetadata], set[str]]]) -> None:
    """Each configured topic has the most partitions listed since its present id appeared, kept set by set."""
    seen: dict[str, set[Partition]] = {}
    ids: dict[str, str] = {}
    roster = Roster({})
    for listed, configured in readings:
        for topic in set(seen) - configured:
            del seen[topic], ids[topic]
        for topic in configured & set(listed):
            if ids.get(topic) != listed[topic].id:
                ids[topic], seen[topic] = listed[topic].id, set()
            seen[topic] |= {Partition(topic, number) for number in range(listed[topic].partitions)}
        roster = merge_metadata(roster.topics, listed, configured)

        assert set(roster.partitions()) == {partition for group in seen.values() for partition in group}
        assert {topic: shape.id for topic, shape in roster.topics.items()} == ids
        assert set(roster.missing) == {t for t in configured if t not in listed or not listed[t].partitions}


@given(LISTINGS, st.sets(st.builds(Partition, TOPICS, st.integers(0, 5))))
def test_the_count_is_of_partitions_that_are_not_excluded(
    listed: dict[str, TopicMetadata], excluded: set[Partition]
) -> None:
    """Required are all partitions but the excluded ones, counted one by one."""
    roster = merge_metadata({}, listed, "abc", excluded)
    partitions = {Partition(topic, number) for topic in listed for number in range(listed[topic].partitions)}

    assert roster.required_count() == len(partitions - excluded)
    assert roster.present_exclusions() == tuple(sorted(partitions & excluded))


def test_former_ids_are_the_newest_ones_of_present_topics() -> None:
    """An id that is present again is no former one. At most 8 are remembered, for topics that are still there."""
    former: dict[str, tuple[str, ...]] = {"gone": ("x",)}
    for number in range(10):
        before, after = {"t": TopicMetadata(f"id-{number}", 1)}, {"t": TopicMetadata(f"id-{number + 1}", 1)}
        former = add_former_ids(former, before, after)
    assert former == {"t": tuple(f"id-{number}" for number in range(2, 10))}

    back = {"t": TopicMetadata("id-5", 1)}
    assert add_former_ids(former, {"t": TopicMetadata("id-10", 1)}, back)["t"] == (
        "id-2",
        "id-3",
        "id-4",
        "id-6",
        "id-7",
        "id-8",
        "id-9",
        "id-10",
    )
    assert add_former_ids(former, {"t": TopicMetadata("id-10", 1)}, {"t": TopicMetadata("id-10", 2)}) == former
