"""The judge finds each kind of wrong claim, and accepts right ones."""

import random
from dataclasses import replace

import pytest

from clocksvc.clock.partition import Partition
from tests.observer_simulation.judge import Judge, Violation
from tests.observer_simulation.plan import make_plan
from tests.observer_simulation.world.log import PartitionLog, Record, State
from tests.observer_simulation.world.timeline import START_MS, Timeline

OUT_OF_ORDERNESS_MS = 2_000


class Case:
    """A partition with its judge."""

    def __init__(self) -> None:
        timeline = Timeline(1)
        plan = replace(make_plan(random.Random(1)), out_of_orderness_ms=OUT_OF_ORDERNESS_MS, skew_ms=0)
        self.judge, self.log = Judge(timeline, plan), PartitionLog("raw", 0, "id", 0)

    def append(self, after_ms: int, *, processed: bool = False) -> Record:
        """Append a record, so long after the start."""
        record = self.log.append(START_MS + after_ms)
        self.log.high = self.log.end
        if processed:
            self.log.note_processed(record)
        return record

    def claims(self, after_ms: int) -> None:
        """Claim a time, so long after the start."""
        self.judge.claims(self.log, START_MS + after_ms)

    def emitted(
        self, clock: str, after_ms: int, excluded: tuple[Partition, ...] = (), upstreams: tuple[str, ...] = ()
    ) -> None:
        """Emit a tick."""
        self.judge.emitted(
            clock,
            START_MS + after_ms,
            upstreams=upstreams,
            excluded=excluded,
            next_topics=[self.log],
            previous_ms=START_MS,
        )


def test_a_claim_before_a_record_was_processed() -> None:
    case = Case()
    case.append(500)
    case.claims(500)
    with pytest.raises(Violation, match="early"):
        case.claims(501)


def test_a_record_that_comes_after_the_claim() -> None:
    case = Case()
    case.claims(1_000)
    case.judge.appended(case.log, case.append(1_000))
    with pytest.raises(Violation, match="early"):
        case.judge.appended(case.log, case.append(999))


def test_what_follows_the_record_that_carried_the_partition() -> None:
    """A record with a timestamp that is too far ahead carries nothing, and an unprocessed one neither."""
    case = Case()
    case.append(1_000 + OUT_OF_ORDERNESS_MS, processed=True)
    case.append(100)
    case.claims(1_000)
    with pytest.raises(Violation, match="early"):
        case.claims(1_001)
    for after_ms, processed in ((10**7, True), (1_000 + OUT_OF_ORDERNESS_MS, False)):
        case = Case()
        case.append(after_ms, processed=processed)
        case.append(100)
        with pytest.raises(Violation, match="early"):
            case.claims(1_000)


def test_what_the_group_need_not_process() -> None:
    """Records that are gone, aborted or passed over."""
    case = Case()
    case.log.remove(case.append(1))
    part = case.log.begin()
    case.log.append(START_MS, part)
    with pytest.raises(Violation, match="early"):
        case.claims(1_000)
    case.log.finish(part, State.ABORTED, START_MS)
    case.append(2)
    case.log.pass_over(case.log.end)
    case.claims(1_000)


def test_a_claim_before_or_below_the_upstream_tick() -> None:
    case = Case()
    case.append(1)
    with pytest.raises(Violation, match="upstream"):
        case.judge.claims_after(case.log, START_MS + 1_000, ["a"])
    case.emitted("a", 1_000)
    with pytest.raises(Violation, match="early"):
        case.judge.claims_after(case.log, START_MS + 1_000, ["a"])
    case.log.note_processed(case.log.records[0])
    case.append(2)
    case.judge.claims_after(case.log, START_MS + 1_000, ["a"])


def test_a_tick_names_what_an_upstream_tick_excluded() -> None:
    case, gone = Case(), Partition("raw", 1)
    case.emitted("a", 1_000, (gone,))
    case.emitted("a", 2_000)
    case.emitted("b", 2_000, (gone,), ("a",))
    with pytest.raises(Violation, match="excluded"):
        case.emitted("b", 2_000, (), ("a",))


def test_results_in_the_last_topic() -> None:
    """One of two copies is enough; an aborted one is none."""
    case, sink = Case(), PartitionLog("clean", 0, "id", 0)
    root = case.append(1, processed=True)
    part = sink.begin()
    aborted, copy = sink.append(-1, part), sink.append(-1)
    sink.finish(part, State.ABORTED, START_MS)
    sink.note_processed(aborted)
    root.outputs = ([aborted],)
    case.judge.check_results("b", START_MS + 1, 2, [case.log])
    with pytest.raises(Violation, match="missing"):
        case.judge.check_results("b", START_MS + 1_000, 2, [case.log])
    root.outputs = ([aborted, copy],)
    with pytest.raises(Violation, match="missing"):
        case.judge.check_results("b", START_MS + 1_000, 2, [case.log])
    sink.note_processed(copy)
    case.judge.check_results("b", START_MS + 1_000, 2, [case.log])
    case.append(5)
    with pytest.raises(Violation, match="missing"):
        case.judge.check_results("b", START_MS + 1_000, 2, [case.log])
