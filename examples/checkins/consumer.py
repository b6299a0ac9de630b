"""Consumes check-ins, and stores them in batches: `python consumer.py`. Start as many processes as you like."""

import logging
import os

from checkins import CheckIn, Database, opened, process

from clocksvc import Reporter
from clocksvc.consumer import BufferedConsumer

KAFKA = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
GROUP = "monitors"


def make_consumer(database: Database, reporter: Reporter | None = None) -> BufferedConsumer[CheckIn]:
    """Return the consumer of this example. It connects to Kafka in `run`, so tests need no Kafka."""
    return BufferedConsumer(
        "monitor-checkins",
        group=GROUP,
        bootstrap_servers=KAFKA,
        process=process,
        flush=database.store,
        concurrent_flushes=1,
        dead_letters="monitor-checkins-dead-letters",
        reporter=reporter,
    )


def main() -> None:
    """Consume until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with Reporter(REDIS, "monitors", group=GROUP) as reporter:
        make_consumer(opened(), reporter).run()


if __name__ == "__main__":
    main()
