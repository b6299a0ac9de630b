"""The night shift's way out, with real parts and by the command line: a dead partition excluded and taken back in, a
clock paused and resumed; whoever asks which replica, and though store and leader are lost meanwhile."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition

from clocksvc.dev.ports import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.path.doors import (
    command,
    metric,
)
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.system.path.member import Member
from tests.system.path.notes import (
    TickWithOffset,
    broken_links,
    early_ticks,
)
from tests.system.path.scene import (
    PATIENCE_S,
    Scene,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path

WHY = "disk of broker 3 died, INC-4711"


@dataclass
class Night:
    """Two replicas over a Valkey of their own, a clock for each test."""

    installation: Installation
    valkey: ValkeyServer
    urls: list[str]
    scenes: dict[str, Scene]

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def states(self, scene: Scene) -> list[dict[str, Any]]:
        """The clock as each replica shows it."""
        return [httpx2.get(f"{url}/v1/clocks/{scene.clock}", timeout=10).json() for url in self.urls]

    def kill_leader(self, scene: Scene) -> None:
        """SIGKILL the replica that leads, and start it again."""
        leader = scene.until(lambda state: state["leader"], "somebody to lead")["leader"]
        processes = self.installation.processes
        name = next(name for name, process in processes.items() if leader.endswith(f":{process.pid}"))
        processes[name].kill()
        processes.pop(name).wait(10)
        self.start(name)

    def start(self, name: str) -> None:
        """A replica, ready when this returns."""
        url = self.urls[("one", "two").index(name)]
        self.installation.start(name, "clocksvc.cli.main", "serve", "--port", url.rpartition(":")[2])
        eventually(lambda: ready(url), within=30, what=f"{name} to be ready")


def ready(url: str) -> bool:
    """Whether a replica says that it is ready."""
    try:
        return httpx2.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Night]:
    """The installation runs; nobody consumes or produces yet."""
    run = f"escape{wall_ms() % 10**8}"
    scenes = {name: Scene(run, name, 2) for name in ("dead", "paused")}
    for scene in scenes.values():
        create_topic(bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
    with ValkeyServer() as valkey:
        clocks = {scene.clock: scene.settings() for scene in scenes.values()}
        installation = Installation(tmp_path_factory.mktemp("escape"), bootstrap, valkey.url, run, clocks)
        urls = [installation.url, f"http://127.0.0.1:{free_ports(1)[0]}"]
        night = Night(installation, valkey, urls, scenes)
        try:
            night.start("one")
            night.start("two")
            for scene in scenes.values():
                scene.of(installation)
            yield night
        finally:
            installation.close()


def controls(scene: Scene) -> list[dict[str, Any]]:
    """The tick log's control records, read as a stranger does."""
    settings = {"bootstrap.servers": scene.bootstrap, "group.id": "judge", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(scene.tick_log, 0, 0)])
    found = []
    while (message := consumer.poll(PATIENCE_S)) is not None and message.error() is None:
        if dict(message.headers() or []).get("clocksvc-type") == b"control":
            found.append(json.loads(message.value() or b""))
    consumer.close()
    return found


def wrong_with(ticks: list[TickWithOffset], member: Member) -> list[str]:
    """What is wrong with ticks: the chain, and ticks before a partition that they do not name as excluded."""
    whole = [tick for tick in ticks if not tick.wire["excluded"]]
    return broken_links(ticks, 1_000) + early_ticks(whole, member.notes, 2, 0) + early_ticks(ticks, member.notes, 1, 0)


def test_a_dead_partition_is_excluded_and_taken_back_in(night: Night) -> None:
    """Ticks go on without it and say so, whatever is lost meanwhile; taken back in, it holds the clock until it has
    caught up. Who, when and why shows everywhere."""
    with night.scenes["dead"] as scene:
        member, writer = scene.member(), scene.writer(0, 1)
        scene.until_running()
        writer.partitions = frozenset({0})
        held_s = scene.until_held("partition_behind")["timestamp_seconds"]
        dead = {"topic": scene.topic, "partition": 1}

        printed = command(
            night.installation, "exclude", scene.clock, f"{scene.topic}:1", "--reason", WHY, "--url", night.urls[1]
        )

        state = scene.until_reached(held_s + 3)
        (exclusion,) = state["exclusions"]
        assert exclusion == dead | {"by": "anonymous", "at": exclusion["at"], "reason": WHY}
        assert (state["partitions"], state["last_tick"]["excluded"]) == (
            {"known": 1, "unknown": 0, "excluded": 1},
            [dead],
        )
        line = f"{scene.clock}: {scene.topic}:1 excluded by anonymous at {exclusion['at']}: {WHY}"
        assert line in printed
        assert line in command(night.installation, "status", scene.clock)
        for url in night.urls:
            assert metric(url, "clocksvc_partitions", clock=scene.clock, state="excluded") == 1
        (control,) = controls(scene)
        assert control["state"]["exclusions"] == [exclusion]
        requests = [(one["kind"], one["by"], one["reason"]) for one in control["requests"]]
        assert requests == [("exclude", "anonymous", WHY)]

        night.flush()
        reached_s = scene.until_reached(scene.time_s() + 3)["timestamp_seconds"]
        eventually(
            lambda: all(state["exclusions"] == [exclusion] for state in night.states(scene)),
            within=PATIENCE_S,
            what="both replicas to show the exclusion again",
        )
        night.kill_leader(scene)
        assert scene.until_reached(reached_s + 8)["exclusions"] == [exclusion]

        command(night.installation, "include", scene.clock, f"{scene.topic}:1", "--reason", "disk replaced")
        included_s = scene.until_held("partition_behind")["timestamp_seconds"]
        eventually(
            lambda: member.reached_ms(0) >= (included_s + 3) * 1000, within=PATIENCE_S, what="partition 0 to go on"
        )
        assert scene.time_s() == included_s
        assert scene.state()["exclusions"] == []
        writer.partitions = frozenset({0, 1})
        scene.until_reached(included_s + 3)
        assert scene.until_running()["last_tick"]["excluded"] == []

        ticks = scene.log()
        named = [tick.at_ms // 1000 for tick in ticks if tick.wire["excluded"] == [dead]]
        assert named == list(range(held_s + 1, included_s + 1))
        assert [tick for tick in ticks if tick.wire["excluded"] not in ([], [dead])] == []
        assert [one["requests"][0]["kind"] for one in controls(scene)] == ["exclude", "include"]
        assert wrong_with(ticks, member) == []


def test_a_paused_clock_stands_still_until_it_is_resumed(night: Night) -> None:
    """Whatever is lost meanwhile; then every tick that came due comes, once and in order."""
    with night.scenes["paused"] as scene:
        member, _ = scene.member(), scene.writer(0, 1)
        scene.until_running()

        printed = command(night.installation, "pause", scene.clock, "--reason", WHY, "--url", night.urls[1])
        paused = scene.until(lambda state: state["status"] == "paused", "the pause to show")
        paused_s = paused["timestamp_seconds"]
        pause = paused["pause"]
        assert pause == {"by": "anonymous", "at": pause["at"], "reason": WHY}
        assert (paused["hold"]["reason"], paused["hold"]["since"]) == ("paused", paused["last_tick"]["emitted_at"])
        line = f"{scene.clock}: paused by anonymous at {pause['at']}: {WHY}"
        assert line in printed
        assert line in command(night.installation, "status")
        assert metric(night.urls[0], "clocksvc_holding", clock=scene.clock, reason="paused") == 1

        night.flush()
        night.kill_leader(scene)
        eventually(
            lambda: min(member.reached_ms(0), member.reached_ms(1)) >= (paused_s + 5) * 1000,
            within=PATIENCE_S,
            what="the partitions to go on",
        )
        again = scene.until(lambda state: state["status"] == "paused" and state["pause"], "the pause to show again")
        assert (again["timestamp_seconds"], again["pause"]) == (paused_s, pause)

        command(night.installation, "resume", scene.clock, "--reason", "done")
        scene.until_reached(paused_s + 6)
        assert scene.until_running()["pause"] is None
        assert [one["requests"][0]["kind"] for one in controls(scene)] == ["pause", "resume"]
        assert wrong_with(scene.log(), member) == []
