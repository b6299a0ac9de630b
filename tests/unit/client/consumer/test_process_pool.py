"""`process` in other processes: results that can't be received."""

import threading
from typing import Any

import pytest

from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.process_pool import MOST_RECORDS, ProcessPool
from clocksvc.client.consumer.processing import Run
from clocksvc.errors import ConsumerFailed
from tests.unit.client.consumer.records import ORDERS, Record
from tests.waiting import eventually

pytestmark = pytest.mark.core


def first_is_a_lock(record: Any) -> object:
    """An item that can't be pickled for the first record, no item for the others."""
    return threading.Lock() if record.offset() == 0 else None


def first_exits(record: Any) -> None:
    """A function that ends its process, as it thinks."""
    if record.offset() == 0:
        raise SystemExit(3)


@pytest.mark.parametrize(("process", "text"), [(first_is_a_lock, "cannot pickle"), (first_exits, "SystemExit")])
def test_records_behind_lost_results_are_not_returned(process: Any, text: str) -> None:
    """The consumer passes on what is there when it ends. A commit behind the lost results would skip their records."""
    pool: ProcessPool[Any] = ProcessPool(process, 1)
    pool.submit(Run(Assignment(ORDERS), [Record(offset) for offset in range(3 * MOST_RECORDS)]))
    parts = [part.future for part in pool._parts]
    eventually(lambda: all(future.done() for future in parts))

    with pytest.raises(ConsumerFailed, match=text):
        pool.finished(0.0)

    assert (pool.records, pool.finished(0.0)) == (0, [])
    pool.close()
