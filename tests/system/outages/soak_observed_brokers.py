"""An observer of committed offsets in a cluster of three whose brokers are suspended, replaced and killed.

`make soak` runs it. Not part of `make test`, because a broker is replaced 9 s after it is suspended: the observer
relies on Kafka's default. `drain_delay` has its default, too. The real observer reads the real Kafka; its store is in
memory. Everything that it reports is judged by the records in the topic, and by what the group's member noted before it
committed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, NoReturn

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.committed.observer import Observer
from clocksvc.interfaces.committed_offsets import PartitionEnds
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.committed_offsets import KafkaCommittedOffsets
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.memory.upstreams import MemoryUpstreams
from tests.repository import ROOT
from tests.system.installation import wall_ms
from tests.system.outages.rounds.brokers import Cluster, cluster
from tests.system.plain_group import PlainGroup
from tests.waiting import eventually

pytestmark = pytest.mark.servers

TOPIC, GROUP, CLOCK = "orders", "billing", "bills"
BUSY, RARE, EMPTY = range(3), range(3, 9), range(9, 12)
PARTITIONS = 12
INTERVAL_MS = 1_000
SPEC = ClockSpec(
    CLOCK,
    (TOPIC,),
    GROUP,
    interval_ms=INTERVAL_MS,
    max_out_of_orderness_ms=0,
    source=Source.COMMITTED,
    poll_ms=1_000,
)
SOAK_S = float(os.environ.get("SOAK_SECONDS", "90"))
SESSIONS = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}
WITHIN_S = 60.0


class Claim(NamedTuple):
    """A report after which a partition has passed a time."""

    partition: int
    passed_ms: int
    wall_ms: int


class End(NamedTuple):
    """An answer to a question about the end of a partition."""

    partition: int
    asked_ms: int
    end: int


class Producers:
    """A thread that writes to busy and rare partitions. `acknowledged` has offset and wall time, by partition."""

    def __init__(self, bootstrap: str) -> None:
        self.acknowledged: dict[int, list[tuple[int, int]]] = {number: [] for number in range(PARTITIONS)}
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0})
        self._stop = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write until the end of the block, and then wait until everything is acknowledged."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        yield
        self._stop.set()
        thread.join(WITHIN_S)
        assert self._producer.flush(WITHIN_S) == 0

    def _run(self) -> None:
        rng = random.Random(1)
        while not self._stop.wait(0.02):
            number = rng.choice(BUSY) if rng.random() < 0.97 else rng.choice(RARE)
            self._producer.produce(TOPIC, b"x", partition=number, on_delivery=self._delivered)
            self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged[message.partition() or 0].append((message.offset() or 0, wall_ms()))


class Observed:
    """The observer, in a process that is started again when librdkafka crashes, and what it has sent.

    librdkafka does so when the broker of a group's coordinator is replaced: see `service.observer_child`.
    """

    def __init__(self, bootstrap: str) -> None:
        self.claims: list[Claim] = []
        self.ends: list[End] = []
        self.waits: Counter[str] = Counter()
        self.exit_codes: Counter[int] = Counter()
        self.longest_s = 0.0
        self._bootstrap = bootstrap
        self._passed: dict[int, int] = {}
        self._stop = threading.Event()

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Observe until the end of the block."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        yield
        self._stop.set()
        thread.join(WITHIN_S)

    def all_pass(self, time_ms: int) -> bool:
        """True if all partitions have passed a time."""
        return len(self._passed) == PARTITIONS and min(self._passed.values()) >= time_ms

    def _run(self) -> None:
        command = [sys.executable, "-m", "tests.system.outages.soak_observed_brokers", self._bootstrap]
        while not self._stop.is_set():
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            assert child.stdout is not None
            for line in child.stdout:
                if self._stop.is_set():
                    break
                self._note(json.loads(line), wall_ms())
            child.kill()
            code = child.wait()
            child.stdout.close()
            if not self._stop.is_set():
                self.exit_codes[code] += 1

    def _note(self, polled: dict[str, Any], now_ms: int) -> None:
        self.ends += [End(*one) for one in polled["ends"]]
        self.waits.update(polled["waits"])
        self.longest_s = max(self.longest_s, polled["took_s"])
        for number, raw_ms in polled["raw_ms"]:
            passed_ms = raw_ms // INTERVAL_MS * INTERVAL_MS
            if passed_ms > self._passed.get(number, 0):
                self._passed[number] = passed_ms
                self.claims.append(Claim(number, passed_ms, now_ms))


class NotedOffsets(KafkaCommittedOffsets):
    """Notes the ends that brokers answer."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__({"bootstrap.servers": bootstrap})
        self.noted: list[End] = []

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        asked_ms = wall_ms()
        found = super().ends(partitions)
        self.noted += [End(partition.number, asked_ms, ends.high) for partition, ends in found.items()]
        return found


def observe(bootstrap: str) -> NoReturn:
    """Poll once a second, and print a line of JSON after each poll."""
    offsets, memory, token = NotedOffsets(bootstrap), MemoryStoreServer(SystemTime()), "token"
    store = memory.store(CLOCK)
    assert memory.leases(log_of(CLOCK)).acquire(token, "replica", 10**12)
    parameters = ClockParameters(SPEC.reporting_group, SPEC.topics, INTERVAL_MS, 0, SPEC.max_future_ms)
    store.claim(token, StoreIdentity("cluster"), parameters, wall_ms())
    ids = eventually(lambda: offsets.topic_ids([TOPIC]), within=WITHIN_S, what="the topic")
    topics = {topic: TopicMetadata(topic_id, count) for topic, (topic_id, count) in ids.items()}
    store.write_roster(token, Roster(topics), 1)
    observer = Observer([SPEC], offsets=offsets, upstreams=MemoryUpstreams(), stores={CLOCK: store}, time=SystemTime())
    while True:
        began = time.monotonic()
        observer.poll([CLOCK])
        clocks = store.partitions(None, PARTITIONS)
        polled = {
            "ends": offsets.noted,
            "waits": dict(Counter(one.observed.waits_for if one.observed else "" for one in clocks)),
            "raw_ms": [(one.partition.number, one.raw_ms) for one in clocks if one.raw_ms is not None],
            "took_s": time.monotonic() - began,
        }
        print(json.dumps(polled), flush=True)
        offsets.noted = []
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))


@pytest.fixture(scope="module")
def brokers() -> Iterator[Cluster]:
    """A cluster with a topic of LogAppendTime, all replicas in sync."""
    with cluster(SESSIONS) as made:
        admin = AdminClient({"bootstrap.servers": made.bootstrap, "log_level": 0})
        new = NewTopic(TOPIC, PARTITIONS, 3, config={"message.timestamp.type": "LogAppendTime"})
        admin.create_topics([new])[TOPIC].result()
        eventually(made.in_sync, within=WITHIN_S, what="all replicas in sync")
        yield made


def suspend(brokers: Cluster, rng: random.Random) -> None:
    """Suspend a leader until it is replaced, or a little longer, and resume it."""
    node = leader(brokers, rng)
    pid = brokers.nodes[node].pid
    assert pid is not None
    others = [other for other in brokers.nodes if other != node]
    led = [number for number in range(PARTITIONS) if brokers.leader_of(TOPIC, number) == node]
    os.kill(pid, signal.SIGSTOP)
    try:
        for number in led:
            eventually(
                lambda number=number: brokers.leader_of(TOPIC, number, others) not in (None, node),  # type: ignore[misc]
                within=WITHIN_S,
                what="the suspended broker to be replaced",
            )
        time.sleep(rng.choice((0.2, 1.0, 5.0)))
    finally:
        os.kill(pid, signal.SIGCONT)


def kill(brokers: Cluster, rng: random.Random) -> None:
    """Kill a leader, and start it again."""
    node = brokers.nodes[leader(brokers, rng)]
    node.kill()
    time.sleep(rng.choice((1.0, 12.0)))
    node.start()
    node.wait_ready()


def leader(brokers: Cluster, rng: random.Random) -> int:
    """A node that leads a partition."""
    found = eventually(lambda: brokers.leader_of(TOPIC, rng.randrange(PARTITIONS)), within=WITHIN_S, what="a leader")
    assert found is not None
    return found


def test_brokers_are_suspended_replaced_and_killed(brokers: Cluster) -> None:
    """No partition has passed a time before every record before it was processed; each partition goes on in the end."""
    rng = random.Random()
    producers, observed = Producers(brokers.bootstrap), Observed(brokers.bootstrap)
    faults: Counter[str] = Counter()
    with PlainGroup(brokers.bootstrap, TOPIC, GROUP, first=True) as group, observed.observing():
        with producers.writing():
            eventually(lambda: observed.all_pass(1), within=WITHIN_S, what="all partitions to be known")
            end = time.monotonic() + SOAK_S
            while time.monotonic() < end:
                fault: Callable[[Cluster, random.Random], None] = rng.choice((suspend, suspend, kill))
                fault(brokers, rng)
                faults[fault.__name__] += 1
                eventually(brokers.in_sync, within=WITHIN_S, what="all replicas in sync")
                go_on = partial(observed.all_pass, wall_ms())
                eventually(go_on, within=WITHIN_S, what="all partitions to go on")
        records = read_all(brokers.bootstrap)
        handled = {tuple(map(int, origin.split(":"))): at_ms for origin, at_ms in group.first_times().items()}

    stale = sum(
        any(offset >= one.end and at_ms < one.asked_ms for offset, at_ms in producers.acknowledged[one.partition])
        for one in observed.ends
    )
    quiet = sum(claim.partition not in BUSY for claim in observed.claims)
    print(
        f"{dict(faults)}; {len(records)} records; {len(observed.claims)} boundaries passed, {quiet} by quiet ones; "
        f"{len(observed.ends)} ends, {stale} of them old; waits {dict(observed.waits)}; longest poll "
        f"{observed.longest_s:.1f} s; ends of the process {dict(observed.exit_codes)}"
    )
    assert early(observed.claims, records, handled) == []
    assert set(BUSY) <= {claim.partition for claim in observed.claims}
    assert quiet > 0


def early(
    claims: Collection[Claim], records: Mapping[tuple[int, int], int], handled: Mapping[tuple[int, ...], int]
) -> list[tuple[Claim, int]]:
    """The claims before which a record with an earlier timestamp was not handled, with the record's offset."""
    found = []
    for number in range(PARTITIONS):
        mine = sorted((timestamp_ms, offset) for (one, offset), timestamp_ms in records.items() if one == number)
        times = [timestamp_ms for timestamp_ms, _ in mine]
        done = [(handled.get((number, offset), 10**15), offset) for _, offset in mine]
        latest = list(accumulate(done, max))
        for claim in claims:
            before = bisect_left(times, claim.passed_ms) if claim.partition == number else 0
            if before and latest[before - 1][0] > claim.wall_ms:
                found.append((claim, latest[before - 1][1]))
    return found


def read_all(bootstrap: str) -> dict[tuple[int, int], int]:
    """The timestamps of all records, by partition and offset."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "judge", "enable.partition.eof": True, "log_level": 0}
    )
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    found: dict[tuple[int, int], int] = {}
    ended: set[int] = set()
    deadline = time.monotonic() + WITHIN_S
    while len(ended) < PARTITIONS:
        assert time.monotonic() < deadline
        for message in consumer.consume(500, 0.5):
            error = message.error()
            if error is None:
                found[message.partition() or 0, message.offset() or 0] = message.timestamp()[1]
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition() or 0)
    consumer.close()
    return found


if __name__ == "__main__":
    observe(sys.argv[1])
