"""Consumes recordings, and writes them in batches: `python consumer.py`. Start as many processes as you like."""

import logging
import os
from pathlib import Path

from recordings import Segment, Storage, process

from clocksvc import Reporter
from clocksvc.consumer import BufferedConsumer

KAFKA = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
GROUP = "recordings-writer"


def make_consumer(storage: Storage, reporter: Reporter | None = None) -> BufferedConsumer[Segment]:
    """Return the consumer of this example. It connects to Kafka in `run`, so tests need no Kafka."""
    return BufferedConsumer(
        "recordings",
        group=GROUP,
        bootstrap_servers=KAFKA,
        process=process,
        flush=storage.write,
        batch_records=500,
        batch_seconds=1.0,
        dead_letters="recordings-dead-letters",
        reporter=reporter,
    )


def main() -> None:
    """Consume until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    storage = Storage(Path(os.environ.get("RECORDINGS", "recordings-data")))
    with Reporter(REDIS, "recordings", group=GROUP) as reporter:
        make_consumer(storage, reporter).run()


if __name__ == "__main__":
    main()
