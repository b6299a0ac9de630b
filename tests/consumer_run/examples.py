"""The consumers that are explored, with their records and checks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from clocksvc.consumer import BufferedConsumer, RetryPolicy
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.testing import ConsumerRun, Record

PARTITIONS = 3
_BEGIN_MS = 1_795_348_800_000


class Example(NamedTuple):
    """What `ConsumerRun.explore` gets."""

    build: Callable[[], ConsumerRun]
    records: Sequence[Record]
    check: Callable[[ConsumerRun], None]


class InvalidOrder(ValueError):
    """The value of a record is no order."""


def process_order(message: Any) -> bytes | None:
    """Return the order; None for a test order."""
    value: bytes = message.value()
    if value.startswith(b"broken"):
        raise InvalidOrder(value.decode())
    return None if value.startswith(b"test") else value


def orders_consumer(table: set[bytes], processes: int = 0) -> BufferedConsumer[bytes]:
    """Writes orders into a table, several batches at the same time."""
    return BufferedConsumer(
        "orders",
        group="orders-table",
        process=process_order,
        flush=table.update,
        batch_records=4,
        batch_bytes=60,
        concurrent_flushes=2,
        buffer_records=12,
        retry=RetryPolicy(attempts=3, first_seconds=0.2, limit_seconds=2.0),
        dead_letters="orders-dead",
        processes=processes,
    )


def totals_consumer(saved: list[dict[bytes, int]]) -> BufferedConsumer[bytes]:
    """Counts orders, with a state between flushes. The state is saved in each flush, and loaded at the start."""

    def flush(batch: list[bytes], counts: dict[bytes, int]) -> dict[bytes, int]:
        counts = counts | {order: counts.get(order, 0) + 1 for order in batch}
        saved.append(counts)
        return counts

    return BufferedConsumer(
        "orders",
        group="orders-totals",
        process=lambda message: process_order(message) if not message.value().startswith(b"broken") else None,
        flush=flush,
        state=lambda: dict(saved[-1]) if saved else {},
        batch_records=4,
        buffer_records=12,
        retry=RetryPolicy(attempts=3, first_seconds=0.2, limit_seconds=2.0),
    )


def _record(number: int) -> Record:
    kind = "broken" if number % 17 == 9 else "test" if number % 7 == 3 else "order"
    late_ms = 5_000 if number % 13 == 6 else 0
    return Record(
        f"{kind} {number}{' ' * (number % 5 * 4)}".encode(),
        number % PARTITIONS,
        _BEGIN_MS + number * 1_000 - late_ms,
        headers=[(HEARTBEAT_HEADER, b"")] if number % 11 == 5 else [],
        gap=2 if number % 19 == 7 else 0,
    )


RECORDS = [_record(number) for number in range(48)]
ORDERS = {
    record.value for record in RECORDS if record.value and record.value.startswith(b"order") and not record.headers
}
BROKEN = {
    record.value for record in RECORDS if record.value and record.value.startswith(b"broken") and not record.headers
}


def _check_orders(run: ConsumerRun) -> None:
    rejected = {message.value() for message, _ in run.dead_letters}
    assert rejected >= BROKEN
    assert run.sink | rejected == ORDERS | BROKEN


def _check_totals(run: ConsumerRun) -> None:
    # Each order is in a state at least once. A process begins with the last state, so no order is lost.
    assert set().union(*run.sink) == ORDERS


def _orders_run(processes: int = 0) -> ConsumerRun:
    table: set[bytes] = set()
    return ConsumerRun(lambda: orders_consumer(table, processes), partitions=PARTITIONS, sink=table)


def _totals_run() -> ConsumerRun:
    saved: list[dict[bytes, int]] = []
    return ConsumerRun(lambda: totals_consumer(saved), partitions=PARTITIONS, sink=saved)


EXAMPLES = {
    "orders": Example(_orders_run, RECORDS, _check_orders),
    "orders in processes": Example(partial(_orders_run, 2), RECORDS, _check_orders),
    "totals": Example(_totals_run, RECORDS, _check_totals),
}
