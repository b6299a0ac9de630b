"""A consumer as a user writes it, with one mistake: python -m tests.system.mistakes.consumer OPTIONS (JSON, `Options`).

It notes each record after it was committed and before it is reported. Its output is what a user sees: `logging` as
`basicConfig` sets it up.
"""

import json
import logging
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from clocksvc import Reporter, is_heartbeat
from tests.system.consumer import note_of
from tests.system.installation import wall_ms

HOUR_MS, DAY_MS = 3_600_000, 86_400_000

UNITS: dict[str, Callable[[int], Any]] = {
    "milliseconds": lambda ms: ms,
    "seconds": lambda ms: ms // 1_000,
    "microseconds": lambda ms: ms * 1_000,
    "nanoseconds": lambda ms: ms * 1_000_000,
    "text": str,
    "zero": lambda _: 0,
    "minus one": lambda _: -1,
    "minutes": lambda ms: ms // 60_000,
    "an hour ahead": lambda ms: ms + HOUR_MS,
    "an hour behind": lambda ms: ms - HOUR_MS,
    "forty days behind": lambda ms: ms - 40 * DAY_MS,
}


@dataclass(frozen=True)
class Options:
    """What a consumer does.

    Attributes:
        topic, group: what it reads, and in which group.
        url, clock, report_group, report_topic: what it gives the Reporter, or sends by HTTP.
        way: how it reports: a method of the Reporter (`observe` without `on_assign` if `told` is false), or `http`.
        unit: what it makes of a record's timestamp; a key of UNITS. From the second on if `after_s` is set.
        shift: is added to the number of the partition.
        partitions: it reads only these, without a subscription; None: it subscribes.
        heartbeats: False if it passes over heartbeats before it reports.
        stops_after_s: it reads on, but reports no more.
    """

    bootstrap: str
    topic: str
    group: str
    url: str
    clock: str
    report_group: str
    notes: str
    report_topic: str | None = None
    way: str = "observe_many"
    told: bool = True
    unit: str = "milliseconds"
    after_s: float = 0.0
    shift: int = 0
    partitions: tuple[int, ...] | None = None
    heartbeats: bool = True
    stops_after_s: float | None = None

    def to_json(self) -> str:
        """The argument of the process."""
        return json.dumps(asdict(self))


class Shifted:
    """A record whose number of the partition, or timestamp, the consumer gets wrong."""

    def __init__(self, message: Message, partition: int, timestamp_ms: Any) -> None:
        self._message, self._partition, self._timestamp_ms = message, partition, timestamp_ms

    def topic(self) -> str | None:
        return self._message.topic()

    def partition(self) -> int:
        return self._partition

    def timestamp(self) -> tuple[int, Any]:
        return self._message.timestamp()[0], self._timestamp_ms

    def error(self) -> None:
        return None

    def headers(self) -> Any:
        return self._message.headers()

    def key(self) -> Any:
        return self._message.key()


def consume(options: Options, stop: threading.Event) -> None:
    """Consume until `stop` is set."""
    reporter = None
    if options.way != "http":
        reporter = Reporter(options.url, options.clock, group=options.report_group, topic=options.report_topic)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    if options.partitions is not None:
        consumer.assign([TopicPartition(options.topic, number, 0) for number in options.partitions])
    elif reporter is not None and options.told:
        consumer.subscribe(
            [options.topic], on_assign=reporter.on_assign, on_revoke=reporter.on_revoke, on_lost=reporter.on_lost
        )
    else:
        consumer.subscribe([options.topic])
    began_ms = wall_ms()
    with Path(options.notes).open("ab", buffering=0) as notes:
        while not stop.is_set():
            messages = [message for message in consumer.consume(500, 0.2) if message.error() is None]
            if not messages:
                continue
            now_ms = wall_ms()
            notes.write(b"".join(b"%d %d %d %d %d\n" % note_of(message, now_ms) for message in messages))
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                logging.warning("commit: %s", error)
                continue
            running_s = (wall_ms() - began_ms) / 1_000
            if options.stops_after_s is not None and running_s > options.stops_after_s:
                continue
            if not options.heartbeats:
                messages = [message for message in messages if not is_heartbeat(message)]
            unit = options.unit if running_s >= options.after_s else "milliseconds"
            _report(options, reporter, [_mistaken(message, options.shift, unit) for message in messages])
    if reporter is not None:
        reporter.close()
    consumer.close()


def _mistaken(message: Message, shift: int, unit: str) -> Shifted:
    partition = message.partition()
    assert partition is not None
    return Shifted(message, partition + shift, UNITS[unit](message.timestamp()[1]))


def _report(options: Options, reporter: Reporter | None, records: list[Shifted]) -> None:
    if reporter is None:
        _post(options, records)
    elif options.way == "observe_many":
        reporter.observe_many(records)
    elif options.way == "observe_message":
        for record in records:
            reporter.observe_message(record)
    else:
        for record in records:
            reporter.observe(record.partition(), record.timestamp()[1])


def _post(options: Options, records: list[Shifted]) -> None:
    """One report for each partition, and a line for each answer that does not accept it."""
    newest = {record.partition(): record for record in records}
    reports = [
        {
            "topic": options.report_topic or record.topic(),
            "partition": partition,
            "timestamp_ms": record.timestamp()[1],
        }
        for partition, record in newest.items()
    ]
    body = json.dumps({"group": options.report_group, "reports": reports}).encode()
    request = urllib.request.Request(
        f"{options.url}/v1/clocks/{options.clock}/reports", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            outcomes = json.load(answer)
    except urllib.error.HTTPError as error:
        logging.warning("report rejected: %s", error.read().decode()[:2_000])
    except OSError as error:
        logging.warning("report not sent: %s", error)
    else:
        if any(one["outcome"] not in ("accepted", "unchanged") for one in outcomes["reports"]):
            logging.warning("report: %s", json.dumps(outcomes))


def main(options: str) -> None:
    """Consume until SIGTERM."""
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    decoded = json.loads(options)
    if decoded["partitions"] is not None:
        decoded["partitions"] = tuple(decoded["partitions"])
    consume(Options(**decoded), stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
