"""The installation of a run: two replicas, observed clocks, a clock with Reporters beside each of two of them."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import Process, kill_all
from tests.system.clock_fixture import ClockFixture
from tests.system.evidence import TickWithOffset, read_notes
from tests.system.installation import Installation, create_topic, wall_ms
from tests.system.outages.observed import java_group
from tests.system.outages.observed.judge import Place, read_timestamps
from tests.system.producers import ProducerThread, SteadyProducer, UnevenProducers

REPLICAS = ("a", "b")
PARTITIONS, FEW = 64, 16
POLL_S, DRAIN_DELAY_S = 1, 2
DISORDER_MS, OUT_OF_ORDERNESS_MS = 1_500, 3_000
PLAIN, JAVA = "plain", "java"
APPEND_TIME, CREATE_TIME = "append-time", "create-time"
OBSERVED: dict[str, Any] = {
    "source": "committed",
    "heartbeat": None,
    "poll": f"{POLL_S}s",
    "drain_delay": f"{DRAIN_DELAY_S}s",
}


class DisorderedProducer(ProducerThread):
    """Writes records whose timestamps are up to `DISORDER_MS` in the past into all partitions, ten times a second."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        super().__init__(bootstrap, topic, 0.1)
        self._partitions, self._numbers = partitions, random.Random(7)
        self._thread.start()

    def _round(self, number: int) -> None:
        for partition in range(self._partitions):
            self._write(partition, wall_ms() - self._numbers.randrange(DISORDER_MS))


@dataclass
class Setup:
    """A running installation.

    Attributes:
        twins: the clocks with Reporters, by the name of the observed clock with the same topic and group.
    """

    folder: Path
    kafka: KafkaServer
    valkey: ValkeyServer
    installation: Installation
    clocks: dict[str, ClockFixture]
    twins: dict[str, ClockFixture]
    java: dict[str, Process] = field(default_factory=dict)
    producers: list[ProducerThread] = field(default_factory=list)

    def start_consumer(self, name: str, clock: str) -> None:
        """Start a member of a clock's group. It notes, commits, and reports to the twin if there is one."""
        observed = self.clocks[clock]
        twin = [self.twins[clock].name] if clock in self.twins else []
        self.installation.start_consumer(name, observed.topic, observed.group, *twin)

    def start_java(self, name: str) -> None:
        """Start a member of the Java group."""
        clock = self.clocks[JAVA]
        member = java_group.start_member(self.folder, name, self.kafka.bootstrap, clock.topic, clock.group)
        self.java[name] = member

    def timestamps(self, clock: str) -> dict[Place, int]:
        """The timestamps of all records of a clock's topic."""
        return read_timestamps(self.kafka.bootstrap, self.clocks[clock].topic, self.clocks[clock].partitions)

    def handled(self, clock: str) -> dict[Place, int]:
        """When the group of a clock has handled each record for the first time."""
        if clock == JAVA:
            return java_group.handled(self.folder.glob("*.java"))
        found: dict[Place, int] = {}
        for note in read_notes(self.folder.glob(f"{clock}-*.notes")):
            found.setdefault((note.partition, note.offset), note.wall_ms)
        return found

    def ticks(self, clock: ClockFixture) -> list[TickWithOffset]:
        """The ticks of a clock in the tick log."""
        return clock.log()


@contextmanager
def started(folder: Path) -> Iterator[Setup]:
    """Producers, groups and clocks run."""
    run = f"observed{wall_ms() % 10**8}"
    observed = {
        PLAIN: ClockFixture(run, PLAIN, PARTITIONS, **OBSERVED),
        JAVA: ClockFixture(run, JAVA, FEW, **OBSERVED),
        APPEND_TIME: ClockFixture(run, APPEND_TIME, FEW, **OBSERVED),
        CREATE_TIME: ClockFixture(
            run, CREATE_TIME, FEW, "CreateTime", **OBSERVED, max_out_of_orderness=f"{OUT_OF_ORDERNESS_MS}ms"
        ),
    }
    twins = {}
    for name in (APPEND_TIME, CREATE_TIME):
        clock = observed[name]
        changes = {} if name == APPEND_TIME else {"max_out_of_orderness": f"{OUT_OF_ORDERNESS_MS}ms"}
        twin = ClockFixture(run, f"{name}-twin", FEW, clock.timestamp_type, heartbeat=None, **changes)
        twin.topic, twin.group = clock.topic, clock.group
        twins[name] = twin
    with ExitStack() as stack:
        kafka = stack.enter_context(KafkaServer())
        valkey = stack.enter_context(ValkeyServer())
        settings = {one.name: one.settings() for one in (*observed.values(), *twins.values())}
        for one in observed.values():
            create_topic(kafka.bootstrap, one.topic, one.partitions, one.timestamp_type)
        installation = stack.enter_context(
            Installation(folder, kafka.bootstrap, valkey.url, run, settings, replicas=REPLICAS)
        )
        for one in (*observed.values(), *twins.values()):
            one.of(installation)
        for name in REPLICAS:
            installation.start_replica(name)
        made = Setup(folder, kafka, valkey, installation, observed, twins)
        stack.callback(kill_all, made.java)
        for name in (PLAIN, APPEND_TIME, CREATE_TIME):
            for member in range(2 if name == PLAIN else 1):
                made.start_consumer(f"{name}-{member}", name)
        made.start_java("java-0")
        bootstrap = kafka.bootstrap
        made.producers += [
            UnevenProducers(bootstrap, observed[PLAIN].topic, PARTITIONS, (0, -300, 200)),
            UnevenProducers(bootstrap, observed[JAVA].topic, FEW, (0,)),
            SteadyProducer(bootstrap, observed[APPEND_TIME].topic, range(FEW)),
            DisorderedProducer(bootstrap, observed[CREATE_TIME].topic, FEW),
        ]
        for producer in made.producers:
            stack.callback(producer.close)
        observed[PLAIN].write({7: wall_ms()})  # a quiet partition; the other multiples of 7 are empty
        yield made
