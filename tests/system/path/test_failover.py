"""Two replicas, one clock: whichever ends, and even when the store forgets all, it goes on and its chain holds."""

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import redis

from clocksvc.dev.ports import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.path.doors import (
    Follower,
    metric,
)
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.system.path.member import Member
from tests.system.path.notes import (
    broken_links,
    early_ticks,
)
from tests.system.path.scene import (
    PATIENCE_S,
    Scene,
)
from tests.system.path.writer import Writer
from tests.waiting import eventually

pytestmark = pytest.mark.path

TAKEN_OVER_S = 10.0
AFTER_A_FLUSH_S = 15.0


@dataclass
class Replicas:
    """Two services of one installation, a Valkey of their own, one clock that runs all the time."""

    scene: Scene
    valkey: ValkeyServer
    urls: dict[str, str]
    writer: Writer
    members: list[Member]
    follower: Follower
    shown: dict[str, list[int]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a replica; it is ready when this returns."""
        url = self.urls[name]
        self.scene.installation.start(name, "clocksvc.cli.main", "serve", "--port", url.rpartition(":")[2])
        eventually(
            lambda: httpx2.get(f"{url}/readyz", timeout=2).status_code == 200, within=30, what=f"{name} to be ready"
        )

    def state(self, name: str) -> dict[str, Any]:
        """The clock as a replica shows it. Each global clock that was shown is kept in `shown`."""
        state: dict[str, Any] = httpx2.get(f"{self.urls[name]}/v1/clocks/{self.scene.clock}", timeout=10).json()
        if state["timestamp_seconds"] is not None:
            self.shown.setdefault(name, []).append(state["timestamp_seconds"])
        return state

    def leader(self) -> tuple[str, str]:
        """The names of the replica that leads and of the one that doesn't, once both are there and the clock runs."""
        running = self.scene.installation.processes

        def found() -> tuple[str, str] | None:
            states = {name: self.state(name) for name in self.urls}
            leads = [name for name in self.urls if states[name]["leader"].endswith(f":{running[name].pid}")]
            if any(state["status"] != "running" for state in states.values()):
                return None
            return (leads[0], next(name for name in self.urls if name != leads[0])) if leads else None

        return eventually(found, within=30, what="one of both replicas to lead a running clock") or ("", "")

    def flush(self) -> None:
        """Take all from the store."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def check(self) -> None:
        """The whole chain: nothing lost, nothing twice, nothing early, nothing back, in the log and for a client."""
        ticks = self.scene.log()
        notes = sorted((note for member in self.members for note in member.notes), key=lambda note: note.wall_ms)
        logged = [tick.at_ms // 1000 for tick in ticks]
        seen = self.follower.ticks()
        assert broken_links(ticks, 1_000) == []
        assert early_ticks(ticks, notes, self.scene.partitions, 0) == []
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert set(seen) <= set(logged)
        assert [name for name, shown in self.shown.items() if shown != sorted(shown)] == []


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Replicas]:
    """The clock runs, one consumer reports, one client follows over both replicas."""
    run = f"failover{wall_ms() % 10**8}"
    scene = Scene(run, "lasting", 3)
    create_topic(bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("failover")
        installation = Installation(folder, bootstrap, valkey.url, run, {scene.clock: scene.settings()})
        urls = {"a": installation.url, "b": f"http://127.0.0.1:{free_ports(1)[0]}"}
        try:
            with scene.of(installation):
                installation.start_service("a")
                writer, member = scene.writer(0, 1, 2), scene.member()
                replicas = Replicas(scene, valkey, urls, writer, [member], scene.follow(*urls.values()))
                replicas.start("b")
                yield replicas
        finally:
            installation.close()


def test_a_leader_that_ends_hands_over(replicas: Replicas) -> None:
    """SIGTERM: the leader ends in order, the other replica makes the next ticks, a client goes on there."""
    leader, other = replicas.leader()
    ended_s = wall_ms() // 1000

    assert replicas.scene.installation.end(leader) == 0

    eventually(
        lambda: metric(replicas.urls[other], "clocksvc_ticks_total", clock="lasting"),
        within=TAKEN_OVER_S,
        what="ticks by the other replica",
    )
    eventually(lambda: replicas.follower.ticks()[-1] > ended_s + 1, within=TAKEN_OVER_S, what="the client to see them")
    assert metric(replicas.urls[other], "clocksvc_leader", clock="lasting") == 1
    replicas.start(leader)
    replicas.check()


def test_a_leader_that_is_killed_is_replaced(replicas: Replicas) -> None:
    """SIGKILL: within 10 s the other replica makes new ticks, none lost, none twice."""
    leader, other = replicas.leader()
    process = replicas.scene.installation.processes.pop(leader)
    before = metric(replicas.urls[other], "clocksvc_ticks_total", clock="lasting")

    process.send_signal(signal.SIGKILL)
    process.wait(10)
    killed_s = wall_ms() // 1000

    eventually(
        lambda: (metric(replicas.urls[other], "clocksvc_ticks_total", clock="lasting") or 0) > (before or 0),
        within=TAKEN_OVER_S,
        what="ticks by the other replica",
    )
    eventually(lambda: replicas.follower.ticks()[-1] > killed_s + 1, within=TAKEN_OVER_S, what="the client to see them")
    replicas.start(leader)
    replicas.check()


def test_a_flushed_store_is_built_again(replicas: Replicas) -> None:
    """FLUSHALL in the middle: no tick is early, none is lost or comes twice, and the clock goes on within seconds."""
    replicas.leader()
    replicas.flush()
    flushed_s = wall_ms() // 1000

    def gone_on() -> bool:
        return all(replicas.state(name)["timestamp_seconds"] > flushed_s + 1 for name in replicas.urls)

    eventually(gone_on, within=AFTER_A_FLUSH_S, what="both replicas to show new ticks")
    replicas.leader()
    longest_ms = max(
        later.appended_ms - earlier.appended_ms for earlier, later in itertools.pairwise(replicas.scene.log())
    )
    assert longest_ms < AFTER_A_FLUSH_S * 1000
    replicas.check()


def test_a_partition_that_the_store_forgot_holds_the_clock(replicas: Replicas) -> None:
    """FLUSHALL, and a new consumer that finds nothing in a quiet partition: that one is unknown, holds the clock and is
    named, however far the others are; what was shown stays shown."""
    replicas.leader()
    scene = replicas.scene
    replicas.writer.partitions = frozenset({0, 1})
    last_s = scene.until_held("partition_behind")["timestamp_seconds"]
    replicas.members[-1].close()

    replicas.flush()
    member = scene.member()
    replicas.members.append(member)

    eventually(
        lambda: min(member.reached_ms(0), member.reached_ms(1)) > (last_s + 3) * 1000,
        within=PATIENCE_S,
        what="the other partitions to be processed three boundaries on",
    )
    quiet = [{"topic": scene.topic, "partition": 2}]
    held = scene.until(lambda state: state["hold"]["partitions"] == quiet, "the quiet partition alone to be named")
    assert held["hold"]["reason"] == "partition_unreported"
    assert held["partitions"] == {"known": 2, "unknown": 1, "excluded": 0}
    assert held["hold"]["since"] == held["last_tick"]["emitted_at"]
    assert held["timestamp_seconds"] == last_s
    replicas.writer.partitions = frozenset({0, 1, 2})
    scene.until_reached(last_s + 3)
    replicas.leader()
    replicas.check()
