"""What holds a clock and what ends the hold, with real processes: API, command line, metrics and stream agree."""

import sys
import threading
import zlib
from collections.abc import Iterator, Mapping

import pytest
from confluent_kafka import Message, Producer

from clocksvc import Reporter
from tests import http_client
from tests.process import Process
from tests.repository import ROOT
from tests.system.clock_fixture import WITHIN_S, ClockFixture, notes_of, running
from tests.system.consumer import ConsumerThread, Reporters, consume
from tests.system.docs.blocks import blocks
from tests.system.evidence import Note, TickWithOffset, broken_links, early_ticks, read_notes
from tests.system.installation import create_topic, wall_ms
from tests.system.producers import SteadyProducer
from tests.unit.api.events import streaming
from tests.waiting import eventually

pytestmark = pytest.mark.path

ALMOST_AT_ONCE_MS = 5_000
HALF_AN_HOUR_MS = 30 * 60_000
OUT_OF_ORDERNESS_MS = 1_000
RETRIES_WITHIN, RETRIES_WITHIN_MS = "2s", 2_000

Clocks = Mapping[str, ClockFixture]


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, redis_url: str) -> Iterator[Clocks]:
    """A service with a clock for each test, by name. No Celery runs, so no heartbeats are sent."""
    run = f"holds{wall_ms() % 10**8}"
    made = [ClockFixture(run, name, 2) for name in ("quiet", "growing", "foreign", "mixed", "strayed")]
    made.append(ClockFixture(run, "created", 2, "CreateTime", max_out_of_orderness=f"{OUT_OF_ORDERNESS_MS}ms"))
    retried = [f"{run}-retried", f"{run}-retried-retry"]
    made.append(ClockFixture(run, "retried", 2, "CreateTime", topics=retried, max_out_of_orderness=RETRIES_WITHIN))
    create_topic(bootstrap, retried[1], 2, "CreateTime")
    with running(tmp_path_factory.mktemp("holds"), bootstrap, redis_url, run, *made):
        yield {clock.name: clock for clock in made}


def named(clock: ClockFixture, *partitions: int) -> list[dict[str, object]]:
    """Partitions as a hold names them."""
    return [{"topic": clock.topic, "partition": partition} for partition in partitions]


def wrong_with(
    ticks: list[TickWithOffset], consumers: list[ConsumerThread], partitions: int, slack_ms: int = 0
) -> list[str]:
    """What is wrong with ticks, by the notes of the clock's own consumers."""
    return broken_links(ticks, 1_000) + early_ticks(ticks, notes_of(*consumers), partitions, slack_ms)


def test_a_quiet_partition_holds_the_clock_until_a_heartbeat(clocks: Clocks) -> None:
    """API, command line, metrics and stream name the quiet partition. One round of heartbeats, and every skipped tick
    comes, once and in order, up to the heartbeat's own time."""
    with clocks["quiet"] as clock:
        service = clock.installation
        consumer, producer = clock.consumer(), clock.producer(0, 1)
        clock.until_running()
        producer.partitions = frozenset({0})

        held = clock.until_held("partition_behind")
        follower = clock.follow()

        since = held["hold"]["since"]
        assert held["status"] == "holding"
        assert held["hold"]["partitions"] == named(clock, 1)
        assert since == held["last_tick"]["emitted_at"]
        assert held["slowest"][0]["partition"] == 1
        printed = service.command("status", clock.name)
        assert f"(partition_behind). No tick since {since}" in printed
        assert f"{clock.topic}:1" in printed
        assert service.metric("clocksvc_holding", clock=clock.name, reason="partition_behind") == 1
        assert service.metric("clocksvc_holding", clock=clock.name, reason="partition_unreported") is None
        with streaming(f"{service.url}/v1/clocks/{clock.name}/ticks/stream") as events:
            state = next(events)
        assert (state.kind, state.data["hold"]["reason"]) == ("state", "partition_behind")
        assert clock.time_s() == held["timestamp_seconds"]

        assert service.command("heartbeat", clock.name) == f"{clock.name}: 2 heartbeats delivered\n"
        beat = eventually(
            lambda: next((note for note in consumer.notes if note.heartbeat and note.partition == 1), None),
            within=WITHIN_S,
            what="the heartbeat to be processed",
        )
        assert beat is not None
        beat_s = beat.timestamp_ms // 1000
        skipped = list(range(held["timestamp_seconds"] + 1, beat_s + 1))
        clock.until_reached(beat_s)
        eventually(lambda: follower.ticks() == skipped, what=f"{skipped} on the stream, not {follower.ticks()}")
        assert len(skipped) >= 2
        assert clock.time_s() == beat_s

        producer.partitions = frozenset({0, 1})
        clock.until_running()
        assert service.metric("clocksvc_holding", clock=clock.name, reason="none") == 0
        assert service.metric("clocksvc_heartbeats_total", clock=clock.name, outcome="delivered") == 2
        assert wrong_with(clock.log(), [consumer], 2) == []


def test_a_new_partition_holds_the_clock_until_its_first_report(clocks: Clocks) -> None:
    """Once Kafka has a new partition, no tick comes until it is reported, however far the others are."""
    with clocks["growing"] as clock:
        service = clock.installation
        consumer, _ = clock.consumer(), clock.producer(0, 1)
        clock.until_running()
        clock.grow(3)

        held = clock.until_held("partition_unreported")

        last_s = held["timestamp_seconds"]
        assert held["hold"]["partitions"] == named(clock, 2)
        assert held["partitions"] == {"known": 2, "unknown": 1, "excluded": 0, "rejected": 0}
        assert held["slowest"][0] | {"partition": 2, "time": None, "reported_at": None} == held["slowest"][0]
        assert service.metric("clocksvc_holding", clock=clock.name, reason="partition_unreported") == 1
        assert service.metric("clocksvc_partitions", clock=clock.name, state="unknown") == 1
        eventually(
            lambda: min(consumer.reached_ms(0), consumer.reached_ms(1)) >= (last_s + 3) * 1000,
            within=WITHIN_S,
            what="the other partitions to be processed three boundaries on",
        )
        assert clock.time_s() == last_s
        assert 2 not in consumer.partitions()

        clock.producer(2)
        clock.until_reached(last_s + 3)
        clock.until_running()
        ticks = clock.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        assert wrong_with(ticks, [consumer], 2) == []
        assert wrong_with(ticks[len(before) :], [consumer], 3) == []


def test_a_timestamp_far_ahead_is_refused_and_hides_nothing(clocks: Clocks) -> None:
    """One record stamped 30 minutes ahead among good ones is counted; its partition's next boundary is ticked on
    time, and the clock's time does not jump."""
    with clocks["created"] as clock:
        service = clock.installation
        consumer, _ = clock.consumer(), clock.producer(0, 1)
        clock.until_running()
        sent_ms = wall_ms()
        far_ms = sent_ms + HALF_AN_HOUR_MS
        clock.write({0: far_ms})
        next_ms = (sent_ms // 1000 + 1) * 1000

        eventually(lambda: consumer.reached_ms(0) == far_ms, within=WITHIN_S, what="the record to be processed")
        clock.until_reached(next_ms // 1000 + 2)

        def counted() -> float | None:
            return service.metric("clocksvc_reports_total", clock=clock.name, outcome="too_far_ahead")

        eventually(lambda: counted() == 1, what=f"one refusal to be counted, not {counted()}")
        body = {
            "group": clock.group,
            "reports": [{"topic": clock.topic, "partition": 1, "timestamp_ms": wall_ms() + HALF_AN_HOUR_MS}],
        }
        answer = http_client.post(f"{service.url}/v1/clocks/{clock.name}/reports", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["reports"] == [{"topic": clock.topic, "partition": 1, "outcome": "too_far_ahead"}]
        eventually(lambda: counted() == 2, what=f"two refusals to be counted, not {counted()}")

        consumer.notes = [note for note in consumer.notes if note.timestamp_ms != far_ms]
        ticks = clock.log()
        late_ms = next(tick.appended_ms for tick in ticks if tick.at_ms == next_ms) - next_ms
        assert OUT_OF_ORDERNESS_MS <= late_ms < OUT_OF_ORDERNESS_MS + ALMOST_AT_ONCE_MS
        assert [tick for tick in ticks if tick.at_ms > tick.appended_ms] == []
        assert wrong_with(ticks, [consumer], 2, OUT_OF_ORDERNESS_MS) == []


def test_another_groups_reports_are_refused(clocks: Clocks) -> None:
    """While only another consumer group processes the topic, no tick comes; its reports are counted, and the hold and
    its history name both groups. Once the clock's own group processes the topic, the clock begins."""
    with clocks["foreign"] as clock:
        service = clock.installation
        clock.producer(0, 1)
        canary = clock.consumer(group=f"{clock.group}-canary")
        clock.until_held("reports_rejected")
        began_ms = wall_ms()

        def counted() -> float:
            return service.metric("clocksvc_reports_total", clock=clock.name, outcome="foreign_group") or 0

        eventually(
            lambda: min(canary.reached_ms(0), canary.reached_ms(1)) >= began_ms + 3_000 and counted() >= 4,
            within=WITHIN_S,
            what="the other group to report further boundaries",
        )

        held = clock.until_held("reports_rejected")
        assert sorted(one["partition"] for one in held["hold"]["partitions"]) == [0, 1]
        for word in ("foreign_group", f"'{clock.group}-canary'", f"'{clock.group}'"):
            assert word in held["hold"]["detail"]
        assert held["time"] is None
        assert service.metric("clocksvc_holding", clock=clock.name, reason="reports_rejected") == 1
        newest = http_client.get(f"{service.url}/v1/clocks/{clock.name}/holds").json()["holds"][0]
        assert (newest["reason"], newest["ended_at"]) == ("reports_rejected", None)
        assert f"'{clock.group}-canary'" in newest["detail"]

        own = clock.consumer()
        clock.until_running()
        assert wrong_with(clock.log(), [own], 2) == []


class NumbersOnly(Reporters):
    """Reports only numbers of partitions, without their topic."""

    def observe_many(self, messages: list[Message]) -> None:
        for message in messages:
            partition = message.partition()
            assert partition is not None
            for reporter in self.reporters:
                reporter.observe(partition, message.timestamp()[1])


def test_a_consumer_of_another_topic_moves_nothing(clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """It reads a topic with as many partitions as the clock's, in the clock's group, and reports only their numbers.

    The clock does not tick; log, metric and hold name the topic. The consumer of the right topic then starts the clock.
    """
    with clocks["strayed"] as clock:
        service, stray = clock.installation, f"{clock.topic}-stray"
        create_topic(clock.bootstrap, stray, clock.partitions)
        notes: list[Note] = []
        stop, reporter = threading.Event(), Reporter(service.report_url, clock.name, group=clock.group)
        settings = {"bootstrap.servers": clock.bootstrap, "group.id": clock.group, "auto.offset.reset": "earliest"}
        consumer = threading.Thread(
            target=consume, args=(settings, stray, NumbersOnly([reporter]), notes.extend, stop), daemon=True
        )
        consumer.start()
        producer = SteadyProducer(clock.bootstrap, stray, (0, 1))
        try:
            eventually(
                lambda: (
                    {note.partition for note in notes if note.timestamp_ms >= notes[0].timestamp_ms + 2_500} == {0, 1}
                ),
                within=WITHIN_S,
                what="two boundaries of the other topic to be processed",
            )
            held = clock.until(
                lambda state: state["hold"] and stray in state["hold"]["detail"], f"the hold to name {stray}"
            )
        finally:
            stop.set()
            consumer.join(WITHIN_S)
            producer.close()

        assert held["timestamp_seconds"] is None
        assert held["hold"]["reason"] == "partition_unreported"
        assert f"consumers report topic '{stray}', but the clock has {clock.topic}: " in held["hold"]["detail"]
        assert (service.metric("clocksvc_reports_total", clock=clock.name, outcome="foreign_topic") or 0) >= 2
        assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
            f"reports of topic '{stray}' are rejected: clock {clock.name} has topics {clock.topic}"
        ]

        right, _ = clock.consumer(), clock.producer(0, 1)
        clock.until_running()
        assert wrong_with(clock.log(), [right], 2) == []


def test_a_consumer_may_report_by_http(clocks: Clocks) -> None:
    """Of two consumers in one group, one reports to Redis and one to the service: the clock ticks like any other."""
    with clocks["mixed"] as clock:
        by_redis, by_http = clock.consumer(), clock.consumer(url=clock.installation.url)
        clock.producer(0, 1)
        eventually(
            lambda: by_redis.partitions() and by_http.partitions(),
            within=WITHIN_S,
            what="each consumer to have its partition",
        )
        begun_s = clock.until_running()["timestamp_seconds"]

        state = clock.until_reached(begun_s + 5)

        ticks = clock.log()
        assert wrong_with(ticks, [by_redis, by_http], 2) == []
        alone = [tick for tick in ticks if early_ticks([tick], by_redis.notes, 2, 0)]
        assert len(alone) >= 3, "none of these ticks needed the consumer that reports by HTTP"
        assert state["partitions"] == {"known": 2, "unknown": 0, "excluded": 0, "rejected": 0}


RETRY_NOTES = """\
import pathlib, time
gate, book, done = pathlib.Path("gate"), open("NAME.notes", "ab", buffering=0), open("NAME.done", "ab", buffering=0)

def handle(message):
    value = message.value()
    if value.startswith(b"fails") and message.topic() == MAIN:
        raise TimeoutError
    while value.startswith(b"fails") and gate.exists():
        time.sleep(0.01)
    if value.startswith(b"fails"):
        done.write(b"%s %d\\n" % (value, time.time_ns() // 1_000_000))

def note(message):
    partition = message.partition() + (2 if message.topic() == RETRY else 0)
    numbers = partition, message.offset(), message.timestamp()[1], time.time_ns() // 1_000_000, is_heartbeat(message)
    book.write(b"%d %d %d %d %d\\n" % numbers)

"""
"""The work of the example, and notes. Some records fail at the first attempt; their retries wait until a file is gone.
"""


def start_retry_consumer(clock: ClockFixture, name: str, topics: str = "[MAIN, RETRY]") -> None:
    """Start the example of docs/consumers.md as a process that notes what it does."""
    folder = clock.installation.folder
    (block,) = [each for each in blocks("docs/consumers.md") if each.name == "retry_consumer.py"]
    text = block.text
    for given, own in {
        "localhost:9092": clock.bootstrap,
        "redis://localhost:6379/0": clock.installation.report_url,
        '"checkins"': f'"{clock.name}"',
        "checkins-consumer": clock.group,
        "ingest-checkins": clock.topic,
        "[MAIN, RETRY]": topics,
        "    try:\n        consumer.commit": "    note(message)\n    try:\n        consumer.commit",
    }.items():
        assert given in text
        text = text.replace(given, own)
    (folder / f"{name}.py").write_text(RETRY_NOTES.replace("NAME", name) + text)
    command, log = [sys.executable, f"{name}.py"], folder / f"{name}.log"
    clock.installation.processes[name] = Process(command, log, cwd=folder, environ={"PYTHONPATH": str(ROOT)})


def test_a_tick_waits_for_a_retry_topic(clocks: Clocks) -> None:
    """The example of docs/consumers.md: one reporter for a topic and its retry topic.

    A quiet retry topic holds the clock until a heartbeat. While a retry is not done, the clock holds and names its
    partition; each tick comes after the retries of the records before it.
    """
    with clocks["retried"] as clock:
        service, folder, retry = clock.installation, clock.installation.folder, f"{clock.topic}-retry"
        (folder / "gate").touch()
        clock.producer(0, 1)
        start_retry_consumer(clock, "both")
        quiet = [{"topic": retry, "partition": partition} for partition in (0, 1)]
        clock.until(
            lambda state: state["hold"] and state["hold"]["partitions"] == quiet, "the hold to name the quiet topic"
        )
        assert service.command("heartbeat", clock.name) == f"{clock.name}: 4 heartbeats delivered\n"
        clock.until(lambda state: state["timestamp_seconds"], "the first tick")

        retries = SteadyProducer(clock.bootstrap, retry, (0, 1))
        start_retry_consumer(clock, "second", "[RETRY]")
        second = folder / "second.notes"
        read = eventually(lambda: read_notes([second]), within=WITHIN_S, what="the second consumer to read")
        slow = read[-1].partition - 2
        clock.until_running()
        key = next(str(number) for number in range(10) if zlib.crc32(str(number).encode()) % 2 == slow)
        failing = {f"fails-{number}": wall_ms() for number in range(20)}
        writer = Producer({"bootstrap.servers": clock.bootstrap})
        for value, at_ms in failing.items():
            writer.produce(clock.topic, value, key, partition=0, timestamp=at_ms)
        assert writer.flush(WITHIN_S) == 0

        waiting = [{"topic": retry, "partition": slow}]
        held = clock.until(
            lambda state: state["hold"] and state["hold"]["partitions"] == waiting, "the hold to name the retry"
        )
        assert held["hold"]["reason"] == "partition_behind"
        assert held["timestamp_seconds"] * 1000 <= min(failing.values())
        (folder / "gate").unlink()
        clock.until_reached(max(failing.values()) // 1000 + 2)
        retries.close()
        assert [service.end(name) for name in ("both", "second")] == [0, 0]

        names = ("both", "second")
        notes = read_notes(folder / f"{name}.notes" for name in names)
        lines = [line.split() for name in names for line in (folder / f"{name}.done").read_text().splitlines()]
        done_ms = {value: int(at_ms) for value, at_ms in lines}
        ticks = clock.log()
        assert broken_links(ticks, 1_000) + early_ticks(ticks, notes, 4, RETRIES_WITHIN_MS) == []
        assert done_ms.keys() == failing.keys()
        for value, at_ms in failing.items():
            tick = next(tick for tick in ticks if tick.at_ms > at_ms)
            assert tick.appended_ms >= done_ms[value], f"tick {tick.at_ms} before the retry of {value}"
        print(f"{len(notes)} records, {len(ticks)} ticks, {len(done_ms)} retries")
