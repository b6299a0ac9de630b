"""The due times of partitions."""

import tracemalloc

from clocksvc.client.due_times import NOW, DueTimes


def test_many_crossings_need_no_memory() -> None:
    """Each crossing makes a partition due now and again later; what is outdated is not kept until then."""
    due = DueTimes()
    tracemalloc.start()
    try:
        for _ in range(5_000):
            for partition in range(3):
                due.advance(partition, NOW)
            assert due.take(0.0, 10.0) == [0, 1, 2]
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()

    assert due.take(10.0, 20.0) == [0, 1, 2]


def test_a_cleared_one_is_never_due() -> None:
    """Nothing is due until a partition is added again."""
    due = DueTimes()
    due.advance(1, 5.0)
    due.clear()

    assert due.take(100.0, 200.0) == []
    assert due.advance(1, 150.0)
    assert due.take(150.0, 200.0) == [1]
