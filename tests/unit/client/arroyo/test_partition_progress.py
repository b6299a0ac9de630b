"""How far a pipeline has processed one partition: offsets that are done, and timestamps below a committed offset."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.client.arroyo.partition_progress import MAX_STEPS, PartitionProgress, TimestampSteps
from clocksvc.client.consumer.watermark import Timestamps

pytestmark = pytest.mark.core


class Record(NamedTuple):
    """A record of a partition. The kind is `x`, `invalid` or `heartbeat`."""

    offset: int
    timestamp_ms: int
    kind: str


STEPS = ("poll", "poll", "invalid", "flush", "commit")


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Record], list[str]]:
    """Records of a partition, with gaps between their offsets, and the steps of its pipeline."""
    offset, records = -1, []
    for _ in range(draw(st.integers(1, 25))):
        offset += draw(st.sampled_from((1, 1, 1, 2, 5)))
        kind = draw(st.sampled_from(("x", "x", "invalid", "heartbeat")))
        records.append(Record(offset, draw(st.integers(0, 50)), kind))
    return records, draw(st.lists(st.sampled_from(STEPS), max_size=80))


@given(runs())
def test_done_and_timestamps_follow_the_records(run: tuple[list[Record], list[str]]) -> None:
    """As in a pipeline with Reduce: invalid records are staged at once, others with the flush of their batch.

    `done` is the offset after the longest prefix of polled records that are finished, and the highest timestamp that is
    reported is that of this prefix.
    """
    script, steps = run
    progress = PartitionProgress(0)
    polled, buffer, invalid = list[Record](), list[Record](), list[Record]()
    finished: set[Record] = set()
    reported = -1
    for step in steps:
        if step == "poll" and len(polled) < len(script):
            record = script[len(polled)]
            polled.append(record)
            progress.add(record.offset, record.timestamp_ms, heartbeat=record.kind == "heartbeat")
            if record.kind == "x":
                buffer.append(record)
            elif record.kind == "heartbeat":
                finished.add(record)
            else:
                progress.add_invalid(record.offset)
                invalid.append(record)
        elif step == "invalid" and invalid:
            assert progress.stage(invalid[-1].offset + 1)
            finished.update(invalid)
            invalid.clear()
        elif step == "flush" and buffer and not invalid:
            assert progress.stage(buffer[-1].offset + 1)
            finished.update(buffer)
            buffer.clear()
        elif step == "commit":
            reported = max([reported, *(taken.highest_ms for taken in progress.commit(progress.done))])

        prefix = list(polled)
        while prefix and not finished.issuperset(prefix):
            prefix.pop()
        end = prefix[-1].offset + 1 if prefix else 0
        following = polled[len(prefix)].offset if len(prefix) < len(polled) else end
        assert end <= progress.done <= following
        assert progress.has_unfinished == (len(prefix) < len(polled))
        if step == "commit":
            assert reported == max((record.timestamp_ms for record in prefix), default=-1)


def test_an_offset_that_goes_back_is_found() -> None:
    """The records between the two offsets were not done."""
    progress = PartitionProgress(0)
    for offset in range(10):
        progress.add(offset, offset)

    assert progress.stage(9)
    assert not progress.stage(5)
    assert progress.done == 5


def test_steps_are_bounded() -> None:
    """With many uncommitted records, some timestamps are reported later. None is reported earlier."""
    count = 20 * MAX_STEPS
    steps = TimestampSteps()
    for offset in range(count):
        steps.add(offset, offset)

    assert len(steps._steps) <= MAX_STEPS
    most_behind, reported = 4 * count // MAX_STEPS, -1
    for committed in range(0, count, 100):
        reported = getattr(steps.take(committed), "highest_ms", reported)
        assert committed - most_behind <= reported < max(committed, 1)
    last = steps.take(count)
    assert last is not None
    assert last.highest_ms == count - 1


def test_the_lowest_timestamp_is_kept() -> None:
    """So that the reporter can count a late record."""
    progress = PartitionProgress(0)
    for offset, timestamp_ms in enumerate((50, 10, 40, 60)):
        progress.add(offset, timestamp_ms)

    assert progress.commit(4) == [Timestamps(0, 10, 60)]


def test_a_timestamp_far_ahead_hides_no_other() -> None:
    """The reporter rejects it, and counts the ordinary one."""
    progress = PartitionProgress(0)
    progress.add(0, 9_999_999, far_ahead=True)
    progress.add(1, 7)

    assert progress.commit(2) == [Timestamps(0, 7, 7), Timestamps(0, 9_999_999, 9_999_999)]


def test_a_record_without_a_timestamp_is_observed() -> None:
    """The reporter rejects -1, so that the hold names its reason."""
    progress = PartitionProgress(0)
    progress.add(0, -1)

    assert progress.commit(1) == [Timestamps(0, -1, -1)]
