"""A consumer that handles, commits and reports its records in batches: `python batch_consumer.py`

It reports to the clock `checkins` of examples/clocksvc.yaml. With one commit a batch it is about 100 times as fast as
with one commit a record. Start as many processes as you like, after all consumers of the group with another assignment
strategy (such as the default) have ended.
"""

import signal
import threading
from contextlib import closing

from confluent_kafka import Consumer, KafkaException

from clocksvc import Reporter, is_heartbeat

SETTINGS = {
    "bootstrap.servers": "localhost:9092",
    "group.id": "checkins-consumer",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "topic.metadata.refresh.interval.ms": 30_000,
}


def handle(records):
    """Your work. It is durable when this returns, and idempotent, because Kafka can deliver a record again."""
    print("handled", len(records), flush=True)


def main():
    """Consume until SIGTERM or Ctrl-C."""
    stopping = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopping.set())
    reporter = Reporter("redis://localhost:6379/0", "checkins", group="checkins-consumer")
    with closing(Consumer(SETTINGS)) as consumer, reporter:
        consumer.subscribe(
            ["ingest-checkins"],
            on_assign=reporter.on_assign,
            on_revoke=reporter.on_revoke,
            on_lost=reporter.on_lost,
        )
        while not stopping.is_set():
            consumed = consumer.consume(500, 0.5)
            for message in consumed:
                if message.error() is not None:
                    print("consumer error:", message.error(), flush=True)
            messages = [message for message in consumed if message.error() is None]
            if not messages:
                continue
            handle([message for message in messages if not is_heartbeat(message)])
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                # A rebalance is in progress, or the broker is away. The batch is not reported: Kafka delivers its
                # records again, or the next commit covers them.
                print("not committed:", error, flush=True)
                continue
            reporter.observe_many(messages)


if __name__ == "__main__":
    main()
