"""The topic of schedules as relays of an outbox write it, in a real Kafka."""

import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from sqlalchemy import create_engine

from clocksvc.errors import Fenced, InvalidValue, OutcomeUnknown, RecordRejected, SchedulesUnavailable
from clocksvc.interfaces.outbox import Change
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.outbox_topic import TIMEOUT_S, KafkaOutboxTopic
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.outbox import Outbox, metadata
from clocksvc.outbox.database import DatabaseChanges
from clocksvc.outbox.relay import Relay
from tests.system.installation import create_topic

pytestmark = pytest.mark.servers

PARTITIONS = 3


class Outboxes:
    """Relays of one clock, and a consumer of what they commit."""

    def __init__(self, bootstrap: str, clock: str, exits: ExitStack) -> None:
        self.bootstrap, self.clock = bootstrap, clock
        self._exits = exits

    def relay(self, partitions: int = PARTITIONS, timeout_s: float = TIMEOUT_S) -> KafkaOutboxTopic:
        """A further relay, which is not fenced yet."""
        settings = {"bootstrap.servers": self.bootstrap}
        spec = SchedulesSpec(self.clock, partitions)
        made = KafkaOutboxTopic(spec, KafkaTopics(settings), settings, SystemTime(), timeout_s)
        self._exits.callback(made.close)
        return made

    def committed(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """Partition, key and value of all committed records."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": "reader", "isolation.level": "read_committed"}
        consumer = Consumer({**settings, "enable.partition.eof": True})
        topic = f"{self.clock}-schedules"
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        found, ended = [], 0
        while ended < PARTITIONS:
            for message in consumer.consume(100, 0.2):
                if message.error():
                    ended += 1
                else:
                    found.append((message.partition() or 0, message.key(), message.value()))
        consumer.close()
        return found


@pytest.fixture
def outboxes(bootstrap: str, key_prefix: str) -> Iterator[Outboxes]:
    """Relays of a clock whose topic exists."""
    create_topic(bootstrap, f"{key_prefix}-schedules", PARTITIONS)
    with ExitStack() as exits:
        yield Outboxes(bootstrap, key_prefix, exits)


def test_records_are_in_the_partitions_of_their_ids(outboxes: Outboxes) -> None:
    """By CRC32, as those of all other writers. A value of None is a tombstone."""
    relay = outboxes.relay()
    relay.fence()
    relay.write({f"id-{number}": f"{number}".encode() for number in range(10)})
    relay.write({"id-3": None})

    expected = {(zlib.crc32(key) % PARTITIONS, key, value) for key, value in records(10)}
    found = outboxes.committed()
    assert set(found) == expected | {(zlib.crc32(b"id-3") % PARTITIONS, b"id-3", None)}
    assert [value for _, key, value in found if key == b"id-3"] == [b"3", None]
    assert len({partition for partition, _, _ in found}) == PARTITIONS


def records(count: int) -> list[tuple[bytes, bytes]]:
    """The records that the tests write."""
    return [(f"id-{number}".encode(), f"{number}".encode()) for number in range(count)]


def test_a_second_relay_fences_the_first(outboxes: Outboxes) -> None:
    """What the first one has read before that is not written after the newer records of the second one."""
    first, second = outboxes.relay(), outboxes.relay()
    first.fence()
    first.write({"id-0": b"old"})
    second.fence()
    second.write({"id-0": b"new"})

    with pytest.raises(Fenced):
        first.write({"id-0": b"old again"})

    assert [value for _, _, value in outboxes.committed()] == [b"old", b"new"]


def test_a_relay_that_was_fenced_can_take_over(outboxes: Outboxes) -> None:
    """With a new fence only."""
    first, second = outboxes.relay(), outboxes.relay()
    first.fence()
    second.fence()
    for _ in range(2):
        with pytest.raises(Fenced):
            first.write({"id-0": b"0"})
    first.fence()
    first.write({"id-0": b"1"})

    with pytest.raises(Fenced):
        second.write({"id-0": b"2"})
    assert [value for _, _, value in outboxes.committed()] == [b"1"]


def test_a_record_that_is_too_large_is_named(outboxes: Outboxes) -> None:
    """Nothing of its transaction is committed. After a fence, the others can be written."""
    limit = ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, f"{outboxes.clock}-schedules", incremental_configs=[limit])
    admin = AdminClient({"bootstrap.servers": outboxes.bootstrap})
    admin.incremental_alter_configs([topic])[topic].result(30)
    relay = outboxes.relay()
    relay.fence()

    with pytest.raises(RecordRejected) as raised:
        relay.write({"id-0": b"0", "id-1": b"x" * 2_000})
    relay.fence()
    relay.write({"id-0": b"0"})

    assert raised.value.keys == (b"id-1",)
    assert [(key, value) for _, key, value in outboxes.committed()] == [(b"id-0", b"0")]


def test_records_that_can_not_be_read_are_not_written_yet(outboxes: Outboxes) -> None:
    """A broker that is killed can forget a commit before its marker is written. An abort would then end it."""
    relay = outboxes.relay(timeout_s=5.0)
    relay.fence()
    relay.write({"s0": b"0"})
    partition = zlib.crc32(b"s0") % PARTITIONS
    other = Producer({"bootstrap.servers": outboxes.bootstrap, "transactional.id": outboxes.clock})
    other.init_transactions(10)
    other.begin_transaction()
    other.produce(f"{outboxes.clock}-schedules", b"{}", b"other", partition=partition)
    assert other.flush(10) == 0

    with pytest.raises(OutcomeUnknown, match="open transaction"):
        relay.write({"s0": b"1"})
    other.commit_transaction(10)
    relay.fence()
    relay.write({"s0": b"1"})
    assert [value for _, key, value in outboxes.committed() if key == b"s0"] == [b"0", b"1", b"1"]


def test_another_number_of_partitions_is_refused(outboxes: Outboxes) -> None:
    """Otherwise schedules would be in partitions of other owners."""
    with pytest.raises(InvalidValue, match=r"schedules\.partitions: 4 is not valid: wanted 3"):
        outboxes.relay(4).fence()


def test_a_topic_that_does_not_exist_is_named(bootstrap: str, key_prefix: str) -> None:
    """It is not created here."""
    with ExitStack() as exits, pytest.raises(SchedulesUnavailable, match="does not exist"):
        Outboxes(bootstrap, key_prefix, exits).relay().fence()


def test_a_relay_that_is_suspended_writes_nothing_old(outboxes: Outboxes, tmp_path: Path) -> None:
    """It has read a change, and goes on when another relay has written a newer one. It becomes a standby."""
    (tmp_path / "product.db").touch()
    dsn, time = f"sqlite:///{tmp_path}/product.db", SystemTime()
    engine = create_engine(dsn)
    metadata.create_all(engine)

    def put(payload: str) -> None:
        schedule = {"interval": "60s", "task": "uptime.check", "payload": payload}
        with engine.begin() as connection:
            Outbox(outboxes.clock).put(connection, "id-0", schedule)

    class Suspended(DatabaseChanges):
        def newest(self, limit: int) -> list[Change]:
            found = super().newest(limit)
            if found and second.stats.puts == 0:
                put("new")
                second.step()
            return found

    first_changes, second_changes = Suspended(dsn, outboxes.clock, time), DatabaseChanges(dsn, outboxes.clock, time)
    first = Relay(outboxes.clock, 60_000, first_changes, outboxes.relay(), time)
    second = Relay(outboxes.clock, 60_000, second_changes, outboxes.relay(), time)
    put("old")
    first.step()

    assert [json.loads(value or b"")["payload"] for _, _, value in outboxes.committed()] == ["new"]
    assert (first.stats.active, second.stats.active) == (False, True)
    assert second_changes.newest(10) == []
    for opened in (first_changes, second_changes):
        opened.close()
    engine.dispose()
