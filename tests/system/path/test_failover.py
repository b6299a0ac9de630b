"""Two replicas, one clock: it goes on with a complete chain when either replica ends and when Redis is flushed."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from clocksvc.clock.logs import log_of
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.clock_fixture import WITHIN_S, ClockFixture, notes_of, running
from tests.system.consumer import ConsumerThread
from tests.system.evidence import broken_links, early_ticks
from tests.system.installation import Installation, wall_ms
from tests.system.producers import SteadyProducer
from tests.system.stream_follower import StreamFollower
from tests.waiting import eventually

pytestmark = pytest.mark.path

TAKEN_OVER_S = 10.0
AFTER_A_FLUSH_S = 15.0
REPLICAS = ("a", "b")


@dataclass
class Replicated:
    """Two replicas over a Valkey of their own, and a clock that runs all the time."""

    installation: Installation
    clock: ClockFixture
    valkey: ValkeyServer
    producer: SteadyProducer
    consumers: list[ConsumerThread]
    follower: StreamFollower

    def until_led(self) -> tuple[str, str]:
        """The replica that leads and the other one, once both show a running clock."""

        def leader() -> str | None:
            states = [self.clock.state(name) for name in REPLICAS]
            running = all(state["status"] == "running" for state in states)
            return self.installation.leader(states[0]) if running else None

        leads = eventually(leader, within=WITHIN_S, what="a replica to lead a running clock") or ""
        return leads, next(name for name in REPLICAS if name != leads)

    def ticks_by(self, replica: str) -> float:
        """How many ticks a replica has emitted, by its metrics."""
        return self.installation.metric("clocksvc_ticks_total", replica, clock=self.clock.name) or 0

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def check(self) -> None:
        """The complete chain: nothing lost, twice, early or back, in the log and for a client."""
        ticks = self.clock.log()
        logged = [tick.at_ms // 1000 for tick in ticks]
        seen = self.follower.ticks()
        assert broken_links(ticks, 1_000) == []
        assert early_ticks(ticks, notes_of(*self.consumers), self.clock.partitions, 0) == []
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert set(seen) <= set(logged)
        assert self.clock.went_back() == []


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Replicated]:
    """The clock runs, one consumer reports, one client follows both replicas."""
    run = f"failover{wall_ms() % 10**8}"
    folder, clock = tmp_path_factory.mktemp("failover"), ClockFixture(run, "lasting", 3)
    with (
        ValkeyServer() as valkey,
        running(folder, bootstrap, valkey.url, run, clock, replicas=REPLICAS) as installation,
        clock,
    ):
        producer, consumer = clock.producer(0, 1, 2), clock.consumer()
        follower = clock.follow(*installation.urls.values())
        yield Replicated(installation, clock, valkey, producer, [consumer], follower)


def test_a_leader_that_ends_hands_over(replicated: Replicated) -> None:
    """SIGTERM: the leader exits with 0, the other replica emits the next ticks, a client goes on there."""
    leader, other = replicated.until_led()
    ended_s = wall_ms() // 1000

    assert replicated.installation.end(leader) == 0

    eventually(lambda: replicated.ticks_by(other), within=TAKEN_OVER_S, what="ticks by the other replica")
    eventually(
        lambda: replicated.follower.ticks()[-1] > ended_s + 1, within=TAKEN_OVER_S, what="the client to see them"
    )
    clock = replicated.clock.name
    assert replicated.installation.metric("clocksvc_leader", other, clock=clock, log=str(log_of(clock))) == 1
    replicated.installation.start_replica(leader)
    replicated.check()


def test_a_leader_that_is_killed_is_replaced(replicated: Replicated) -> None:
    """SIGKILL: within 10 s the other replica emits new ticks, none lost, none twice."""
    leader, other = replicated.until_led()
    before = replicated.ticks_by(other)

    replicated.installation.kill(leader)
    killed_s = wall_ms() // 1000

    eventually(lambda: replicated.ticks_by(other) > before, within=TAKEN_OVER_S, what="ticks by the other replica")
    eventually(
        lambda: replicated.follower.ticks()[-1] > killed_s + 1, within=TAKEN_OVER_S, what="the client to see them"
    )
    replicated.installation.start_replica(leader)
    replicated.check()


def test_a_flushed_store_is_built_again(replicated: Replicated) -> None:
    """FLUSHALL in the middle: no tick is early, none is lost or comes twice, and the clock goes on within seconds."""
    replicated.until_led()
    replicated.flush()
    flushed_s = wall_ms() // 1000

    def gone_on() -> bool:
        return all(replicated.clock.state(name)["timestamp_seconds"] > flushed_s + 1 for name in REPLICAS)

    eventually(gone_on, within=AFTER_A_FLUSH_S, what="both replicas to show new ticks")
    replicated.until_led()
    log = replicated.clock.log()
    longest_ms = max(later.appended_ms - earlier.appended_ms for earlier, later in itertools.pairwise(log))
    assert longest_ms < AFTER_A_FLUSH_S * 1000
    replicated.check()


def test_a_partition_that_the_store_forgot_holds_the_clock(replicated: Replicated) -> None:
    """FLUSHALL, and a new consumer that finds no record in a quiet partition: the partition is unknown, is named, and
    holds the clock, however far the others are. The clock shown does not change."""
    replicated.until_led()
    clock = replicated.clock
    replicated.producer.partitions = frozenset({0, 1})
    last_s = clock.until_held("partition_behind")["timestamp_seconds"]
    replicated.consumers[-1].close()

    replicated.flush()
    consumer = clock.consumer()
    replicated.consumers.append(consumer)

    eventually(
        lambda: min(consumer.reached_ms(0), consumer.reached_ms(1)) > (last_s + 3) * 1000,
        within=WITHIN_S,
        what="the other partitions to be processed three boundaries on",
    )
    quiet = [{"topic": clock.topic, "partition": 2}]
    held = clock.until(lambda state: state["hold"]["partitions"] == quiet, "the quiet partition alone to be named")
    assert held["hold"]["reason"] == "partition_unreported"
    assert held["partitions"] == {"known": 2, "unknown": 1, "excluded": 0, "rejected": 0}
    assert held["hold"]["since"] == held["last_tick"]["emitted_at"]
    assert held["timestamp_seconds"] == last_s
    replicated.producer.partitions = frozenset({0, 1, 2})
    clock.until_reached(last_s + 3)
    replicated.until_led()
    replicated.check()
