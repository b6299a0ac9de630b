"""A request that ends a transaction is delayed on its way to the broker, and ends a part of a later transaction.

The client sends it again on a new connection, and reports neither an error nor a log line. The broker is a real one.
For checkpoints, see test_checkpoints.py.
"""

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Producer

from clocksvc.api import problems
from clocksvc.api.schedule_access import as_problem
from clocksvc.clock.log_record import Message
from clocksvc.errors import ClocksvcError, FencedAtCommit, OffsetGap, OutcomeUnknown, RecordRejected
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import writer_id
from clocksvc.kafka.writer import Writer
from clocksvc.scheduler.partition import SchedulePartition
from clocksvc.schedules.schedule import parse_schedule
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.recovering_writer import RecoveringWriter
from tests.interfaces.schedule_implementations import PARTITIONS, KafkaTopics, ids_in
from tests.interfaces.tick_log_examples import KeepAliveCounter, messages, minutes
from tests.interfaces.tick_log_implementations import FaultyKafkaTickLog, end_of, writer
from tests.tcp_proxy import KafkaProxy
from tests.unit.scheduler.partition_fixture import Ticks
from tests.waiting import eventually

pytestmark = pytest.mark.servers

keep_alive = KeepAliveCounter()
SECONDS = float(os.environ.get("SOAK_SECONDS", "15"))
INVALID_PRODUCER_EPOCH, PRODUCER_FENCED = 47, 90
COUNT = 6
NOW_MS = 1_795_348_800_000
BEFORE = {"the first record": 0, "the second record": 1, "the fourth record": 3, "the commit": COUNT}
"""When a delayed request arrives, by the number of records that the present transaction has at this moment."""


@pytest.fixture
def implementation(faulty_kafka: FaultyKafka) -> FaultyKafkaTickLog:
    """A log whose clients connect through a proxy."""
    return FaultyKafkaTickLog(faulty_kafka)


def before_each_step(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call `act` with the number of records that were sent and acknowledged, before each record and the commit."""
    produce, commit = Writer._produce, Writer._commit

    def produce_later(self: Writer, one: Message, partition: int, deliveries: Any, *args: Any) -> None:
        self._producer.flush(10)
        act(deliveries.reports)
        produce(self, one, partition, deliveries, *args)

    def commit_later(self: Writer, *args: Any) -> None:
        act(COUNT)
        commit(self, *args)

    monkeypatch.setattr(Writer, "_produce", produce_later)
    monkeypatch.setattr(Writer, "_commit", commit_later)


class Release:
    """Releases the delayed request once, at a step of the next transaction."""

    def __init__(self, implementation: FaultyKafkaTickLog, proxy: KafkaProxy, step: int) -> None:
        self._implementation, self._proxy, self._step = implementation, proxy, step
        self.code: int | None = None

    def __call__(self, step: int) -> None:
        if step != self._step or not self._proxy.held:
            return
        before = self._implementation.end()
        self.code = self._proxy.release_end_txn()
        if self.code == 0 and step:
            # The coordinator answers before it has written the marker.
            eventually(lambda: self._implementation.end() > before, what="the marker of the delayed request")


@pytest.mark.parametrize("arrives_before", BEFORE)
def test_a_delayed_commit_does_not_tear_a_transaction_unnoticed(
    implementation: FaultyKafkaTickLog, faulty_kafka: FaultyKafka, monkeypatch: pytest.MonkeyPatch, arrives_before: str
) -> None:
    """If an append is confirmed, it is complete. Otherwise the log has some of its first records, and continues."""
    proxy, log = faulty_kafka.proxy, writer(implementation)
    proxy.hold_end_txn()
    end = log.append(messages(1, 5), 0, keep_alive)
    assert proxy.held == 1
    step = BEFORE[arrives_before]
    release = Release(implementation, proxy, step)
    with monkeypatch.context() as patched:
        before_each_step(patched, release)
        torn = 0 < step < COUNT
        if torn:
            with pytest.raises(ClocksvcError):
                log.append(messages(6, COUNT), end, keep_alive)
        else:
            assert log.append(messages(6, COUNT), end, keep_alive) == end + COUNT + 1
    assert release.code == 0
    committed = 5 + (step if torn else COUNT)
    assert minutes(implementation.seen()) == list(range(1, committed + 1))
    log.fence(keep_alive)

    log.append(messages(committed + 1, 3), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == list(range(1, committed + 4))
    implementation.free()


@pytest.mark.parametrize("arrives_before", BEFORE)
def test_a_delayed_abort_does_not_lose_a_transaction_unnoticed(
    implementation: FaultyKafkaTickLog, faulty_kafka: FaultyKafka, monkeypatch: pytest.MonkeyPatch, arrives_before: str
) -> None:
    """The abort that ends a hanging transaction. The same producer then writes the snapshot of its term."""
    proxy, log = faulty_kafka.proxy, implementation.process()
    log.ensure_topic(keep_alive)
    log.fence(keep_alive)
    assert log._writer is not None
    proxy.hold_end_txn()
    log._writer.end_hanging(messages(99)[0], log._deadline(keep_alive))
    assert proxy.held == 1
    end, step = end_of(log), BEFORE[arrives_before]
    release = Release(implementation, proxy, step)
    with monkeypatch.context() as patched:
        before_each_step(patched, release)
        if step:
            with pytest.raises(ClocksvcError):
                log.append(messages(1, COUNT), end, keep_alive)
        else:
            log.append(messages(1, COUNT), end, keep_alive)
    assert release.code == 0
    committed = 0 if step else COUNT
    assert minutes(implementation.seen()) == list(range(1, committed + 1))
    log.fence(keep_alive)

    log.append(messages(committed + 1, 3), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == list(range(1, committed + 4))
    implementation.free()


@pytest.mark.parametrize("arrives_before", BEFORE)
@pytest.mark.parametrize("failure", ["none", "gap", "rejected"])
def test_a_new_fence_makes_delayed_requests_harmless(
    implementation: FaultyKafkaTickLog,
    faulty_kafka: FaultyKafka,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
    arrives_before: str,
) -> None:
    """A new producer has a new epoch: brokers reject the requests of older ones. This is why a writer that failed is
    not used again."""
    proxy, log = faulty_kafka.proxy, writer(implementation)
    proxy.hold_end_txn()
    if failure == "none":
        log.append(messages(1), 0, keep_alive)
    elif failure == "gap":
        with pytest.raises(OffsetGap):
            log.append(messages(1), 7, keep_alive)
    else:
        implementation.configure("max.message.bytes", "131072")
        with pytest.raises(RecordRejected):
            log.append([implementation.too_large()._replace(value=b"x" * 140_000)], 0, keep_alive)
    held = proxy.held
    log.fence(keep_alive)
    end = end_of(log)
    release = Release(implementation, proxy, BEFORE[arrives_before])
    with monkeypatch.context() as patched:
        before_each_step(patched, release)
        assert log.append(messages(2, COUNT), end, keep_alive) == end + COUNT + 1

    assert held == 1
    assert release.code in (INVALID_PRODUCER_EPOCH, PRODUCER_FENCED)
    assert minutes(implementation.seen()) == [*([1] if failure == "none" else []), *range(2, 2 + COUNT)]
    implementation.free()


def test_no_tick_is_lost_or_written_twice_while_requests_are_delayed(
    implementation: FaultyKafkaTickLog, faulty_kafka: FaultyKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are delayed, and arrive before any later record or commit. Runs for SOAK_SECONDS, 15 unless set."""
    proxy, rng = faulty_kafka.proxy, random.Random()
    released: list[int] = []

    def act(_: int) -> None:
        while proxy.held and rng.random() < 0.25:
            released.append(proxy.release_end_txn())
            time.sleep(rng.choice((0.0, 0.01, 0.05)))

    log = implementation.process()
    log.ensure_topic(keep_alive)
    ticks, appends = RecoveringWriter(log), 0
    before_each_step(monkeypatch, act)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if proxy.held < 3 and rng.random() < 0.3:
            proxy.hold_end_txn()
        appends += ticks.append(rng.choice((1, 2, 5, 20)))
    monkeypatch.undo()
    proxy.heal()
    while proxy.held:
        proxy.release_end_txn()
    eventually(lambda: ticks.append(1), what="an append")
    seen = minutes(implementation.seen())
    torn = sum(ticks.errors.values())
    print(
        f"{appends} appends, {len(seen)} ticks, {len(released)} delayed requests, {released.count(0)} accepted", end=""
    )
    print(f", errors {dict(ticks.errors)}")

    assert seen == list(range(1, ticks.acknowledged + 1))
    assert released.count(0) > 0
    assert torn > 0
    implementation.free()


def test_a_commit_whose_answer_is_lost_does_not_count_as_nothing_written(faulty_kafka: FaultyKafka) -> None:
    """A new owner fences the one before, which has committed a change but does not know it."""
    proxy, topics = faulty_kafka.proxy, KafkaTopics(faulty_kafka.bootstrap)
    partition = topics.partition()
    first, second = (
        partition.writer(),
        Producer({**topics.settings, "transactional.id": writer_id(f"{topics.clock}-schedules", partition.number)}),
    )
    second.list_topics(timeout=10)
    first.fence(keep_alive)
    proxy.hold_end_txn(retries=True)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(first.write, [(b"a", b"1")], keep_alive)
        eventually(lambda: proxy.held, what="the commit")
        code = proxy.release_end_txn()
        second.init_transactions(10)
        proxy.heal()
        error = written.exception(30)
    while proxy.held:
        proxy.release_end_txn()

    assert code == 0
    assert [(key, value) for _, key, value in partition.schedules()] == [(b"a", b"1")]
    # On a slow machine, the client reports the missing answer first.
    assert isinstance(error, FencedAtCommit | OutcomeUnknown)
    assert (
        as_problem(SchedulesSpec(topics.clock, PARTITIONS), partition.number, error).kind
        is problems.WRITE_OUTCOME_UNKNOWN
    )
    topics.close()


@pytest.mark.parametrize("arrives_before", ["the first record", "the fourth record", "the commit"])
def test_each_due_time_is_sent_once_although_a_delayed_commit_has_torn_its_tick(
    faulty_kafka: FaultyKafka, monkeypatch: pytest.MonkeyPatch, arrives_before: str
) -> None:
    """The request that commits one tick is delayed, and arrives while the next one is appended."""
    proxy, topics, ticks = faulty_kafka.proxy, KafkaTopics(faulty_kafka.bootstrap), Ticks()
    partition, step = topics.partition(), BEFORE[arrives_before]
    ticks.add(NOW_MS)
    value = parse_schedule({"interval": 60, "task": "a.b"}, 60_000, NOW_MS - 3_600_000).encode()
    partition.write_foreign([(key, value) for key in ids_in(partition, 5)])
    owner = SchedulePartition(
        SchedulesSpec(topics.clock, PARTITIONS),
        partition.number,
        schedules=partition.source,
        due_log=partition.due_log(),
        writer=partition.writer(),
        ticks=ticks,
        time=SystemTime(),
    )
    owner.acquire()

    def wait(at_ms: int) -> None:
        eventually(lambda: owner.step() >= 0 and owner.stats.position_ms == at_ms, what=f"tick {at_ms}")

    wait(NOW_MS)
    proxy.hold_end_txn()
    ticks.add(NOW_MS + 60_000)
    wait(NOW_MS + 60_000)
    assert proxy.held == 1
    released: list[int] = []

    def act(sent: int) -> None:
        if sent == step and proxy.held and not released:
            before = len(partition.due())
            released.append(proxy.release_end_txn())
            if released == [0] and sent:
                eventually(lambda: len(partition.due()) > before, what="the marker of the delayed request")

    with monkeypatch.context() as patched:
        before_each_step(patched, act)
        ticks.add(NOW_MS + 120_000)
        wait(NOW_MS + 120_000)
    ticks.add(NOW_MS + 180_000)
    wait(NOW_MS + 180_000)

    assert released == [0]
    assert owner.stats.terms == (2 if 0 < step < COUNT else 1)
    ids = [dict(entry.headers)["clocksvc-id"] for entry in partition.due() if entry.key != b"_position"]
    assert len(ids) == len(set(ids)) == 15
    owner.close()
    topics.close()
