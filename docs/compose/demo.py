"""What compose.yaml's profile `demo` runs: `produce` writes records, `consume` processes and reports them.

The last partition gets no record: heartbeats alone keep it moving.
"""

import os
import signal
import sys
import time
from contextlib import closing

from confluent_kafka import Consumer, KafkaException, Producer

from clocksvc import Reporter, is_heartbeat

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "kafka:19092")
REDIS_URL = os.environ.get("REDIS_URL", "redis://valkey:6379/0")
TOPIC, CLOCK, GROUP = "ingest-checkins", "checkins", "checkins-consumer"
BUSY_PARTITIONS, PAUSE_SECONDS = 3, 0.2


def produce() -> None:
    """Write until SIGTERM."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5})
    try:
        number = 0
        while True:
            producer.produce(TOPIC, f"check-in {number}".encode(), partition=number % BUSY_PARTITIONS)
            producer.poll(0)
            number += 1
            time.sleep(PAUSE_SECONDS)
    finally:
        producer.flush(5)


def consume() -> None:
    """Process, commit, report, in this order, until SIGTERM."""
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": GROUP,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    with closing(Consumer(settings)) as consumer, Reporter(REDIS_URL, CLOCK, group=GROUP) as reporter:
        consumer.subscribe(
            [TOPIC], on_assign=reporter.on_assign, on_revoke=reporter.on_revoke, on_lost=reporter.on_lost
        )
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                print(message.error(), flush=True)
                continue
            if not is_heartbeat(message):
                print(f"{TOPIC}:{message.partition()}", message.value().decode(), flush=True)
            try:
                consumer.commit(message, asynchronous=False)
            except KafkaException as error:
                print(error, flush=True)  # such as in a rebalance: the record is not reported
                continue
            reporter.observe_message(message)


def stop(*_: object) -> None:
    """So that the consumer leaves its group, and the clock need not wait for its partitions."""
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    {"produce": produce, "consume": consume}[sys.argv[1]]()
