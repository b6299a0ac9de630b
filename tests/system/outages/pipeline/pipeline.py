"""A pipeline of three stages with their clocks on real servers: two replicas of the service, and two members a stage.

A process that ends by itself is started again, as a supervisor does.
"""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import httpx2
import redis

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import children
from tests.system.evidence import read_tick_log
from tests.system.installation import Installation, create_topic, wall_ms
from tests.system.outages.pipeline.judge import Judgement, Stage, judge, read_notes, read_sink, read_timestamps
from tests.system.outages.pipeline.stage import Member
from tests.system.producers import UnevenProducers
from tests.waiting import eventually

CLOCKS = ("orders", "enriched", "warehouse")
"""The clock of each stage, in order."""
KINDS = ("transactional", "plain", "sink")
PARTITIONS = (8, 5, 6)
MEMBERS = ("0", "1")
REPLICAS = ("a", "b")
INTERVAL_MS = 1_000
WITHIN_S = 120.0
_STEADY_S = 4.0
_SETTINGS: dict[str, Any] = {
    "source": "committed",
    "interval": "1s",
    "poll": "1s",
    "drain_delay": "1s",
    "hold_after": "2s",
}


class Pipeline:
    """The processes, and what they must not do. A context manager that ends them.

    Every seventh partition of the first topic gets nothing.

    Attributes:
        ended: how often a member of a stage has ended by itself.
    """

    def __init__(self, folder: Path, kafka: KafkaServer, valkey: ValkeyServer) -> None:
        self.folder, self.kafka, self.valkey = folder, kafka, valkey
        run = f"pipeline{wall_ms() % 10**8}"
        self.topics = [f"{run}-{name}" for name in CLOCKS]
        clocks = {
            name: _SETTINGS | {"topics": [topic], "group": f"{topic}-group", "after": list(CLOCKS[:number][-1:])}
            for number, (name, topic) in enumerate(zip(CLOCKS, self.topics, strict=True))
        }
        self.installation = Installation(folder, kafka.bootstrap, valkey.url, run, clocks, replicas=REPLICAS)
        self.ended = 0
        self._wanted: dict[str, Member] = {}
        self._processes = threading.RLock()
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> Self:
        for topic, partitions in zip(self.topics, PARTITIONS, strict=True):
            create_topic(self.kafka.bootstrap, topic, partitions)
        for name in REPLICAS:
            self.installation.start_replica(name)
        for stage in range(len(CLOCKS)):
            for member in MEMBERS:
                self.start_member(stage, member)
        self._supervisor.start()
        self.producers = UnevenProducers(self.kafka.bootstrap, self.topics[0], PARTITIONS[0], [0])
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._supervisor.join(WITHIN_S)
        self.producers.close()
        self.installation.close()

    # -- members of stages --------------------------------------------------------------------------------------------

    def start_member(self, stage: int, name: str) -> None:
        """Start a member of a stage."""
        own = f"{CLOCKS[stage]}-{name}"
        file = self.folder / ("sink.sqlite" if KINDS[stage] == "sink" else f"{own}.notes")
        outputs = self.topics[stage + 1 : stage + 2]
        member = Member(
            own, KINDS[stage], self.kafka.bootstrap, self.topics[stage], f"{self.topics[stage]}-group", str(file)
        )
        if outputs:
            member = replace(member, output=outputs[0], outputs=PARTITIONS[stage + 1])
        with self._processes:
            self._wanted[own] = replace(member, first=stage == 0)
            self._start(own)

    def end_member(self, stage: int, name: str) -> None:
        """End a member of a stage: the others get its partitions."""
        own = f"{CLOCKS[stage]}-{name}"
        with self._processes:
            del self._wanted[own]
            process = self.installation.processes.pop(own)
        process.end(within=WITHIN_S)

    @contextmanager
    def killed(self, stage: int) -> Iterator[None]:
        """Kill all members of a stage. They are started again after the block."""
        names = [f"{CLOCKS[stage]}-{name}" for name in MEMBERS]
        with self._processes:
            wanted = {name: self._wanted.pop(name) for name in names}
            for name in names:
                self.installation.kill(name)
        yield
        with self._processes:
            self._wanted |= wanted
            for name in names:
                self._start(name)

    @contextmanager
    def stopped(self, stage: int) -> Iterator[None]:
        """Suspend all members of a stage for the duration of the block."""
        with self._processes:
            processes = [self.installation.processes[f"{CLOCKS[stage]}-{name}"] for name in MEMBERS]
            for process in processes:
                process.send_signal(signal.SIGSTOP)
        yield
        for process in processes:
            process.send_signal(signal.SIGCONT)

    def _start(self, name: str) -> None:
        self.installation.start(name, "tests.system.outages.pipeline.stage", self._wanted[name].to_json())

    def _supervise(self) -> None:
        while not self._stop.wait(0.25):
            with self._processes:
                for name in self._wanted:
                    if self.installation.processes[name].exit_code is not None:
                        self.ended += 1
                        self._start(name)

    # -- the service --------------------------------------------------------------------------------------------------

    def leader(self) -> str:
        """The replica that leads the last clock."""
        return eventually(self._leader, within=WITHIN_S, what="a leader of the last clock") or ""

    def observer(self, replica: str) -> int:
        """The process of a replica that observes committed offsets."""
        service = self.installation.processes[replica].pid
        return eventually(lambda: children(service), within=WITHIN_S, what="the process that observes")[0]

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def state(self) -> dict[str, Any]:
        """The state of the last clock, from a replica that answers; {} if none does."""
        for name in REPLICAS:
            with suppress(httpx2.HTTPError, AssertionError):
                return self.installation.state(CLOCKS[-1], name)
        return {}

    def until_running(self) -> None:
        """Wait until the last clock has run for some seconds: then no stage is behind because of an earlier fault."""
        states, since_s = [self.state()], time.monotonic()

        def running() -> bool:
            nonlocal since_s
            states[0] = self.state()
            if not states[0] or states[0]["status"] != "running" or states[0]["hold"]:
                since_s = time.monotonic()
            return time.monotonic() - since_s > _STEADY_S

        try:
            eventually(running, within=WITHIN_S, what="the last clock to run")
        except AssertionError as error:
            raise AssertionError(f"{error}; its state is {states[0]}") from None

    def _leader(self) -> str | None:
        state = self.state()
        return self.installation.leader(state) if state else None

    # -- at the end ---------------------------------------------------------------------------------------------------

    def judge(self, calm: list[range]) -> Judgement:
        """Stop the producers, wait until all records are in the sink, and judge."""
        self.producers.close()
        timestamps = read_timestamps(self.kafka.bootstrap, self.topics[0], PARTITIONS[0])
        with suppress(AssertionError):  # what is missing then is in the judgement
            eventually(lambda: timestamps.keys() <= self._handled(2).keys(), within=WITHIN_S)
        stages = [
            Stage(
                clock,
                read_tick_log(self.kafka.bootstrap, self.installation.tick_log, clock),
                self._handled(number),
            )
            for number, clock in enumerate(CLOCKS)
        ]
        return judge(timestamps, stages, INTERVAL_MS, calm)

    def _handled(self, stage: int) -> Mapping[str, int]:
        if KINDS[stage] == "sink":
            return read_sink(self.folder / "sink.sqlite")
        return read_notes(self.folder.glob(f"{CLOCKS[stage]}-*.notes"))


def pause(seconds: float) -> None:
    """Wait: the length of a fault."""
    time.sleep(seconds)
