"""Writes schedules to Kafka directly, and reads them from there. It needs the extra `consumer`."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from clocksvc.client.consumer.compacted_table import CompactedTable
from clocksvc.client.schedule_values import (
    Fields,
    Item,
    OnResult,
    ScheduleResult,
    StoredSchedule,
    WrittenSchedule,
    plain_fields,
    single_line,
)
from clocksvc.errors import ClocksvcError, InvalidValue, SchedulesUnavailable
from clocksvc.interfaces.schedule_topics import parse_id, partition_of, schedule_topic
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.schedule_producer import ScheduleProducer
from clocksvc.runtime.fork import PerProcess
from clocksvc.schedules.entry import Entry, read_entry
from clocksvc.schedules.schedule import parse_schedule
from clocksvc.schedules.schedule_json import etag_of, parse_fields, to_json

_SERVERS = "bootstrap.servers"
_POLL_S = 0.02
_IN_FLIGHT = 10_000
_ANY_INTERVAL_MS = 1_000
"""The clock's interval is not known here. The scheduler accepts all intervals of whole seconds."""
_MARGIN_S = 5.0
"""librdkafka reports a record that was not delivered a little after its timeout."""


class KafkaSchedules:
    """The schedules of one clock in Kafka. See `ScheduleDriver`. Thread-safe.

    Args:
        kafka: addresses of brokers, or settings of librdkafka.
        timeout_s: the longest wait for a record to be acknowledged, and for a partition to be read.
    """

    def __init__(self, kafka: str | Mapping[str, Any], clock: str, timeout_s: float) -> None:
        settings = {_SERVERS: kafka} if isinstance(kafka, str) else dict(kafka)
        if not (isinstance(settings.get(_SERVERS), str) and settings[_SERVERS]):
            raise InvalidValue("kafka", kafka, f"wanted HOST:PORT, or settings of librdkafka with {_SERVERS!r}")
        self._topic, self._settings, self._timeout_s = schedule_topic(clock), settings, timeout_s
        self._producer = PerProcess(lambda: ScheduleProducer(self._topic, settings, timeout_s))
        self._producer.get()  # so that wrong settings are an error of the constructor
        self._partitions: int | None = None
        self._time = SystemTime()

    def get(self, schedule_id: str) -> StoredSchedule | None:
        key = parse_id(schedule_id).encode()
        partition = partition_of(key, self._count_partitions())
        with self._table([partition]) as table:
            table.wait_ready(self._timeout_s)
            entry = table.get(key, partition)
        return None if entry is None else _stored(entry)

    def scan(self, prefix: str, after: str | None) -> Iterator[StoredSchedule]:
        yield from map(_stored, self._entries(prefix, after))

    def export(self, prefix: str, after: str | None) -> Iterator[bytes]:
        for entry in self._entries(prefix, after):
            yield to_json(entry.key.decode(), entry.value)

    def missed(self) -> NoReturn:
        raise InvalidValue("kafka", self._settings[_SERVERS], "wanted a url: only the service knows missed runs")

    def write(self, schedule_id: str, fields: Fields | None, if_match: str | None, if_absent: bool) -> WrittenSchedule:
        if if_match is not None or if_absent:
            wanted = "wanted no condition: only the owner of a partition can compare, so use a url instead of kafka"
            raise InvalidValue("if_match" if if_match is not None else "if_absent", if_match or if_absent, wanted)
        results: list[ScheduleResult] = []
        self.write_many([(schedule_id, fields)], results.append)
        (_, _, written, error) = results[0]
        if written is None:
            raise error or AssertionError("a result without an outcome")
        return written

    def write_many(self, items: Iterable[Item], on_result: OnResult) -> None:
        partitions, producer = self._count_partitions(), self._producer.get()
        pending: deque[_Pending] = deque()
        for position, (schedule_id, fields) in enumerate(items):
            one = _Pending(position, schedule_id)
            pending.append(one)
            try:
                key = parse_id(schedule_id).encode()
                value = None if fields is None else _encode(schedule_id, fields)
            except InvalidValue as error:
                one.error = error
            else:
                partition, etag = partition_of(key, partitions), None if value is None else etag_of(value)
                producer.send(key, value, partition, partial(one.delivered, partition, etag))
            producer.poll(0.0)
            if len(pending) > _IN_FLIGHT:
                self._wait_for(pending[0], producer)
            _pass_on(pending, on_result)
        while pending:
            self._wait_for(pending[0], producer)
            _pass_on(pending, on_result)

    def close(self) -> None:
        producer = self._producer.take()
        if producer is not None:
            producer.close(self._timeout_s)

    def _entries(self, prefix: str, after: str | None) -> Sequence[Entry]:
        begin, last = prefix.encode(), (after or "").encode()
        with self._table(None) as table:
            table.wait_ready(self._timeout_s)
            found = [entry for key, entry in table.items() if key.startswith(begin) and key > last]
        return sorted(found, key=lambda entry: entry.key)

    def _wait_for(self, one: "_Pending", producer: ScheduleProducer) -> None:
        deadline = self._time.monotonic() + self._timeout_s + _MARGIN_S
        while not one.is_done:
            producer.poll(_POLL_S)
            if self._time.monotonic() > deadline:
                one.error = SchedulesUnavailable(f"{one.schedule_id}: no answer; it may have been written")

    def _count_partitions(self) -> int:
        if self._partitions is None:
            self._partitions = self._producer.get().partitions(self._timeout_s)
        return self._partitions

    def _table(self, partitions: Sequence[int] | None) -> CompactedTable[Entry]:
        settings = dict(self._settings)
        return CompactedTable(
            self._topic,
            decode=lambda record: read_entry(record.key() or b"", record.value() or b""),
            bootstrap_servers=settings.pop(_SERVERS),
            settings=settings,
            partitions=partitions,
        )


class _Pending:
    """One schedule whose outcome was not passed on yet."""

    def __init__(self, position: int, schedule_id: str) -> None:
        self.position, self.schedule_id = position, schedule_id
        self.written: WrittenSchedule | None = None
        self.error: ClocksvcError | None = None

    @property
    def is_done(self) -> bool:
        """True once there is an outcome."""
        return self.written is not None or self.error is not None

    def delivered(self, partition: int, etag: str | None, offset: int, failure: str | None) -> None:
        """Set the outcome."""
        if failure is None:
            self.written = WrittenSchedule(self.schedule_id, partition, offset, etag)
        else:
            self.error = SchedulesUnavailable(f"{self.schedule_id}: {failure}; it may have been written")


def _pass_on(pending: "deque[_Pending]", on_result: OnResult) -> None:
    while pending and pending[0].is_done:
        one = pending.popleft()
        on_result(ScheduleResult(one.position, one.schedule_id, one.written, one.error))


def _encode(schedule_id: str, fields: Fields | bytes) -> bytes:
    if not isinstance(fields, bytes):
        return parse_schedule(plain_fields(fields), _ANY_INTERVAL_MS).encode()
    found = parse_fields(single_line(fields))
    if found.pop("id", schedule_id) != schedule_id:
        raise InvalidValue("id", schedule_id, "wanted the id of the line")
    return parse_schedule(found, _ANY_INTERVAL_MS).encode()


def _stored(entry: Entry) -> StoredSchedule:
    fields = json.loads(to_json(entry.key.decode(), entry.value))
    return StoredSchedule(fields.pop("id"), fields, etag_of(entry.value))
