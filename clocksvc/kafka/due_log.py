"""Reads and writes one partition of a topic of due records in Kafka."""

from collections.abc import Mapping, Sequence
from typing import cast

from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from clocksvc.errors import DueLogUnavailable
from clocksvc.interfaces.due_log import Appended, DueLogEntry, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.admin import Admin, config_values
from clocksvc.kafka.fenced_log import SETTLE_S, TIMEOUT_S, FencedLog
from clocksvc.kafka.internal_topic import InternalTopic


class KafkaDueLog(FencedLog):
    """Implements DueLog: one partition, in Kafka.

    Args:
        topic: the name of the topic of due records.
        partition: the number of the partition.
        settings, time, timeout_s, settle_s: see FencedLog.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        settings: Mapping[str, str],
        time: Time,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        described = InternalTopic(topic, "topic of due records", DueLogUnavailable, partition)
        super().__init__(described, settings, time, timeout_s, settle_s)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        return self._read(start, end, keep_alive, _entry)

    def retention_ms(self, keep_alive: KeepAlive) -> int | None:
        resource = ConfigResource(ResourceType.TOPIC, self._topic.name)
        with Admin(self._settings, DueLogUnavailable) as admin:
            (future,) = admin.ask(
                lambda client: client.describe_configs([resource], request_timeout=self._timeout_s),
                self._deadline(keep_alive),
            ).values()
            failure = f"Kafka does not describe the settings of the {self._topic}"
            config = config_values(admin.result(future, failure, self._topic.acls("DescribeConfigs")))
        if config.get("cleanup.policy") != "delete" or config.get("retention.bytes") != "-1":
            return None
        retention_ms = int(config.get("retention.ms", "-1"))
        return None if retention_ms < 0 else retention_ms

    def append(
        self, records: Sequence[DueLogRecord], position: DueLogRecord | None, end: int, keep_alive: KeepAlive
    ) -> Appended:
        began = acknowledged = self._time.monotonic()

        def note() -> None:
            nonlocal acknowledged
            acknowledged = self._time.monotonic()

        new_end = self._append(records, end, keep_alive, last=position, acknowledged=note)
        return Appended(new_end, acknowledged - began, self._time.monotonic() - acknowledged)


def _entry(polled: KafkaMessage) -> DueLogEntry:
    headers = cast("list[tuple[str, bytes | None]]", polled.headers() or [])
    return DueLogEntry(cast(int, polled.offset()), polled.key(), polled.value(), headers)
