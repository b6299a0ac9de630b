"""Findings of `clocksvc check` about many clocks, as lines for people."""

import pytest

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.check.grouping import Group, group
from clocksvc.check.rules_kafka import evaluate_group
from clocksvc.check.rules_topic import evaluate_topic
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import GroupFacts, TopicFacts

pytestmark = pytest.mark.core

COUNT = 2_000
SPECS = {
    name: ClockSpec(name, (f"orders-{number:04}",), f"readers-{number:04}", heartbeat=HeartbeatSpec())
    for number, name in enumerate(f"shop-{number:04}" for number in range(COUNT))
}
FACTS = TopicFacts(2, "id", TimestampType.LOG_APPEND_TIME, cleanup_policy="compact")


def first_names(word: str) -> str:
    """The first names of many, as a line shows them."""
    return ", ".join(f"{word}-{number:04}" for number in range(5)) + " and 1,995 more"


def grouped(*findings: Finding) -> list[Group]:
    """The groups of some findings about these clocks."""
    return list(group(findings, SPECS))


def test_equal_findings_of_many_topics_are_one_line() -> None:
    """The line has a count and the first names. A placeholder replaces the clock's name in the advice."""
    found = [one for spec in SPECS.values() for one in evaluate_topic(spec, spec.topics[0], FACTS)]
    exists, ordered, compacted = group(found, SPECS)

    assert exists.about == f"2,000 topics ({first_names('orders')}), each"
    assert (exists.text, exists.count, ordered.count) == ("exists, 2 partitions", COUNT, COUNT)
    assert compacted.to_do == "set clocks.CLOCK.heartbeat.key to a key that no other record has"


def test_names_within_a_text_are_placeholders() -> None:
    """Each group of these clocks has its own topic in the text."""
    facts = GroupFacts("EMPTY", 0, committed={Partition("other", 0): 5})
    found = [
        one
        for spec in SPECS.values()
        for one in evaluate_group(spec, facts, [Partition(spec.topics[0], number) for number in range(2)])
    ]
    members, offsets = group(found, SPECS)

    assert members.about == f"2,000 groups ({first_names('readers')}), each"
    assert offsets.text == "has committed no offset for 2 of 2 partitions: TOPIC:0, TOPIC:1"


def test_findings_that_differ_in_numbers_are_one_line() -> None:
    """The line has the first of them as an example. Numbers in the advice are what to set, so they separate groups."""
    found = [
        warning(f"topic {spec.topics[0]}", f"{number} records are late", f"set 1{number % 2}s", name)
        for number, (name, spec) in enumerate(SPECS.items())
    ]
    even, odd = group(found, SPECS)

    assert (even.count, odd.count) == (1_000, 1_000)
    assert even.text == "0 records are late (the first of them; numbers differ)"
    assert (even.to_do, odd.to_do) == ("set 10s", "set 11s")


def test_clocks_that_share_a_topic() -> None:
    """The line has the topic, and the first clocks."""
    about = [one.about for one in group([ok("topic all", "exists", name) for name in SPECS], SPECS)]

    assert about == [f"topic all (2,000 clocks: {first_names('shop')})"]


def test_a_few_findings_stay_as_they_are() -> None:
    """Up to five equal findings are separate lines, in their order; one that differs is never in a group."""
    names = list(SPECS)[:6]
    few = grouped(*(ok(f"clock {name}", "has no leader now", name) for name in names[:5]))
    level = grouped(
        *(ok(f"clock {name}", "has no leader now", name) for name in names),
        problem(f"clock {names[0]}", "has no leader now", "", names[0]),
        ok("redis", "answers"),
    )

    assert [one.about for one in few] == [f"clock {name}" for name in names[:5]]
    assert [(one.level, one.count) for one in level] == [("ok", 6), ("problem", 1), ("ok", 1)]
