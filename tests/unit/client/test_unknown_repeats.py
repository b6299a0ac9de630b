"""When a reporter repeats a partition that is unknown to the clock."""

from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.partition import Outcome
from clocksvc.interfaces.progress import ClockParameters
from tests.preconditions import require
from tests.unit.client.fake_sink import NOW_MS, TOPIC, FakeSink, SteppedReporter

NEW = 20
"""The number of a partition that is not in the roster yet."""


def test_an_unknown_partition_is_repeated_after_a_second_beside_busy_ones() -> None:
    """Each partition has its own due time: reports of other partitions do not delay the repetition."""
    sink = FakeSink(ClockParameters("workers", (TOPIC,), 1_000, 0, 60_000))
    sink.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number == NEW else Outcome.ACCEPTED
    stepped = SteppedReporter(sink)
    require(stepped.observe(NOW_MS, partition=NEW) == [{NEW: NOW_MS}], "the partition was reported once")
    began, asked_at = stepped.time.monotonic(), []
    for turn in range(100):  # 5 s; each of the other partitions crosses a boundary once a second
        stepped.time.advance(0.05)
        sent = stepped.observe(stepped.time.now_ms(), partition=turn % 20)
        asked_at += [stepped.time.monotonic() - began for numbers in sent if NEW in numbers]

    assert asked_at, "the partition was not repeated within 5 s"
    assert asked_at[0] <= 1.5


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.7), st.integers(0, 3), st.sampled_from([-1, 0, 0, 0, 400, 90_000])), max_size=60
    )
)
def test_unknown_partitions_are_repeated_within_one_and_a_half_seconds(records: list[tuple[float, int, int]]) -> None:
    """For any traffic of other partitions: records that cross boundaries, are late or are rejected."""
    sink = FakeSink(ClockParameters("workers", (TOPIC,), 1_000, 0, 60_000), last_tick_ms=NOW_MS - 1_000)
    sink.outcome = lambda reading: Outcome.UNKNOWN if reading.partition.number == NEW else Outcome.ACCEPTED
    stepped = SteppedReporter(sink)
    stepped.observe(NOW_MS, partition=NEW)
    asked_at = stepped.time.monotonic()
    for seconds, partition, offset_ms in records:
        sent = stepped.pass_time(seconds)
        timestamp_ms = -1 if offset_ms == -1 else stepped.time.now_ms() + offset_ms
        sent += stepped.observe(timestamp_ms, partition=partition)
        if any(NEW in numbers for numbers in sent):
            asked_at = stepped.time.monotonic()

        assert stepped.time.monotonic() - asked_at <= 1.5
