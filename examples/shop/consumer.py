"""Consumes the shop's check-ins: stores them, commits, and reports its progress. `python consumer.py`"""

import json
import os
import signal
import threading
from contextlib import closing

import ledger
from confluent_kafka import Consumer, KafkaException

from clocksvc import Reporter, is_heartbeat

KAFKA = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
SETTINGS = {
    "bootstrap.servers": KAFKA,
    "group.id": "shop-consumer",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
}


def row(message):
    """A check-in as a row of the ledger; its time is the record's timestamp."""
    found = json.loads(message.value())
    return message.partition(), message.offset(), message.timestamp()[1], found["till"], found["cents"]


def main():
    """Consume until SIGTERM or Ctrl-C."""
    stopping = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopping.set())
    consumer, book = Consumer(SETTINGS), ledger.opened()
    with closing(book), closing(consumer), Reporter(REDIS, "shop", group="shop-consumer") as reporter:
        consumer.subscribe(
            ["shop-checkins"],
            on_assign=reporter.on_assign,
            on_revoke=reporter.on_revoke,
            on_lost=reporter.on_lost,
        )
        while not stopping.is_set():
            consumed = consumer.consume(500, 0.2)
            for message in consumed:
                if message.error() is not None:
                    print("consumer error:", message.error(), flush=True)
            messages = [message for message in consumed if message.error() is None]
            if messages:
                ledger.check_in(book, [row(message) for message in messages if not is_heartbeat(message)])
                try:
                    consumer.commit(asynchronous=False)
                except KafkaException as error:
                    print(error, flush=True)  # such as in a rebalance: these records are not reported
                    continue
                reporter.observe_many(messages)


if __name__ == "__main__":
    main()
