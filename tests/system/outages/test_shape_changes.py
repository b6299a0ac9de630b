"""Partitions are added, a topic is recreated, replicas are restarted one after the other with another configuration.

Real processes, two replicas, clocks of their own for each test.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from confluent_kafka.admin import AdminClient

from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.system.clock_fixture import WITHIN_S, ClockFixture, notes_of
from tests.system.evidence import broken_links, early_ticks, partition_of
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.path

STARTED_BEFORE_MS = 2_000
"""A step that read metadata just before a partition was added may still commit; not for longer."""


@dataclass
class Changing:
    """Replicas `a` and `b`, whose configuration can be changed one after the other."""

    installation: Installation
    clocks: dict[str, ClockFixture]
    valkey: ValkeyServer

    def restart(self, replica: str, clocks: dict[str, object]) -> None:
        """Restart a replica with this section `clocks`; it is ready when this returns."""
        self.installation.configure(clocks=clocks)
        assert self.installation.end(replica) == 0
        self.installation.start_replica(replica)

    def show(self, replica: str) -> None:
        """From now on states come from this replica."""
        self.installation.url = self.installation.urls[replica]

    def holder(self, replica: str) -> str:
        """How a hold names a replica: its process, after the name of the host."""
        return f":{self.installation.processes[replica].pid}"

    def knows(self, replica: str, clock: str) -> bool:
        """Whether a replica serves a clock."""
        url = f"{self.installation.urls[replica]}/v1/clocks/{clock}"
        return http_client.get(url, timeout=10).status_code == 200


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Changing]:
    """Both replicas run, with all clocks but `joining`."""
    run = f"shape{wall_ms() % 10**8}"
    partitions = {"grown": 2, "recreated": 3, "paced": 2, "leaving": 1, "joining": 1}
    clocks = {name: ClockFixture(run, name, number) for name, number in partitions.items()}
    for clock in clocks.values():
        create_topic(bootstrap, clock.topic, clock.partitions)
    settings = {name: clock.settings() for name, clock in clocks.items() if name != "joining"}
    folder = tmp_path_factory.mktemp("shape")
    with (
        ValkeyServer() as valkey,
        Installation(folder, bootstrap, valkey.url, "shape", settings, replicas=("a", "b")) as installation,
    ):
        for name in installation.urls:
            installation.start_replica(name)
        yield Changing(installation, {name: clock.of(installation) for name, clock in clocks.items()}, valkey)


def report(clock: ClockFixture, partition: int, timestamp_ms: int) -> str:
    """Report a number by HTTP, in the clock's group; the outcome."""
    reading = {"topic": clock.topic, "partition": partition, "timestamp_ms": timestamp_ms}
    url = f"{clock.installation.url}/v1/clocks/{clock.name}/reports"
    answer = http_client.post(url, json={"group": clock.group, "reports": [reading]}, timeout=10)
    return str(answer.json()["reports"][0]["outcome"])


def test_partitions_added_under_load_hold_until_each_is_reported(changing: Changing) -> None:
    """Two consumers, records all the time, partitions 2 and 3 are added: no tick without both, though 2 is written and
    read at once; once 3 is reported it goes on, every skipped tick once."""
    with changing.clocks["grown"] as clock:
        consumers = [clock.consumer(), clock.consumer()]
        clock.producer(0, 1)
        clock.until_running()
        clock.grow(4)
        grown_ms = wall_ms()
        clock.producer(2)
        fourth = [{"topic": clock.topic, "partition": 3}]

        held = clock.until(
            lambda state: state["hold"] and state["hold"]["partitions"] == fourth, "the new partition to be named"
        )

        last_s = held["timestamp_seconds"]
        assert held["hold"]["reason"] == "partition_unreported"
        assert held["partitions"] == {"known": 3, "unknown": 1, "excluded": 0, "rejected": 0}
        eventually(
            lambda: min(max(one.reached_ms(number) for one in consumers) for number in range(3)) > (last_s + 2) * 1000,
            within=WITHIN_S,
            what="the other partitions to be processed two boundaries on",
        )
        assert clock.time_s() == last_s
        clock.producer(3)
        clock.until_reached(last_s + 4)
        clock.until_running()

        ticks = clock.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        notes = notes_of(*consumers)
        assert broken_links(ticks) == []
        assert [tick for tick in before if tick.appended_ms > grown_ms + STARTED_BEFORE_MS] == []
        assert early_ticks(before, notes, 2, 0) == []
        assert early_ticks(ticks[len(before) :], notes, 4, 0) == []
        assert clock.went_back() == []


def test_a_topic_recreated_with_fewer_partitions_is_a_new_topic(changing: Changing) -> None:
    """Deleted: a hold that names the topic. Recreated with one partition instead of three: that one is unknown, even if
    old reports are repeated, and once it is processed the clock goes on without the other two."""
    with changing.clocks["recreated"] as clock:
        consumer, producer = clock.consumer(), clock.producer(0, 1, 2)
        clock.until_running()
        producer.partitions = frozenset()
        last_s = clock.until_held("partition_behind")["timestamp_seconds"]
        old_ms = max(consumer.reached_ms(number) for number in range(3))
        admin = AdminClient({"bootstrap.servers": clock.bootstrap})
        admin.delete_topics([clock.topic])[clock.topic].result(WITHIN_S)

        assert report(clock, 3, old_ms) == "unknown"  # has the leader ask Kafka now, not only every 30 s
        assert clock.topic in clock.until_held("topic_missing")["hold"]["detail"]
        create_topic(clock.bootstrap, clock.topic, 1, clock.timestamp_type)
        recreated_ms = wall_ms()

        held = clock.until_held("partition_unreported")
        assert held["partitions"] == {"known": 0, "unknown": 1, "excluded": 0, "rejected": 0}
        assert held["hold"]["partitions"] == [{"topic": clock.topic, "partition": 0}]
        assert report(clock, 0, old_ms) == "unchanged"
        assert clock.until_held("partition_unreported")["timestamp_seconds"] == last_s
        clock.producer(0)
        clock.until_reached(last_s + 4)
        clock.until_running()

        ticks = clock.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        notes = notes_of(consumer)
        assert broken_links(ticks) == []
        assert early_ticks(before, notes, 3, 0) == []
        assert early_ticks(ticks[len(before) :], [note for note in notes if note.wall_ms >= recreated_ms], 1, 0) == []
        assert clock.went_back() == []


def test_a_rolling_change_of_configuration_and_back(changing: Changing) -> None:
    """One replica after the other is restarted: an interval goes from 1 s to 5 s and back, a clock leaves and comes
    back, another joins. While their configurations differ, only the clock that differs is held; the hold names who has
    which value and ends by itself. A clock that left is gone from the API, keeps its keys, and misses no tick when it
    comes back."""
    installation, clocks = changing.installation, changing.clocks
    first: dict[str, object] = {name: clock.settings() for name, clock in clocks.items() if name != "joining"}
    second = {name: settings for name, settings in first.items() if name != "leaving"}
    second["paced"] = clocks["paced"].settings(interval="5s", heartbeat={"every": "5s"})
    second["joining"] = clocks["joining"].settings()
    with clocks["paced"] as paced, clocks["leaving"] as leaving, clocks["joining"] as joining:
        changed = (paced, leaving, joining)
        consumers = {clock.name: clock.consumer() for clock in changed}
        for clock in changed:
            clock.producer(*range(clock.partitions))
        for clock in (paced, leaving):
            clock.until_running()
        follower = paced.follow(*installation.urls.values())

        changing.restart("b", second)
        detail = paced.until_held("config_conflict")["hold"]["detail"]
        assert f"interval is 1s at {detail.partition('1s at ')[2].partition(':')[0]}{changing.holder('a')}" in detail
        assert f"{changing.holder('b')}" in detail.partition("5s at ")[2].partition(";")[0].partition(",")[0]
        conflict_s = paced.time_s()
        leaving.until_reached(leaving.time_s() + 1)
        changing.show("b")
        joining.until_running()
        assert paced.until_held("config_conflict")["timestamp_seconds"] == conflict_s

        assert installation.end("a") == 0
        paced.until(lambda state: state["last_tick"]["interval_seconds"] == 5, "a tick of the new interval")
        installation.start_replica("a")
        assert not changing.knows("a", "leaving")
        assert not changing.knows("b", "leaving")
        with redis.Redis.from_url(changing.valkey.url, decode_responses=True) as client:
            keys = list(client.scan_iter(match="shape:{*}:leaving:*"))
            assert f"shape:{{{partition_of('leaving')}}}:leaving:ticks" in keys
            client.delete(*keys)
        away_s = paced.until_reached(conflict_s + 10)["timestamp_seconds"]

        changing.restart("b", {**first, "joining": second["joining"]})
        assert "interval is 1s at" in paced.until_held("config_conflict")["hold"]["detail"]
        changing.show("a")
        installation.kill("a")
        changing.show("b")
        paced.until(lambda state: state["last_tick"]["interval_seconds"] == 1, "ticks of the old interval again")
        leaving.until_reached(away_s)
        installation.start_replica("a")
        for clock in changed:
            clock.until_running()

        for clock in changed:
            ticks = clock.log()
            assert broken_links(ticks) == []
            assert early_ticks(ticks, notes_of(consumers[clock.name]), clock.partitions, 0) == []
            assert clock.went_back() == []
        logged = [tick.at_ms // 1000 for tick in paced.log()]
        seen = follower.ticks()
        assert seen == logged[logged.index(seen[0]) :][: len(seen)]
        assert {tick.wire["interval_seconds"] for tick in paced.log()} == {1, 5}
