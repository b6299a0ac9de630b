"""What a record costs: a hand-written loop, `observe`, `observe_many`, `observe_message`, and the plain algorithm that
others published.

The messages are real confluent-kafka ones, the store is a real Redis, the reporters have their threads. A boundary is
in the middle of each rising series, so that a report of all partitions is measured, too."""

import gc
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import redis
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from clocksvc import Reporter
from clocksvc.clock.logs import log_of
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.bench.figures import Figure, Spread, interleaved, ratios
from tests.system.installation import create_topic, wall_ms
from tests.waiting import eventually

PAIRS = 15
MESSAGES = 512_000
BATCH = 500
SLICE = 8
"""Batches. Wall-clock measurements alternate this often, so that a noisy machine affects all alike."""
PLAIN_MESSAGES = 200
SINGLE = 2_000
"""Records that are committed one by one."""
COMMIT_PAIRS = 5
PARTITIONS = 128
RUN = 50
TOPIC = "ingest-checkins"
INTERVAL_MS = 60_000

PRELOADED = 200_000
PRELOADED_PARTITIONS = 8

Batches = Sequence[list[Message]]
Work = Callable[[Batches], None]


def run(bootstrap: str, redis_url: str) -> list[Figure]:
    """All figures of this module."""
    figures = []
    with _clock(redis_url) as url:
        for kind in ("rising", "equal"):
            for in_a_row in (RUN, 1):
                figures += _per_record(url, kind, in_a_row)
        figures += _beside_plain(url, redis_url)
    with _clock(redis_url, PRELOADED_PARTITIONS) as url:
        return [*figures, *_throughput(bootstrap, url), _commits(bootstrap, url)]


class ByHand:
    """(a): the maximum of each partition in a dict, and nothing else."""

    def __init__(self) -> None:
        self._highest: dict[int | None, int] = {}

    def work(self, batches: Batches) -> None:
        """Process these messages."""
        highest = self._highest
        for batch in batches:
            for message in batch:
                partition = message.partition()
                timestamp = message.timestamp()[1]
                if timestamp > highest.get(partition, -1):
                    highest[partition] = timestamp

    def finish(self) -> None:
        """Nothing is pending."""


class OneByOne:
    """(b): `observe` for each message."""

    def __init__(self, url: str, base_ms: int) -> None:
        self.reporter = Reporter(url, "bench", group="g", topic=TOPIC)
        for partition in range(PARTITIONS):
            self.reporter.observe(partition, base_ms - INTERVAL_MS)
        eventually(self.reporter.flush)

    def work(self, batches: Batches) -> None:
        """Process these messages."""
        reporter = self.reporter
        for batch in batches:
            for message in batch:
                reporter.observe(message.partition(), message.timestamp()[1])  # type: ignore[arg-type]

    def finish(self) -> None:
        """Send what is pending."""
        assert self.reporter.close()


class InBatches(OneByOne):
    """(c): `observe_many` for each batch."""

    def work(self, batches: Batches) -> None:
        """Process these messages."""
        for batch in batches:
            self.reporter.observe_many(batch)


class ByMessage(OneByOne):
    """(e): `observe_message` for each message."""

    def work(self, batches: Batches) -> None:
        """Process these messages."""
        reporter = self.reporter
        for batch in batches:
            for message in batch:
                reporter.observe_message(message)


class Plain:
    """(d): for each message ZADD, ZRANGE of all partitions, GET; in one round trip, where the published one has two."""

    def __init__(self, redis_url: str, base_ms: int) -> None:
        self._redis = redis.Redis.from_url(redis_url)
        self._clocks, self._last = f"plain-{uuid.uuid4().hex}", f"plain-{uuid.uuid4().hex}"
        self._redis.zadd(self._clocks, {str(number): base_ms / 1000 for number in range(PARTITIONS)})

    def work(self, batches: Batches) -> None:
        """Process these messages."""
        for batch in batches:
            for message in batch:
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.zadd(self._clocks, {str(message.partition()): message.timestamp()[1] / 1000})
                pipeline.zrange(self._clocks, 0, -1, withscores=True)
                pipeline.get(self._last)
                _, clocks, last = pipeline.execute()
                minimum = min(score for _, score in clocks) // 60 * 60
                if last is None or float(last) < minimum:
                    self._redis.getset(self._last, minimum)

    def finish(self) -> None:
        """Delete its keys."""
        self._redis.delete(self._clocks, self._last)
        self._redis.close()


Contestant = ByHand | OneByOne | Plain


def _per_record(url: str, kind: str, in_a_row: int) -> list[Figure]:
    base_ms = _last_boundary()
    batches = messages(kind, in_a_row, base_ms)
    gc.collect()
    gc.freeze()  # no consumer keeps half a million messages: garbage collections must not visit them
    makers: list[Callable[[], Contestant]] = [
        ByHand,
        lambda: OneByOne(url, base_ms),
        lambda: InBatches(url, base_ms),
        lambda: ByMessage(url, base_ms),
    ]
    walls = _walls(batches, makers)
    cpus = interleaved(PAIRS, *(_cpu(batches, make) for make in makers))
    gc.unfreeze()
    name = f"{kind}, {in_a_row} in a row"
    figures = [Figure(f"(a) by hand, {name}", f"{Spread.of(walls[0]).show('us', 3)}, {len(walls[0])} pairs")]
    for number, what, most in ((1, "(b) observe", 1.5), (2, "(c) observe_many", 1.25), (3, "(e) observe_message", 2.0)):
        for unit, values in (("wall", walls), ("CPU", cpus)):
            ratio = ratios(values[number], values[0])
            seen = f"{ratio.show()} (a) by {unit}, {Spread.of(values[number]).show('us', 3)}"
            figures.append(Figure(f"{what}, {name}", seen, f"at most {most}", ratio.median <= most))
    return figures


def _walls(batches: Batches, makers: Sequence[Callable[[], Contestant]]) -> list[list[float]]:
    """Microseconds a message, slice by slice."""
    contestants = [make() for make in makers]
    slices = [batches[start : start + SLICE] for start in range(0, len(batches), SLICE)]
    turns = iter([part for part in slices for _ in contestants])
    walls = interleaved(len(slices), *(lambda each=each: _wall(each, next(turns)) for each in contestants))
    for each in contestants:
        each.finish()
    return walls


def _wall(contestant: Contestant, batches: Batches) -> float:
    began = time.perf_counter()
    contestant.work(batches)
    return (time.perf_counter() - began) / sum(map(len, batches)) * 1e6


def _cpu(batches: Batches, make: Callable[[], Contestant]) -> Callable[[], float]:
    """CPU of the whole process for a message, in microseconds, including its threads, to the end."""

    def measure() -> float:
        contestant = make()
        began = time.process_time()
        contestant.work(batches)
        contestant.finish()
        return (time.process_time() - began) / sum(map(len, batches)) * 1e6

    return measure


def _beside_plain(url: str, redis_url: str) -> list[Figure]:
    base_ms = _last_boundary()
    many = messages("rising", 1, base_ms)
    few = [many[0][:PLAIN_MESSAGES]]
    plain, ours = Plain(redis_url, base_ms), OneByOne(url, base_ms)
    slices = iter([many[start : start + SLICE] for start in range(0, len(many), SLICE)])
    walls = interleaved(PAIRS, lambda: _wall(ours, next(slices)), lambda: _wall(plain, few))
    plain.finish()
    ours.finish()
    cpus = interleaved(PAIRS, _cpu(many, lambda: OneByOne(url, base_ms)), _cpu(few, lambda: Plain(redis_url, base_ms)))
    figures = []
    for unit, (observed, theirs) in (("wall", walls), ("CPU", cpus)):
        ratio = ratios(theirs, observed)
        seen = f"{ratio.show(digits=0)} (b) by {unit}, {Spread.of(theirs).show('us', 0)}"
        name = f"(d) the plain algorithm, {PARTITIONS} partitions"
        figures.append(Figure(name, seen, "at least 1000", ratio.median >= 1000))
    return figures


def _throughput(bootstrap: str, url: str) -> list[Figure]:
    """A consumer as the README shows it: it decodes each record, commits each batch, then reports.

    Beside it a consumer that does nothing else. It needs 0.4 us for a record, and 5% of that is less than `timestamp()`
    alone takes: there is no wanted value, but it shows the Reporter's worst share.
    """
    _preload(bootstrap, TOPIC)
    _consume(bootstrap, None, handles=False)  # so that the broker's cache is equally warm for all
    figures = []
    for handles, what, least in ((True, "that decodes and commits", 0.95), (False, "that only consumes", None)):
        speeds = interleaved(
            PAIRS,
            lambda handles=handles: _consume(bootstrap, None, handles=handles),  # type: ignore[misc]
            lambda handles=handles: _consume(bootstrap, url, handles=handles),  # type: ignore[misc]
        )
        ratio = ratios(speeds[1], speeds[0])
        without = Spread.of([each / 1e3 for each in speeds[0]]).show("thousand records a second without", 0)
        wanted = "" if least is None else f"at least {least}"
        good = least is None or ratio.median >= least
        figures.append(Figure(f"a consumer {what}, with the Reporter", f"{ratio.show()} of {without}", wanted, good))
    return figures


def _commits(bootstrap: str, url: str) -> Figure:
    """The README's consumer, with one commit a record, against examples/batch_consumer.py, with one commit a batch."""
    single, batched = interleaved(
        COMMIT_PAIRS, lambda: _consume_singly(bootstrap, url), lambda: _consume(bootstrap, url, handles=True)
    )
    per_record = Spread.of([each / 1e3 for each in single]).show(
        "thousand records a second with one commit a record", 1
    )
    name = f"a consumer with one commit a batch of {BATCH}, with the Reporter"
    return Figure(name, f"{ratios(batched, single).show(digits=0)} {per_record}")


def _consume_singly(bootstrap: str, url: str) -> float:
    """Records a second of a consumer that commits and reports each record alone."""
    with closing(_assigned(bootstrap)) as consumer, Reporter(url, "bench", group="g", topic=TOPIC) as reporter:
        consumer.poll(30)
        began = time.perf_counter()
        for _ in range(SINGLE):
            message = consumer.poll(10)
            assert message is not None
            json.loads(message.value() or b"")
            consumer.commit(message=message, asynchronous=False)
            reporter.observe_message(message)
        return SINGLE / (time.perf_counter() - began)


def _assigned(bootstrap: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PRELOADED_PARTITIONS)])
    return consumer


def _consume(bootstrap: str, url: str | None, *, handles: bool) -> float:
    """Records a second, from the first batch on."""
    consumer = _assigned(bootstrap)
    reporter = None if url is None else Reporter(url, "bench", group="g", topic=TOPIC)
    first = read = len(consumer.consume(BATCH, 30))
    began = time.perf_counter()
    while read < PRELOADED:
        batch = consumer.consume(BATCH, 10)
        read += len(batch)
        if handles:
            for message in batch:
                json.loads(message.value() or b"")
            consumer.commit(asynchronous=False)
        if reporter is not None:
            reporter.observe_many(batch)
    took = time.perf_counter() - began
    consumer.close()
    if reporter is not None:
        reporter.close()
    return (read - first) / took


def _preload(bootstrap: str, topic: str) -> None:
    create_topic(bootstrap, topic, PRELOADED_PARTITIONS, "LogAppendTime")
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.num.messages": 1_000})
    checkin = {
        "monitor": "nightly-backup",
        "project": 4711,
        "status": "ok",
        "duration_ms": 1234,
        "sent": 1795348800.123,
    }
    payload = json.dumps(checkin).encode()
    for number in range(PRELOADED):
        while True:
            try:
                producer.produce(topic, payload, partition=number % PRELOADED_PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def messages(kind: str, run: int, boundary_ms: int) -> Batches:
    """Batches as `consume` returns them: `run` records in a row from one partition, then the next partition's.

    `rising`: each record is a millisecond after the one before it in its partition, with the boundary in the middle;
    `equal`: all are just after the boundary.
    """
    seen = [0] * PARTITIONS
    half = MESSAGES // PARTITIONS // 2
    made = []
    for number in range(MESSAGES):
        partition = number // run % PARTITIONS
        timestamp_ms = boundary_ms + (seen[partition] - half if kind == "rising" else 1)
        seen[partition] += 1
        # each has a topic string of its own, as a consumer's messages do
        made.append(Message(topic="".join(list(TOPIC)), partition=partition, value=b"x", timestamp=(1, timestamp_ms)))
    return [made[start : start + BATCH] for start in range(0, MESSAGES, BATCH)]


def _last_boundary() -> int:
    return wall_ms() // INTERVAL_MS * INTERVAL_MS


@contextmanager
def _clock(redis_url: str, partitions: int = PARTITIONS) -> Iterator[str]:
    """A clock's store as a leader would have left it; its URL."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    url = f"{redis_url}{'&' if '?' in redis_url else '?'}prefix={prefix}"
    server = RedisStoreServer(RedisConnection(parse_redis_url(redis_url)), prefix)
    store = server.store("bench")
    server.leases(log_of("bench")).acquire("token", "bench", 3_600_000)
    store.claim("token", StoreIdentity("bench"), ClockParameters("g", (TOPIC,), INTERVAL_MS, 0, INTERVAL_MS), wall_ms())
    store.write_roster("token", Roster({TOPIC: TopicMetadata("id", partitions)}), 1)
    try:
        yield url
    finally:
        store.close()
