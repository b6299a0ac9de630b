"""Producers and plain consumer groups of many clocks, in one cheap process: the groups commit, and report nothing.

Arguments: the bootstrap servers, the interval in s, and a JSON file with a list of [clock, topic, group, partitions].

Each `PERIOD_S`, each partition gets a record, and each group commits what it has. After a line on standard input, it
prints, as JSON, when a group had first committed past each boundary in all partitions:
`[[clock, boundary ms, wall ms]]`.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

PERIOD_S = 5.0
SLICES = 50
WITHIN_S = 90.0

Clock = tuple[str, str, str, int]


class ObservedLoad:
    """All clocks, and what their groups have committed."""

    def __init__(self, bootstrap: str, interval_ms: int, clocks: Sequence[Clock]) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "log_level": 0})
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._interval_ms = interval_ms
        self.slices = [clocks[number::SLICES] for number in range(SLICES)]
        self._written: dict[tuple[str, int], tuple[int, int]] = {}
        self._passed_ms: dict[str, int] = {}
        self.committed: list[tuple[str, int, int]] = []

    def work(self, clocks: Sequence[Clock]) -> None:
        """Write one record into each partition of some clocks, and commit."""
        for _, topic, _, partitions in clocks:
            for number in range(partitions):
                self._producer.produce(topic, b"x", partition=number, on_delivery=self._delivered)
        self._producer.flush(WITHIN_S)
        answers: list[Future[Any]] = []
        for _, topic, group, partitions in clocks:
            offsets = [TopicPartition(topic, one, self._written[topic, one][0] + 1) for one in range(partitions)]
            committed = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)])
            answers += committed.values()
        if any(answer.exception(WITHIN_S) is not None for answer in answers):
            return  # a coordinator that is loading its groups; the next commit has the same offsets and more
        for clock, topic, _, partitions in clocks:
            lowest_ms = min(self._written[topic, number][1] for number in range(partitions))
            self._note(clock, lowest_ms - lowest_ms % self._interval_ms)

    def _delivered(self, error: object, message: Message) -> None:
        assert error is None, error
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert number is not None
        assert offset is not None
        self._written[topic, number] = offset, message.timestamp()[1]

    def _note(self, clock: str, boundary_ms: int) -> None:
        if boundary_ms > self._passed_ms.get(clock, 0):
            self._passed_ms[clock] = boundary_ms
            self.committed.append((clock, boundary_ms, time.time_ns() // 1_000_000))


def main(bootstrap: str, interval_s: int, file: Path) -> None:
    """Work until stopped, print."""
    load = ObservedLoad(bootstrap, interval_s * 1000, [tuple(one) for one in json.loads(file.read_text())])
    stop = threading.Event()

    def wait_for_line() -> None:
        sys.stdin.readline()
        stop.set()

    threading.Thread(target=wait_for_line, daemon=True).start()
    at = time.monotonic()
    while not stop.is_set():
        for clocks in load.slices:
            load.work(clocks)
            at = max(at + PERIOD_S / SLICES, time.monotonic() - PERIOD_S)
            time.sleep(max(0.0, at - time.monotonic()))
    print(json.dumps(load.committed), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
