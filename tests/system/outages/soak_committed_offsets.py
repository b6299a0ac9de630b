"""A pipeline of two stages whose processes are killed: `make soak` runs it. It takes minutes.

Two replicas, a store of their own, and two plain groups, the second of which reads what the first one writes. At the
end, no tick may be early, by what the groups noted before they committed.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests.process import children, runs
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import broken_links
from tests.system.installation import Installation, wall_ms
from tests.system.plain_group import PlainGroup, early
from tests.system.producers import SteadyProducer
from tests.waiting import eventually

pytestmark = pytest.mark.path

SOAK_S = float(os.environ.get("SOAK_SECONDS", "120"))
REPLICAS = ("a", "b")
BUSY, QUIET, EMPTY = (0, 1), 2, 3
OBSERVED: dict[str, Any] = {"source": "committed", "heartbeat": None, "poll": "1s", "drain_delay": "1s"}


@dataclass
class Pipeline:
    """A clock over the first topic, and one over the topic that its group writes.

    Attributes:
        done: how often each fault was done.
    """

    installation: Installation
    valkey: ValkeyServer
    raw: ClockFixture
    handled: ClockFixture
    producer: SteadyProducer
    stages: tuple[PlainGroup, PlainGroup]
    done: dict[str, int]

    def leader(self) -> str:
        """The replica that leads the second clock."""
        return self.handled.until_led()

    def kill_observer(self) -> None:
        """Kill the process that observes, as librdkafka does it when a broker restarts."""
        service = self.installation.processes[self.leader()].pid
        (observer,) = eventually(lambda: children(service), what="the process that observes")
        os.kill(observer, signal.SIGKILL)
        eventually(lambda: children(service) not in ([], [observer]), what="another process that observes")

    def kill_leader(self) -> None:
        """Kill a replica. The process that observes ends by itself."""
        leader = self.leader()
        found = children(self.installation.processes[leader].pid)
        self.installation.kill(leader)
        eventually(lambda: not any(map(runs, found)), within=5, what="the process that observes to end")
        self.installation.start_replica(leader)

    def end_leader(self) -> None:
        """End a replica by SIGTERM."""
        leader = self.leader()
        found = children(self.installation.processes[leader].pid)
        assert self.installation.end(leader, within=10) == 0
        assert not any(map(runs, found))
        self.installation.start_replica(leader)

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def flush_and_kill(self) -> None:
        """FLUSHALL, and the process that observes is killed at the same time."""
        self.flush()
        self.kill_observer()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Pipeline]:
    """Two replicas, and two plain groups. Two partitions of the first topic are busy, one is quiet, one is empty."""
    run = f"committed{wall_ms() % 10**8}"
    raw = ClockFixture(run, "raw", 4, **OBSERVED)
    handled = ClockFixture(run, "handled", 3, **OBSERVED, after=["raw"])
    folder = tmp_path_factory.mktemp("committed")
    with (
        ValkeyServer() as valkey,
        running(folder, bootstrap, valkey.url, run, raw, handled, replicas=REPLICAS) as installation,
        raw,
        handled,
        PlainGroup(bootstrap, raw.topic, raw.group, first=True, output=handled.topic, outputs=3) as first,
        PlainGroup(bootstrap, handled.topic, handled.group, first=False) as second,
    ):
        raw.write({QUIET: wall_ms()})
        yield Pipeline(installation, valkey, raw, handled, raw.producer(*BUSY), (first, second), {})


def test_faults(pipeline: Pipeline) -> None:
    """Both clocks go on after each of them."""
    faults = (
        pipeline.kill_observer,
        pipeline.kill_leader,
        pipeline.flush,
        pipeline.end_leader,
        pipeline.flush_and_kill,
    )
    pipeline.handled.until_reached(wall_ms() // 1000)
    until_ms = wall_ms() + SOAK_S * 1000
    for fault in cycle(faults):
        if wall_ms() >= until_ms and len(pipeline.done) == len(faults):
            break
        fault()
        pipeline.done[fault.__name__] = pipeline.done.get(fault.__name__, 0) + 1
        before_s = wall_ms() // 1000
        pipeline.handled.until_reached(before_s + 1)
        print(f"{fault.__name__}: continued after {wall_ms() / 1000 - before_s:.1f} s")


def test_what_was_said(pipeline: Pipeline) -> None:
    """Each tick once, in order, and none before all records before it were handled: by the first group, and for the
    second clock their output by the second group."""
    pipeline.producer.close()
    first, second = pipeline.stages
    sent = pipeline.producer.sent + 1
    eventually(lambda: len(second.first_times()) == sent, within=60, what="all records to pass both stages")
    timestamps = first.timestamps()
    for clock, stage in ((pipeline.raw, first), (pipeline.handled, second)):
        ticks = clock.log()
        assert broken_links(ticks, 1_000) == []
        assert early(ticks, timestamps, stage.first_times()) == []
        assert clock.went_back() == []
        print(f"{clock.name}: {len(ticks)} ticks, {sent} records, faults: {pipeline.done}")
