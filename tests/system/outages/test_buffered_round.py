"""A short round of outages with BufferedConsumers, and the judge of their sinks.

`make outages ARGS=--buffered MINUTES=…` runs longer rounds.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.system.evidence import Note, TickWithOffset
from tests.system.outages.rounds.faults import WITH_BUFFER
from tests.system.outages.rounds.goals import InTurn
from tests.system.outages.rounds.setups import with_buffer
from tests.system.outages.rounds.sink import Look, SinkFindings, TopicRecord, judge_sink

KINDS = ("kill-consumer", "stop-consumer", "kill-broker")


@pytest.mark.path
def test_buffered_consumers_are_killed_and_stopped(tmp_path: Path) -> None:
    """Each record has its effect, none is reported or committed before, with a sink that fails, is slow and hangs."""
    goals = InTurn(WITH_BUFFER, KINDS)

    outcome = with_buffer(
        tmp_path, 1, lambda goals: not goals.left(), goals, lambda _: None, partitions=4, consumers=2, together=0.0
    )

    assert outcome.wrong() == []
    assert goals.seen == Counter(KINDS)
    assert len(outcome.sinks) == 2
    for sink in outcome.sinks.values():
        assert sink.effects > 500
        assert sink.repeated > 10
        assert sink.looks > 100
    assert sum(sink.letters for sink in outcome.sinks.values()) > 0
    assert all(len(findings.log) > 15 for findings in outcome.findings.values())


RECORDS = [TopicRecord(number, offset, 1_000 * offset, offset == 3) for number in (0, 1) for offset in range(6)]
EFFECTS = [
    Note(record.partition, record.offset, 0, record.timestamp_ms + 50, False)
    for record in RECORDS
    if not record.heartbeat
]
TICKS = [TickWithOffset(at_s * 1000, None, at_s * 1000 + 60, {}) for at_s in (2, 4)]
LOOKS = [Look(4_060, {0: 5, 1: 4})]


def without(partition: int, offset: int) -> list[Note]:
    """The effects, except for one record's."""
    return [one for one in EFFECTS if (one.partition, one.offset) != (partition, offset)]


def judged(
    effects: Sequence[Note] = EFFECTS,
    letters: Sequence[Note] = (),
    ticks: Sequence[TickWithOffset] = TICKS,
    looks: Sequence[Look] = LOOKS,
) -> SinkFindings:
    """The findings in a small topic with two partitions, whose fourth records are heartbeats."""
    return judge_sink(RECORDS, effects, letters, ticks, looks)


@pytest.mark.core
def test_a_sink_without_errors_has_no_findings() -> None:
    """An effect of each record, before ticks and commits. A dead letter is an effect, and so is a second one."""
    late = Note(1, 4, 0, 9_000, False)

    assert judged().wrong() == []
    assert judged(effects=[*EFFECTS, late]).wrong() == []
    assert judged(effects=without(1, 4), letters=[late._replace(wall_ms=4_050)]).wrong() == []


@pytest.mark.core
@pytest.mark.parametrize(
    ("found", "names"),
    [
        (lambda: judged(effects=without(0, 5)), {"missing"}),
        (lambda: judged(effects=without(1, 1), letters=[Note(1, 1, 0, 5_000, False)]), {"early", "beyond"}),
        (lambda: judged(effects=[*without(0, 4), Note(0, 4, 0, 4_061, False)]), {"early", "beyond"}),
        (lambda: judged(ticks=[TickWithOffset(6_000, None, 9_000, {})]), {"early"}),
        (lambda: judged(looks=[Look(4_040, {0: 5})]), {"beyond"}),
    ],
    ids=["no effect", "a late dead letter", "a late effect", "a tick above all records", "a commit before the effect"],
)
def test_each_kind_of_error_in_a_sink_is_found(found: Callable[[], SinkFindings], names: set[str]) -> None:
    """One error in a clean sink: the judge names its kind."""
    findings = found()

    assert {name for name in ("missing", "early", "beyond") if getattr(findings, name)} == names
