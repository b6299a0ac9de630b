"""Operator overrides with real processes and by the command line: a dead partition is excluded and included again, a
clock is paused and resumed. Each replica answers, and the overrides survive the loss of store and leader."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.clock_fixture import WITHIN_S, ClockFixture, running
from tests.system.consumer import ConsumerThread
from tests.system.evidence import TickWithOffset, broken_links, early_ticks
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.path

WHY = "disk of broker 3 died, INC-4711"
REPLICAS = ("one", "two")


@dataclass
class Overridden:
    """Two replicas over a Valkey of their own, a clock for each test."""

    installation: Installation
    valkey: ValkeyServer
    clocks: dict[str, ClockFixture]

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def states(self, clock: ClockFixture) -> list[dict[str, Any]]:
        """The clock as each replica shows it."""
        return [self.installation.state(clock.name, replica) for replica in REPLICAS]

    def kill_leader(self, clock: ClockFixture) -> None:
        """SIGKILL the replica that leads, and start it again."""
        leader = clock.until_led()
        self.installation.kill(leader)
        self.installation.start_replica(leader)


@pytest.fixture(scope="module")
def overridden(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Overridden]:
    """The installation runs, without consumers and producers yet."""
    run = f"escape{wall_ms() % 10**8}"
    clocks = {name: ClockFixture(run, name, 2) for name in ("dead", "paused")}
    folder = tmp_path_factory.mktemp("escape")
    with (
        ValkeyServer() as valkey,
        running(folder, bootstrap, valkey.url, run, *clocks.values(), replicas=REPLICAS) as installation,
    ):
        yield Overridden(installation, valkey, clocks)


def wrong_with(ticks: list[TickWithOffset], consumer: ConsumerThread) -> list[str]:
    """What is wrong with ticks: the chain, and ticks before a partition that they do not name as excluded."""
    complete = [tick for tick in ticks if not tick.wire["excluded"]]
    return (
        broken_links(ticks, 1_000)
        + early_ticks(complete, consumer.notes, 2, 0)
        + early_ticks(ticks, consumer.notes, 1, 0)
    )


def test_a_dead_partition_is_excluded_and_included_again(overridden: Overridden) -> None:
    """Ticks go on without it and name it, also after the loss of store and leader. Included again, it holds the clock
    until it has caught up. Author, time and reason show everywhere."""
    installation = overridden.installation
    with overridden.clocks["dead"] as clock:
        consumer, producer = clock.consumer(), clock.producer(0, 1)
        clock.until_running()
        producer.partitions = frozenset({0})
        held_s = clock.until_held("partition_behind")["timestamp_seconds"]
        dead = {"topic": clock.topic, "partition": 1}

        printed = installation.command(
            "exclude", clock.name, f"{clock.topic}:1", "--reason", WHY, "--url", installation.urls["two"]
        )

        state = clock.until_reached(held_s + 3)
        (exclusion,) = state["exclusions"]
        assert exclusion == dead | {"by": "anonymous", "at": exclusion["at"], "reason": WHY}
        assert (state["partitions"], state["last_tick"]["excluded"]) == (
            {"known": 1, "unknown": 0, "excluded": 1, "rejected": 0},
            [dead],
        )
        line = f"{clock.name}: {clock.topic}:1 excluded by anonymous at {exclusion['at']}: {WHY}"
        assert line in printed
        assert line in installation.command("status", clock.name)
        for replica in REPLICAS:
            assert installation.metric("clocksvc_partitions", replica, clock=clock.name, state="excluded") == 1
        (control,) = clock.controls()
        assert control["state"]["exclusions"] == [exclusion]
        requests = [(one["kind"], one["by"], one["reason"]) for one in control["requests"]]
        assert requests == [("exclude", "anonymous", WHY)]

        overridden.flush()
        reached_s = clock.until_reached(clock.time_s() + 3)["timestamp_seconds"]
        eventually(
            lambda: all(state["exclusions"] == [exclusion] for state in overridden.states(clock)),
            within=WITHIN_S,
            what="both replicas to show the exclusion again",
        )
        overridden.kill_leader(clock)
        assert clock.until_reached(reached_s + 8)["exclusions"] == [exclusion]

        installation.command("include", clock.name, f"{clock.topic}:1", "--reason", "disk replaced")
        included_s = clock.until_held("partition_behind")["timestamp_seconds"]
        eventually(
            lambda: consumer.reached_ms(0) >= (included_s + 3) * 1000, within=WITHIN_S, what="partition 0 to go on"
        )
        assert clock.time_s() == included_s
        assert clock.state()["exclusions"] == []
        producer.partitions = frozenset({0, 1})
        clock.until_reached(included_s + 3)
        assert clock.until_running()["last_tick"]["excluded"] == []

        ticks = clock.log()
        named = [tick.at_ms // 1000 for tick in ticks if tick.wire["excluded"] == [dead]]
        assert named == list(range(held_s + 1, included_s + 1))
        assert [tick for tick in ticks if tick.wire["excluded"] not in ([], [dead])] == []
        assert [one["requests"][0]["kind"] for one in clock.controls()] == ["exclude", "include"]
        assert wrong_with(ticks, consumer) == []


def test_a_paused_clock_stops_until_it_is_resumed(overridden: Overridden) -> None:
    """Also after the loss of store and leader. Then every tick that came due comes, once and in order."""
    installation = overridden.installation
    with overridden.clocks["paused"] as clock:
        consumer, _ = clock.consumer(), clock.producer(0, 1)
        clock.until_running()

        printed = installation.command("pause", clock.name, "--reason", WHY, "--url", installation.urls["two"])
        paused = clock.until(lambda state: state["status"] == "paused", "the pause to show")
        paused_s = paused["timestamp_seconds"]
        pause = paused["pause"]
        assert pause == {"by": "anonymous", "at": pause["at"], "reason": WHY}
        assert (paused["hold"]["reason"], paused["hold"]["since"]) == ("paused", paused["last_tick"]["emitted_at"])
        line = f"{clock.name}: paused by anonymous at {pause['at']}: {WHY}"
        assert line in printed
        assert line in installation.command("status")
        assert installation.metric("clocksvc_holding", clock=clock.name, reason="paused") == 1

        overridden.flush()
        overridden.kill_leader(clock)
        eventually(
            lambda: min(consumer.reached_ms(0), consumer.reached_ms(1)) >= (paused_s + 5) * 1000,
            within=WITHIN_S,
            what="the partitions to go on",
        )
        again = clock.until(lambda state: state["status"] == "paused" and state["pause"], "the pause to show again")
        assert (again["timestamp_seconds"], again["pause"]) == (paused_s, pause)

        installation.command("resume", clock.name, "--reason", "done")
        clock.until_reached(paused_s + 6)
        assert clock.until_running()["pause"] is None
        assert [one["requests"][0]["kind"] for one in clock.controls()] == ["pause", "resume"]
        assert wrong_with(clock.log(), consumer) == []
