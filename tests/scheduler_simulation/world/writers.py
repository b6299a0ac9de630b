"""Clients that write schedules to Kafka directly: each has keys of its own, and fills `created_at` itself."""

import zlib

from tests.scheduler_simulation.sometimes import Path
from tests.scheduler_simulation.world.environment import Environment
from tests.scheduler_simulation.world.schedules import UNREADABLE, encode, random_fields

DAY_MS = 86_400_000


class KafkaWriter:
    """Puts, changes and deletes schedules all the while.

    Attributes:
        keys: all that it ever writes.
        created: the time of creation of those that exist.
        puts, deletes: how many there were.
    """

    def __init__(self, environment: Environment, name: str, keys: int) -> None:
        self._environment = environment
        self._scheduler, self._clock, self._topic = environment.scheduler, environment.clock, environment.topic
        scheduler, clock = self._scheduler, self._clock
        self.name = name
        self.keys = [f"{name}-{number}".encode() for number in range(keys)]
        self.created: dict[bytes, int] = {}
        self.puts = self.deletes = 0
        self.pause_s = scheduler.rng.choice((0.1, 0.5, 2.0)) * max(1, clock.interval_ms // 5_000)

    def write_first(self) -> None:
        """Most of the schedules exist before the replicas start, and are as old as the clock needs."""
        for key in self.keys:
            if self._scheduler.rng.random() < 0.8:
                self.created[key] = self._scheduler.now_ms - self._clock.behind_ms - DAY_MS
                self._put(key)

    def run(self) -> None:
        """Write for ever."""
        rng = self._scheduler.rng
        while True:
            self._scheduler.wait(rng.random() * 2 * self.pause_s)
            for _ in range(rng.choice((1, 1, 1, 3))):
                self.write_one()
            self._scheduler.between(f"{self.name}: acknowledged")

    def write_one(self) -> None:
        """Change something."""
        rng, now_ms = self._scheduler.rng, self._scheduler.now_ms
        key = rng.choice(self.keys)
        if key in self.created and rng.random() < 0.4:
            del self.created[key]
            self.deletes += 1
            self._append(key, None)
        elif rng.random() < 0.04:
            self.created.pop(key, None)
            self._environment.sometimes.took(Path.UNREADABLE)
            self._append(key, rng.choice(UNREADABLE))
        else:
            # An application's clock can be behind; it is never ahead, or its schedules would begin later.
            self.created.setdefault(key, now_ms - rng.choice((0, 0, 0, 50, 1_500)))
            self._put(key)

    def _put(self, key: bytes) -> None:
        self.puts += 1
        self._environment.numbers += 1
        clock_ms = self._clock.newest_ms or self._clock.next_ms
        fields = random_fields(self._scheduler.rng, self._clock.interval_ms, clock_ms, self._environment.numbers)
        self._append(key, encode(fields, self.created[key]))

    def _append(self, key: bytes, value: bytes | None) -> None:
        partition = zlib.crc32(key) % self._topic.partitions
        offset = self._topic.memory.append(partition, key, value, self._scheduler.now_ms)
        self._scheduler.say(f"{self.name} wrote {key.decode()} to {partition}, {offset}: {(value or b'')[:200]!r}")
