"""A million schedules in Kafka: from the start of a process until it is ready, takeovers, and ticks that are committed.

Run as a module, it is one replica: it loads partitions, each in a thread, and prints a line of JSON for each step.
"""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.interfaces.schedule_topics import SchedulesSpec, due_topic, partition_of, schedule_topic
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.compacted_topic import KafkaCompactedTopic
from clocksvc.kafka.due_log import KafkaDueLog
from clocksvc.kafka.schedule_writer import KafkaScheduleWriter
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.scheduler.partition_state import PartitionState
from tests.bench.figures import Figure, Spread, ratios
from tests.unit.scheduler.partition_fixture import Ticks

SCHEDULES = 1_000_000
RUNS = 3
MINUTE_MS = 60_000
NOW_MS = 1_795_348_800_000
TICKS, BACKLOG = 5, 10
Records = Iterable[tuple[bytes, bytes]]


def run(bootstrap: str, mixed: Records, hourly: Records) -> list[Figure]:
    """Figures of processes that begin with an empty memory. `mixed` and `hourly` are a million records each."""
    clock = f"bench-{uuid.uuid4().hex[:8]}"
    one, hours, eight = (f"{clock}-{name}" for name in ("one", "hours", "eight"))
    _fill(bootstrap, one, 1, mixed)
    _fill(bootstrap, hours, 1, hourly)
    _fill(bootstrap, eight, 8, mixed)
    return [
        *_bench_boot(bootstrap, one),
        *_bench_replicas(bootstrap, eight),
        *_bench_ticks(bootstrap, hours),
    ]


def _fill(bootstrap: str, clock: str, partitions: int, records: Records) -> None:
    topics = [NewTopic(schedule_topic(clock), partitions, 1, config={"cleanup.policy": "compact"})]
    topics.append(NewTopic(due_topic(clock), partitions, 1))
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(topics).values():
        future.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "batch.size": 1_000_000})
    for key, value in records:
        while True:
            try:
                producer.produce(schedule_topic(clock), value, key, partition=partition_of(key, partitions))
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


@contextmanager
def _replica(
    bootstrap: str, clock: str, partitions: Sequence[int], ticks: int = 0
) -> Iterator[Iterator[dict[str, Any]]]:
    """Start a process, and give what it prints; `seconds` are since its start."""
    numbers = ",".join(map(str, partitions))
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", __name__, bootstrap, clock, numbers, str(ticks)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield (json.loads(line) | {"seconds": time.perf_counter() - began} for line in process.stdout)
    assert process.returncode == 0


def _bench_boot(bootstrap: str, clock: str) -> list[Figure]:
    raw, ready, cpu, owner, memory = [], [], [], [], []
    for _ in range(RUNS):
        raw.append(_read_raw(bootstrap, clock))
        with _replica(bootstrap, clock, [0]) as steps:
            loaded, owned = steps
        ready.append(loaded["seconds"])
        cpu.append(loaded["cpu"])
        owner.append(owned["seconds"] - loaded["seconds"])
        memory.append(owned["mib"])
    times = ratios(ready, raw)
    return [
        Figure(f"librdkafka reads {SCHEDULES:,} schedules of 277 bytes from one partition", Spread.of(raw).show("s")),
        Figure(
            "from the start of the process until the partition is loaded, a standby",
            f"{Spread.of(ready).show('s')}, processor time {Spread.of(cpu).show('s')}; "
            f"{times.show()} times the raw read",
            "at most 2.5 s, or 4 times the raw read",
            Spread.of(ready).median <= 2.5 or times.median <= 4,
        ),
        Figure("from there until it is the owner, with a wheel", Spread.of(owner).show("s")),
        Figure("memory of the process", Spread.of(memory).show("MiB", 0), "at most 1 GiB", max(memory) <= 1024),
    ]


def _bench_replicas(bootstrap: str, clock: str) -> list[Figure]:
    """8 partitions, 4 in each of 2 processes at the same time."""
    ready, memory = [], []
    for _ in range(RUNS):
        with _replica(bootstrap, clock, range(4)) as first, _replica(bootstrap, clock, range(4, 8)) as second:
            loaded = [next(first), next(second)]
            owned = [*first, *second]
        ready.append(max(one["seconds"] for one in loaded))
        memory.append(max(one["mib"] for one in owned))
    return [
        Figure("the same with 8 partitions in 2 processes, until all are loaded", Spread.of(ready).show("s")),
        Figure("memory of each process", Spread.of(memory).show("MiB", 0)),
    ]


def _bench_ticks(bootstrap: str, clock: str) -> list[Figure]:
    with _replica(bootstrap, clock, [0], TICKS) as steps:
        _, _, *ticks, backlog = steps
    took, cpu = [one["took"] for one in ticks], Spread.of([one["cpu"] for one in ticks])
    due = _due(bootstrap, clock)
    at = [one[1] for one in due]
    assert len(set(due)) == len(due) == backlog["due"]
    assert all(one <= other for one, other in pairwise(at))
    sizes = [one["due"] - other["due"] for other, one in pairwise([{"due": 0}, *ticks])]
    parts = ", ".join(f"{name} {ticks[-1][name] * 1000:.0f} ms" for name in ("decide_s", "produce_s", "commit_s"))
    return [
        Figure(
            f"a tick with {min(sizes):,} to {max(sizes):,} due out of {SCHEDULES:,}, until it is committed",
            f"{Spread.of(took).show('s', 3)}, processor time {cpu.show('s', 3)} (the last: {parts})",
            "at most 0.5 s",
            Spread.of(took).median <= 0.5,
        ),
        Figure(
            f"a backlog of {BACKLOG} ticks, in order, each id once",
            f"{backlog['took']:.2f} s for {backlog['due'] - ticks[-1]['due']:,} due records, "
            f"processor time {backlog['cpu']:.2f} s",
        ),
    ]


def _read_raw(bootstrap: str, clock: str) -> float:
    settings = {"group.id": "raw", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    began = time.perf_counter()
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    consumer.assign([TopicPartition(schedule_topic(clock), 0, 0)])
    records = 0
    while records < SCHEDULES:
        records += len(consumer.consume(10_000, 0.05))
    took = time.perf_counter() - began
    consumer.close()
    return took


def _due(bootstrap: str, clock: str) -> list[tuple[bytes, str]]:
    """The key and the due time of all due records, as readers of committed records get them."""
    settings = {"group.id": "due", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    consumer.assign([TopicPartition(due_topic(clock), 0, 0)])
    found: list[tuple[bytes, str]] = []
    while (polled := consumer.poll(10)) is not None and polled.error() is None:
        headers: Any = dict(polled.headers() or [])
        if "clocksvc-type" not in headers:
            found.append((polled.key() or b"", headers["clocksvc-due"].decode()))
    consumer.close()
    return found


# -- one replica ------------------------------------------------------------------------------------------------------


def _work(bootstrap: str, clock: str, numbers: Sequence[int], count: int) -> None:
    settings, system, ticks = {"bootstrap.servers": bootstrap}, SystemTime(), Ticks()
    ticks.add(NOW_MS)
    partitions = [
        SchedulePartition(
            SchedulesSpec(clock, 1 if numbers == [0] else 8),
            number,
            schedules=lambda: KafkaCompactedTopic(schedule_topic(clock), settings),
            due_log=KafkaDueLog(due_topic(clock), number, settings, system),
            writer=KafkaScheduleWriter(schedule_topic(clock), number, settings, system),
            ticks=ticks,
            time=system,
        )
        for number in numbers
    ]
    _all_reach(partitions, PartitionState.LOADED)
    _print(cpu=time.process_time())
    for one in partitions:
        one.acquire()
    _all_reach(partitions, PartitionState.OWNER)
    _print(mib=_resident_mib())
    at_ms = NOW_MS
    for ticks_at_once in [1] * count + [BACKLOG] * (count > 0):
        began, cpu_began = time.perf_counter(), time.process_time()
        for _ in range(ticks_at_once):
            at_ms += MINUTE_MS
            ticks.add(at_ms)
        while partitions[0].stats.position_ms != at_ms:
            partitions[0].step()
        stats = partitions[0].stats
        _print(
            took=time.perf_counter() - began,
            cpu=time.process_time() - cpu_began,
            due=stats.due,
            decide_s=stats.decide_s,
            produce_s=stats.produce_s,
            commit_s=stats.commit_s,
        )
    for one in partitions:
        one.close()


def _all_reach(partitions: Sequence[SchedulePartition], state: PartitionState) -> None:
    def work(one: SchedulePartition) -> None:
        while one.state is not state:
            one.wake.wait(one.step())

    threads = [threading.Thread(target=work, args=(one,)) for one in partitions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _print(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], [int(number) for number in sys.argv[3].split(",")], int(sys.argv[4]))
