"""A run of a product and its outbox's relay, which are killed at random moments, and the judge of its topic."""

import json
import random
import threading
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, func, select

from clocksvc.outbox import metadata
from clocksvc.outbox.tables import pending, rejected
from tests.process import Process, module
from tests.system.installation import create_topic
from tests.system.outbox import product
from tests.waiting import eventually

PARTITIONS = 3
_WITHIN_S = 60.0


@dataclass
class Evidence:
    """How much has happened: `repeated` are values with the same version as the value before them in the topic."""

    kills: dict[str, int] = field(default_factory=dict)
    versions: int = 0
    records: int = 0
    tombstones: int = 0
    repeated: int = 0


class KillRun:
    """The processes of one run, on a Kafka and a database that run already. Close it at the end.

    Args:
        dsn: an empty database.
        clock: a name that no other run has.
    """

    def __init__(self, bootstrap: str, dsn: str, clock: str, folder: Path, seed: int) -> None:
        self.evidence = Evidence()
        self._rng = random.Random(seed)
        self._bootstrap, self._dsn, self._clock, self._folder = bootstrap, dsn, clock, folder
        self._engine = create_engine(dsn)
        metadata.create_all(self._engine)
        product.metadata.create_all(self._engine)
        create_topic(bootstrap, f"{clock}-schedules", PARTITIONS)
        self._config = folder / "clocksvc.yaml"
        watched = {"topics": ["checkins"], "group": "checkins", "schedules": {"partitions": PARTITIONS}}
        kafka = {"bootstrap.servers": bootstrap}
        self._config.write_text(json.dumps({"kafka": kafka, "clocks": {clock: watched}}))
        self._processes: dict[str, Process] = {}
        self._reader = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "ends", "isolation.level": "read_uncommitted"}
        )

    def start(self, name: str) -> None:
        """Start the process `product` or `relay`."""
        command = {
            "product": module("tests.system.outbox.product", self._dsn, self._clock, str(self._rng.random())),
            "relay": module("clocksvc.cli.main", "outbox", "--clock", self._clock, "--config", str(self._config)),
        }[name]
        log = self._folder / f"{name}.log"
        self._processes[name] = Process(command, log, environ={"CLOCKSVC_OUTBOX_DSN": self._dsn})

    def kill_at_random(self, name: str) -> None:
        """Kill a process once it has worked, and start it again. Half of the relays die within a transaction."""
        if name == "relay":
            self._relayed()
        if name == "relay" and self.evidence.kills.get(name, 0) % 2 == 0:
            self._appends()
        else:
            threading.Event().wait(self._rng.uniform(0.0, 0.5))
        self._processes[name].check_alive()
        self._processes[name].kill()
        self.evidence.kills[name] = self.evidence.kills.get(name, 0) + 1
        self.start(name)

    def finish(self) -> None:
        """End the product, and wait until the relay has moved all changes. Ends the relay with SIGTERM, too."""
        eventually(lambda: self._processes["product"].wrote("writing"), within=_WITHIN_S)
        self._processes["product"].end()
        eventually(lambda: self._count(pending) == 0, within=_WITHIN_S, what="an empty outbox")
        assert self._processes["relay"].end() == 0

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes.values():
            process.kill()
        self._reader.close()
        self._engine.dispose()

    def judge(self) -> None:
        """Compare the topic with the product's tables."""
        committed = product.versions(self._engine)
        assert self._count(rejected) == 0
        self.evidence.versions = sum(map(len, committed.values()))
        records = self._records()
        assert set(records) <= set(committed)
        for monitor, versions in committed.items():
            self._judge_monitor(monitor, versions, records.get(monitor, []))

    def _judge_monitor(self, monitor: str, versions: dict[int, bool], records: list[dict[str, Any] | None]) -> None:
        at = 0
        created: dict[int, str] = {}
        for record in records:
            before = at
            if record is None:
                # The first version without the monitor at or after the one that the topic has shown.
                at = next((version for version, alive in versions.items() if version >= at and not alive), -1)
            else:
                at = record["payload"]
                assert versions.get(at) is True, f"{monitor}: version {at} was not committed"
                life = sum(1 for version, alive in versions.items() if version < at and not alive)
                assert created.setdefault(life, record["created_at"]) == record["created_at"], f"{monitor}: {record}"
            assert at >= before, f"{monitor}: version {at} follows {before}: {records}"
            self.evidence.records += 1
            self.evidence.tombstones += record is None
            self.evidence.repeated += record is not None and at == before
        assert records, f"{monitor} is not in the topic: {versions}"
        last = records[-1]
        assert (last is not None) == versions[max(versions)]
        if last is not None:
            assert last["payload"] == max(versions), f"{monitor}: the last version is not in the topic"

    def _records(self) -> dict[str, list[dict[str, Any] | None]]:
        found: dict[str, list[dict[str, Any] | None]] = {}
        settings = {"bootstrap.servers": self._bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
        consumer = Consumer({**settings, "enable.partition.eof": True})
        consumer.assign([TopicPartition(self._topic, partition, 0) for partition in range(PARTITIONS)])
        ended: set[int] = set()
        while len(ended) < PARTITIONS:
            for message in consumer.consume(1_000, 0.2):
                partition, key, value = message.partition(), message.key(), message.value()
                assert partition is not None
                if message.error():
                    ended.add(partition)
                    continue
                assert key is not None
                assert zlib.crc32(key) % PARTITIONS == partition
                found.setdefault(key.decode(), []).append(None if value is None else json.loads(value))
        consumer.close()
        return found

    @property
    def _topic(self) -> str:
        return f"{self._clock}-schedules"

    def _appends(self) -> None:
        """Wait until the topic has new records, which are usually not committed yet."""
        before = self._ends()
        deadline = time.monotonic() + _WITHIN_S
        while self._ends() == before:
            assert time.monotonic() < deadline, "the relay writes nothing"

    def _ends(self) -> list[int]:
        topic = [TopicPartition(self._topic, partition) for partition in range(PARTITIONS)]
        return [self._reader.get_watermark_offsets(one, 10, cached=False)[1] for one in topic]

    def _relayed(self) -> None:
        """Wait until the relay that was started last has moved changes."""
        before = self._first_number()
        eventually(lambda: self._first_number() > before, within=_WITHIN_S, what="a change that is relayed")

    def _first_number(self) -> int:
        # An empty table counts as no change, so that the product writes one.
        with self._engine.connect() as connection:
            return connection.execute(select(func.min(pending.c.number))).scalar() or 0

    def _count(self, table: Any) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
