"""Records for tests of the consumer, and options of its state machine."""

from typing import Any

from clocksvc.client.consumer.batches import BatchLimits
from clocksvc.client.consumer.plan import MachineOptions
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.topics import HEARTBEAT_HEADER

ORDERS = Partition("orders", 0)


class Record:
    """A record as confluent-kafka returns it. Its timestamp is ten times its offset unless given."""

    def __init__(
        self,
        offset: int,
        value: bytes = b"x",
        *,
        partition: Partition = ORDERS,
        timestamp_ms: int | None = None,
        heartbeat: bool = False,
    ) -> None:
        self._offset, self._value, self._partition = offset, value, partition
        self._timestamp_ms = 10 * offset if timestamp_ms is None else timestamp_ms
        self._headers = [(HEARTBEAT_HEADER, b"1")] if heartbeat else None

    def topic(self) -> str:
        return self._partition.topic

    def partition(self) -> int:
        return self._partition.number

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._timestamp_ms

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Any:
        return self._headers

    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"{self._partition}@{self._offset}"


def machine_options(**changes: Any) -> MachineOptions:
    """Options with small limits. Names without a field of MachineOptions are those of BatchLimits."""
    limits: dict[str, Any] = {"records": 3, "bytes": 100, "age_s": 1.0}
    limits |= {name: changes.pop(name) for name in limits.keys() & changes.keys()}
    values: dict[str, Any] = {
        "buffer_records": 12,
        "buffer_bytes": 1_000,
        "slots": 2,
        "retry": RetryPolicy(3, 1.0, 4.0),
        "dead_letters": True,
        "commit_interval_s": 1.0,
    }
    return MachineOptions(batch=BatchLimits(**limits), **(values | changes))
