"""A user's BufferedConsumer whose sink fails, is slow and hangs at random. As a process:

python -m tests.system.buffered_consumer BOOTSTRAP TOPIC GROUP URL CLOCK NOTES PROTOCOL

The sink is the file of notes: an item is there once it is flushed. Some records are dropped by the author's function,
and for some it raises: these go to the dead-letter topic.
"""

import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from confluent_kafka import Message

from clocksvc import Reporter
from clocksvc.consumer import BufferedConsumer, RetryPolicy
from tests.system.consumer import note_of
from tests.system.evidence import Note
from tests.system.installation import wall_ms

CONSUMER_PROTOCOL = "consumer"
"""The name of the rebalance protocol of KIP-848. Other names are assignment strategies of the classic protocol."""
HANG_S = 6.0
_POISON_FROM, _POISON_OF = 99, 100
_DROP_FROM, _DROP_OF = 13, 50


def is_dropped(offset: int) -> bool:
    """Whether the author's function returns no item for a record."""
    return offset % _DROP_OF == _DROP_FROM


def is_poison(offset: int) -> bool:
    """Whether the author's function raises for a record."""
    return offset % _POISON_OF == _POISON_FROM


def dead_letter_topic(topic: str) -> str:
    """The topic for records that can't be processed."""
    return f"{topic}-dead-letters"


def process(message: Message) -> Note | None:
    """The author's first function."""
    note = note_of(message, 0)
    if is_poison(note.offset):
        raise ValueError(f"offset {note.offset}")
    return None if is_dropped(note.offset) else note


class Sink:
    """The author's second function, `write`, and the file that it writes."""

    def __init__(self, file: BinaryIO, rng: random.Random) -> None:
        self._file, self._rng = file, rng

    def write(self, batch: Sequence[Note]) -> None:
        """Write notes. One call in 10 raises: before, amid or after the effect. Some are slow, few hang."""
        fate = self._rng.random()
        if fate < 0.03:
            raise OSError("nothing is written")
        if fate < 0.06:
            self._note(batch[: len(batch) // 2])
            raise OSError("one half is written")
        if fate < 0.10:
            self._note(batch)
            raise OSError("all is written")
        if fate < 0.16:
            time.sleep(self._rng.uniform(0.2, 1.0))
        elif fate < 0.162:
            time.sleep(HANG_S)
        self._note(batch)

    def _note(self, batch: Sequence[Note]) -> None:
        now_ms = wall_ms()
        lines = (b"%d %d %d %d %d\n" % note._replace(wall_ms=now_ms) for note in batch)
        self._file.write(b"".join(lines))


def main(bootstrap: str, topic: str, group: str, url: str, clock: str, notes: str, protocol: str) -> None:
    """Consume until SIGTERM."""
    if protocol == CONSUMER_PROTOCOL:
        settings: dict[str, str | int] = {"group.protocol": CONSUMER_PROTOCOL}
    else:
        settings = {"partition.assignment.strategy": protocol, "session.timeout.ms": 6000}
    settings |= {"topic.metadata.refresh.interval.ms": 5000, "fetch.wait.max.ms": 50}
    with Path(notes).open("ab", buffering=0) as file, Reporter(url, clock, group=group, topic=topic) as reporter:
        BufferedConsumer(
            topic,
            group=group,
            process=process,
            flush=Sink(file, random.Random()).write,
            bootstrap_servers=bootstrap,
            settings=settings,
            batch_records=40,
            batch_seconds=0.2,
            commit_interval_seconds=0.1,
            revoke_timeout_seconds=2.0,
            stuck_after_seconds=HANG_S / 2,
            retry=RetryPolicy(attempts=20, first_seconds=0.05, limit_seconds=1.0),
            dead_letters=dead_letter_topic(topic),
            reporter=reporter,
        ).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
