"""A user's consumer, as the README shows it, that also writes down what it processed before it reports it.

Run as `python -m tests.system.path.consumer BOOTSTRAP TOPIC GROUP REPORT_URL CLOCK NOTES`. One line a record:
`partition offset timestamp_ms wall_ms heartbeat`.
"""

import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Message

from clocksvc import Reporter, is_heartbeat


def main(bootstrap: str, topic: str, group: str, url: str, clock: str, notes: str) -> None:
    """Consume until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "max.poll.interval.ms": 10_000,
            "fetch.wait.max.ms": 50,
            "topic.metadata.refresh.interval.ms": 5000,
        }
    )
    with open(notes, "ab", buffering=0) as book, Reporter(url, clock, group=group, topic=topic) as reporter:
        consumer.subscribe(
            [topic], on_assign=reporter.on_assign, on_revoke=reporter.on_revoke, on_lost=reporter.on_lost
        )
        while running:
            messages = [message for message in consumer.consume(500, 0.1) if message.error() is None]
            if not messages:
                continue
            now_ms = time.time_ns() // 1_000_000
            book.write(b"".join(_note(message, now_ms) for message in messages))
            try:
                consumer.commit(asynchronous=False)
            except KafkaException:
                continue  # a broker or the group's membership is gone: committed and reported with what comes next
            reporter.observe_many(messages)
        consumer.close()


def _note(message: Message, now_ms: int) -> bytes:
    timestamp_ms = message.timestamp()[1]
    line = f"{message.partition()} {message.offset()} {timestamp_ms} {now_ms} {int(is_heartbeat(message))}\n"
    return line.encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
