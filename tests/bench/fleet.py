"""One replica with many clocks, reported by another process: for benchmarks that measure the replica from outside."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.process import module
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

PARTITIONS, CLOCKS_A_TOPIC, GROUP = 2, 10, "fleet"
STOPPED_WITHIN_S = 90


class Reported(NamedTuple):
    """The load's calls as (time in ms, number), and when each boundary of each clock was reported first, in ms."""

    calls: list[tuple[int, int]]
    at_ms: dict[tuple[str, int], int]


@dataclass
class Fleet:
    """The installation, and the process that reports.

    Attributes:
        clocks: the names of the clocks.
        started_ms: when the replica was started.
    """

    installation: Installation
    load: subprocess.Popen[str]
    interval_s: int
    clocks: list[str] = field(default_factory=list)
    started_ms: int = 0

    @property
    def pid(self) -> int:
        """The process id of the replica."""
        return self.installation.processes["serve"].pid

    def until_ticking(self) -> None:
        """Block until each clock has a tick."""
        assert self.load.stdout is not None
        assert self.load.stdout.readline() == "ticking\n", self.installation.output("serve")

    def stop_reports(self) -> Reported:
        """End the reports. Blocks until all that was reported is ticked, for at most a minute."""
        seen = json.loads(self.load.communicate("\n", STOPPED_WITHIN_S)[0].splitlines()[-1])
        return Reported(seen["calls"], {(clock, boundary_ms): ms for clock, boundary_ms, ms in seen["reported"]})


@contextmanager
def fleet(
    folder: Path,
    bootstrap: str,
    redis_url: str,
    clocks: int,
    interval_s: int,
    *,
    first_ms: int = 0,
    sections: Mapping[str, Any] | None = None,
) -> Iterator[Fleet]:
    """Start a replica with `clocks` clocks, and reports. Ten clocks, each of a group of its own, share a topic.

    Args:
        first_ms: the time of the first tick; 0 for the present.
        sections: more sections of the configuration.
    """
    name = f"fleet-{clocks}x{interval_s}-{wall_ms() % 10**8}"
    topics = [f"{name}-{number}" for number in range(-(-clocks // CLOCKS_A_TOPIC))]
    _create(bootstrap, topics)
    named = {f"group-{number:04}": topics[number // CLOCKS_A_TOPIC] for number in range(clocks)}
    configured = {
        clock: {"topics": [topic], "group": GROUP, "interval": f"{interval_s}s", "heartbeat": None}
        for clock, topic in named.items()
    }
    (own := folder / name).mkdir()
    (own / "clocks.json").write_text(json.dumps([[clock, topic, PARTITIONS] for clock, topic in named.items()]))
    with Installation(own, bootstrap, redis_url, name, configured, sections=sections) as installation:
        arguments = (redis_url, name, str(interval_s), GROUP, str(own / "clocks.json"), str(first_ms))
        with subprocess.Popen(
            module("tests.bench.fleet_load", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load:
            try:
                started_ms = wall_ms()
                installation.start_replica(wait=False)
                yield Fleet(installation, load, interval_s, list(named), started_ms)
            finally:
                load.kill()


def _create(bootstrap: str, topics: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    kept = {"message.timestamp.type": "LogAppendTime"}
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=kept) for topic in topics]).values():
        created.result(60)

    def all_listed() -> bool:
        listed = admin.list_topics(timeout=10).topics
        return all(topic in listed and len(listed[topic].partitions) == PARTITIONS for topic in topics)

    eventually(all_listed, within=60, what="all topics")
