"""The findings on clocks that follow committed offsets."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.check import probe_committed, rules_kafka, rules_topic
from clocksvc.check.finding import Finding, Level, worst
from clocksvc.check.probe_committed import observe
from clocksvc.check.rules_committed import (
    CommitSample,
    Stalls,
    evaluate_commits,
    evaluate_drain_delay,
    evaluate_processing,
    evaluate_sessions,
    evaluate_upstream,
    evaluate_writers,
)
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.interfaces.committed_offsets import GroupOffsets, PartitionEnds
from clocksvc.interfaces.time import SystemTime
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import GroupFacts, TopicFacts
from clocksvc.memory.committed_offsets import MemoryCommittedOffsets

pytestmark = pytest.mark.core

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM
SPEC = ClockSpec("payments", ("ingest",), "ledger", source=Source.COMMITTED)
REMOTE = UpstreamSpec("raw", "https://other")
A, B = Partition("ingest", 0), Partition("ingest", 1)
FULL = PartitionEnds(0, 10, 0)


def texts(findings: list[Finding], level: Level) -> str:
    """The findings of a level, with their advice."""
    return " | ".join(f"{one.text} → {one.to_do}" for one in findings if one.level is level)


def sample(
    first: Mapping[Partition, int],
    last: Mapping[Partition, int] | None = None,
    *,
    ends: Mapping[Partition, PartitionEnds] | None = None,
    moves: Mapping[Partition, int] | None = None,
) -> CommitSample:
    """A sample of 6 s."""
    known = {A: FULL, B: FULL} if ends is None else ends
    before, after = GroupOffsets(first), GroupOffsets(first if last is None else last)
    return CommitSample((A, B), before, after, known, known, dict(moves or {}), 6.0)


@pytest.mark.parametrize(
    ("made", "level", "words"),
    [
        (sample({A: 10, B: 10}), OK, "had nothing to commit within 6 s"),
        (sample({A: 5, B: 5}, {A: 10, B: 10}, moves={A: 2, B: 3}), OK, "has committed 2 times within 6 s"),
        (sample({A: 5, B: 10}), WARNING, "nothing within 6 s, although records wait in ingest:0"),
        (sample({A: 5}, ends={A: PartitionEnds(10, 10, 1)}), OK, "had nothing to commit within 6 s"),
        (sample({A: 10}), WARNING, "nothing for 1 of 2 partitions with records, so the clock waits: ingest:1"),
        (sample({}), PROBLEM, "nothing for 2 of 2 partitions with records"),
        (sample({A: 10}, ends={A: FULL, B: PartitionEnds(7, 7, 0)}), OK, "each of 1 partitions with records"),
        (
            sample({}, ends={A: PartitionEnds(0, 0, 0)}),
            OK,
            "no partition has records, so it needs no committed offsets yet",
        ),
        (sample({A: 100, B: 10}), WARNING, "above the end, as after a topic was deleted and created again: ingest:0"),
        (CommitSample((A, B)), WARNING, "does not answer"),
        (
            replace(sample({}), last=GroupOffsets({}, "it is a share group")),
            PROBLEM,
            "it is a share group",
        ),
    ],
)
def test_commits(made: CommitSample, level: Level, words: str) -> None:
    """A partition with records needs a commit; an empty one does not."""
    findings = evaluate_commits(SPEC, made)

    assert worst(findings) is level
    assert words in texts(findings, level)


@pytest.mark.parametrize(
    ("interval_s", "poll_s", "level"), [(10, 5, OK), (8, 5, OK), (7, 5, WARNING), (7, 4, OK), (1, 1, WARNING)]
)
def test_the_interval_of_a_group_that_commits_every_3_s(interval_s: int, poll_s: int, level: Level) -> None:
    """An interval that is shorter than the time from commit to commit and from poll to poll gives ticks in groups."""
    spec = replace(SPEC, interval_ms=interval_s * 1000, poll_ms=poll_s * 1000)
    findings = evaluate_commits(spec, sample({A: 5, B: 10}, {A: 10, B: 10}, moves={A: 2}))

    assert worst(findings) is level
    assert level is OK or "several ticks of" in texts(findings, WARNING)


@pytest.mark.parametrize(
    ("delay_s", "stalls", "behind_ms", "level", "words"),
    [
        (10, Stalls(False), None, OK, "one replica"),
        (0, Stalls(False), None, WARNING, "it must cover the difference between all clocks → set clocks.payments."),
        (10, Stalls(False), 12_000, PROBLEM, "12.0 s behind the leader's: ticks of quiet partitions can be early"),
        (10, Stalls(False), -12_000, OK, "one replica"),
        (15, Stalls(True), 0, OK, "not while one is slow (30s, replica.lag.time.max.ms); 31s would cover this, too"),
        (35, Stalls(True), 0, OK, "stopped (12s) or slow (30s)"),
        (10, Stalls(True), 0, WARNING, "invisible for 12s (broker.session.timeout.ms and the controller's failover)"),
        (15, Stalls(True), 4_000, WARNING, "set clocks.payments.drain_delay to 17s or more"),
        (15, Stalls(True, 18_000), 0, WARNING, "set clocks.payments.drain_delay to 22s or more"),
    ],
)
def test_drain_delay(delay_s: int, stalls: Stalls, behind_ms: int | None, level: Level, words: str) -> None:
    """It covers what the clocks of brokers are behind, and the time that records can be above the high watermark."""
    findings = evaluate_drain_delay(replace(SPEC, drain_delay_ms=delay_s * 1000), stalls, behind_ms)

    assert worst(findings) is level
    assert words in texts(findings, level)


def test_a_clock_after_another_needs_no_drain_delay() -> None:
    """It has conditions of its own, which are named."""
    after = replace(SPEC, after=(UpstreamSpec("raw"),))

    assert evaluate_drain_delay(after, Stalls(True), 60_000) == []
    assert evaluate_writers(SPEC) == []
    (finding,) = evaluate_writers(after)
    assert finding.level is OK
    assert "only the groups of raw write to ingest, with acks=all before they commit" in finding.text


def test_short_sessions_of_brokers() -> None:
    """They matter where another broker can become the leader; also to clocks after others."""
    after = replace(SPEC, name="after", after=(UpstreamSpec("raw"),))

    assert evaluate_sessions([SPEC], {"payments": Stalls(False, 6_000)}) == []
    assert evaluate_sessions([SPEC], {"payments": Stalls(True, 9_000)}) == []
    found = evaluate_sessions([SPEC, after], {"payments": Stalls(True, 6_000), "after": Stalls(True, 6_000)})
    assert "broker.session.timeout.ms is 6s" in texts(found, WARNING)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        ({"interval_seconds": 60, "status": "running", "time": "2026-12-01T00:00:00Z"}, OK, "raw@https://other is run"),
        ({"interval_seconds": 45, "status": "running", "time": None}, WARNING, "60s is no multiple of 45s"),
        ({"interval_seconds": 1, "status": "starting", "time": None}, WARNING, "has no tick yet (starting)"),
        ("401: no token", PROBLEM, "raw@https://other can't be read: 401: no token → correct url, token_file"),
    ],
)
def test_upstream_clocks_of_other_services(answer: dict[str, Any] | str, level: Level, words: str) -> None:
    """Those of this installation are findings of their own."""
    finding = evaluate_upstream(replace(SPEC, interval_ms=60_000), REMOTE, answer)

    assert finding.level is level
    assert words in texts([finding], level).replace("1m", "60s")


def test_what_can_not_be_seen_is_said() -> None:
    """Once for all groups."""
    (finding,) = evaluate_processing([SPEC, replace(SPEC, name="second"), ClockSpec("c", ("t",), "reporting")])

    assert finding.text.startswith("ticks are right if ledger commit after processing. Kafka does not show this")
    assert evaluate_processing([ClockSpec("c", ("t",), "reporting")]) == []


def test_findings_of_groups_and_topics_fit_the_source() -> None:
    """Nothing about reports and heartbeats; Read on the topic is needed; a share group is refused."""
    empty = rules_kafka.evaluate_group(SPEC, GroupFacts("EMPTY", 0, frozenset(), {A: 1}), [A])
    share = rules_kafka.evaluate_group(SPEC, GroupFacts("DEAD", unordered=True), [A])
    facts = TopicFacts(1, "id", TimestampType.LOG_APPEND_TIME, allowed=frozenset({"DESCRIBE", "DESCRIBE_CONFIGS"}))
    unreadable = rules_topic.evaluate_topic(SPEC, "ingest", facts)

    assert "nothing new is committed, and the clock waits" in texts(empty, WARNING)
    assert "report" not in texts(empty, WARNING)
    assert "is a share group" in texts(share, PROBLEM)
    assert "this user lacks Read" in texts(unreadable, PROBLEM)


def test_groups_are_observed_while_they_have_something_to_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clocks can have one group: each sees the commits in its own topics."""
    monkeypatch.setattr(probe_committed, "WINDOW_S", 0.3)
    monkeypatch.setattr(probe_committed, "_EVERY_S", 0.05)
    offsets = CommitsAtEachQuestion()
    for topic in ("ingest", "other"):
        offsets.create(topic, 1)
        offsets.append(Partition(topic, 0), *range(10_000))
        offsets.commit("ledger", Partition(topic, 0), 0)
    other = replace(SPEC, name="other", topics=("other",))
    samples = observe(offsets, [SPEC, other], SystemTime())

    assert samples["payments"].commits >= 2
    assert samples["payments"].window_s >= 0.3
    assert samples["payments"].waiting() == []
    assert samples["other"].commits == 0
    assert samples["other"].waiting() == [Partition("other", 0)]


class CommitsAtEachQuestion(MemoryCommittedOffsets):
    """The group commits a record of `ingest` each time it is asked for."""

    def committed(self, groups: Any) -> Mapping[str, GroupOffsets]:
        found = super().committed(groups)
        self.commit("ledger", A, found["ledger"].offsets[A] + 1)
        return found
