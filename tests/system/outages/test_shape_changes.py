"""Partitions come and go, a topic is made anew, replicas are restarted one after the other with another configuration:
real parts, two replicas, a clock for each story."""

from collections.abc import Callable, Iterator

import httpx2
import pytest
import redis
from confluent_kafka.admin import AdminClient

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.shape import (
    Pair,
    ShapedScene,
    broken_chain,
    notes_of,
)
from tests.system.path.installation import (
    create_topic,
    wall_ms,
)
from tests.system.path.notes import early_ticks
from tests.system.path.scene import PATIENCE_S
from tests.waiting import eventually

pytestmark = pytest.mark.path

STARTED_BEFORE_MS = 2_000
"""A step that read metadata just before a partition was there may still commit; not for longer."""

Enter = Callable[[str], ShapedScene]


@pytest.fixture(scope="module")
def store() -> Iterator[ValkeyServer]:
    """A Valkey of these replicas' own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def scenes(bootstrap: str) -> dict[str, ShapedScene]:
    """A clock for each story, by name."""
    run = f"shape{wall_ms() % 10**8}"
    partitions = {"grown": 2, "anew": 3, "paced": 2, "leaving": 1, "joining": 1}
    found = {name: ShapedScene(run, name, number) for name, number in partitions.items()}
    for scene in found.values():
        create_topic(bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
    return found


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, bootstrap: str, store: ValkeyServer, scenes: dict[str, ShapedScene]
) -> Iterator[Pair]:
    """Both replicas run, with all clocks but `joining`."""
    clocks = {name: scene.settings() for name, scene in scenes.items() if name != "joining"}
    pair = Pair(tmp_path_factory.mktemp("shape"), bootstrap, store.url, "shape", clocks)
    try:
        for name in pair.urls:
            pair.start(name)
        yield pair
    finally:
        pair.installation.close()


@pytest.fixture(scope="module")
def enter(pair: Pair, scenes: dict[str, ShapedScene]) -> Enter:
    """A story's scene, by its clock's name."""
    return lambda name: scenes[name].of(pair.installation)


def report(scene: ShapedScene, partition: int, timestamp_ms: int) -> str:
    """Report a number by HTTP, in the clock's group; the outcome."""
    reading = {"topic": scene.topic, "partition": partition, "timestamp_ms": timestamp_ms}
    url = f"{scene.installation.url}/v1/clocks/{scene.clock}/reports"
    answer = httpx2.post(url, json={"group": scene.group, "reports": [reading]}, timeout=10)
    return str(answer.json()["reports"][0]["outcome"])


def test_partitions_added_under_load_hold_until_each_is_reported(enter: Enter) -> None:
    """Two consumers, records all the time, partitions 2 and 3 are added: no tick without both, though 2 is written and
    read at once; with 3 reported it goes on, every skipped tick once."""
    with enter("grown") as scene:
        members = [scene.member(), scene.member()]
        scene.writer(0, 1)
        scene.until_running()
        scene.grow(4)
        grown_ms = wall_ms()
        scene.writer(2)
        fourth = [{"topic": scene.topic, "partition": 3}]

        held = scene.until(
            lambda state: state["hold"] and state["hold"]["partitions"] == fourth, "the new partition to be named"
        )

        last_s = held["timestamp_seconds"]
        assert held["hold"]["reason"] == "partition_unreported"
        assert held["partitions"] == {"known": 3, "unknown": 1, "excluded": 0}
        eventually(
            lambda: min(max(one.reached_ms(number) for one in members) for number in range(3)) > (last_s + 2) * 1000,
            within=PATIENCE_S,
            what="the other partitions to be processed two boundaries on",
        )
        assert scene.time_s() == last_s
        scene.writer(3)
        scene.until_reached(last_s + 4)
        scene.until_running()

        ticks = scene.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        notes = notes_of(members)
        assert broken_chain(ticks) == []
        assert [tick for tick in before if tick.appended_ms > grown_ms + STARTED_BEFORE_MS] == []
        assert early_ticks(before, notes, 2, 0) == []
        assert early_ticks(ticks[len(before) :], notes, 4, 0) == []
        assert scene.backwards() == []


def test_a_topic_made_anew_with_fewer_partitions_begins_anew(enter: Enter) -> None:
    """Deleted: a hold that names the topic. Made anew with one partition instead of three: that one is unknown,
    whatever is repeated of the old one, and once it is processed the clock goes on without the other two."""
    with enter("anew") as scene:
        member, writer = scene.member(), scene.writer(0, 1, 2)
        scene.until_running()
        writer.partitions = frozenset()
        last_s = scene.until_held("partition_behind")["timestamp_seconds"]
        old_ms = max(member.reached_ms(number) for number in range(3))
        admin = AdminClient({"bootstrap.servers": scene.bootstrap})
        admin.delete_topics([scene.topic])[scene.topic].result(PATIENCE_S)

        assert report(scene, 3, old_ms) == "unknown"  # has the leader ask Kafka now, not only every 30 s
        assert scene.topic in scene.until_held("topic_missing")["hold"]["detail"]
        create_topic(scene.bootstrap, scene.topic, 1, scene.timestamp_type)
        anew_ms = wall_ms()

        held = scene.until_held("partition_unreported")
        assert held["partitions"] == {"known": 0, "unknown": 1, "excluded": 0}
        assert held["hold"]["partitions"] == [{"topic": scene.topic, "partition": 0}]
        assert report(scene, 0, old_ms) == "unchanged"
        assert scene.until_held("partition_unreported")["timestamp_seconds"] == last_s
        scene.writer(0)
        scene.until_reached(last_s + 4)
        scene.until_running()

        ticks = scene.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        notes = notes_of([member])
        assert broken_chain(ticks) == []
        assert early_ticks(before, notes, 3, 0) == []
        assert early_ticks(ticks[len(before) :], [note for note in notes if note.wall_ms >= anew_ms], 1, 0) == []
        assert scene.backwards() == []


def test_a_rolling_change_of_configuration_and_back(
    enter: Enter, pair: Pair, scenes: dict[str, ShapedScene], store: ValkeyServer
) -> None:
    """One replica after the other is restarted: an interval goes from 1 s to 5 s and back, a clock leaves and comes
    back, another joins. While both are alive, only the clock that they disagree about holds, and says who has what; it
    goes on by itself. What left is gone from the API, keeps its keys, and misses no tick when it comes back."""
    first = dict(pair.clocks)
    second = {name: settings for name, settings in first.items() if name != "leaving"}
    second["paced"] = scenes["paced"].settings(interval="5s", heartbeat={"every": "5s"})
    second["joining"] = scenes["joining"].settings()
    with enter("paced") as paced, enter("leaving") as leaving, enter("joining") as joining:
        story = (paced, leaving, joining)
        members = {scene.clock: scene.member() for scene in story}
        for scene in story:
            scene.writer(*range(scene.partitions))
        for scene in (paced, leaving):
            scene.until_running()
        follower = paced.follow(*pair.urls.values())

        pair.clocks = second
        pair.end("b")
        pair.start("b")
        said = paced.until_held("config_conflict")["hold"]["detail"]
        assert f"interval is 1s at {said.partition('1s at ')[2].partition(':')[0]}{pair.holder('a')}" in said
        assert f"{pair.holder('b')}" in said.partition("5s at ")[2].partition(";")[0].partition(",")[0]
        conflict_s = paced.time_s()
        leaving.until_reached(leaving.time_s() + 1)
        pair.look_through("b")
        joining.until_running()
        assert paced.until_held("config_conflict")["timestamp_seconds"] == conflict_s

        pair.end("a")
        paced.until(lambda state: state["last_tick"]["interval_seconds"] == 5, "a tick of the new interval")
        pair.start("a")
        assert not pair.knows("a", "leaving")
        assert not pair.knows("b", "leaving")
        with redis.Redis.from_url(store.url, decode_responses=True) as client:
            keys = list(client.scan_iter(match="shape:{leaving}:*"))
            assert "shape:{leaving}:ticks" in keys
            client.delete(*keys)
        away_s = paced.until_reached(conflict_s + 10)["timestamp_seconds"]

        pair.clocks = {**first, "joining": second["joining"]}
        pair.end("b")
        pair.start("b")
        assert "interval is 1s at" in paced.until_held("config_conflict")["hold"]["detail"]
        pair.look_through("a")
        pair.end("a", kill=True)
        pair.look_through("b")
        paced.until(lambda state: state["last_tick"]["interval_seconds"] == 1, "ticks of the old interval again")
        leaving.until_reached(away_s)
        pair.start("a")
        for scene in story:
            scene.until_running()

        for scene in story:
            ticks = scene.log()
            assert broken_chain(ticks) == []
            assert early_ticks(ticks, notes_of([members[scene.clock]]), scene.partitions, 0) == []
            assert scene.backwards() == []
        logged = [tick.at_ms // 1000 for tick in paced.log()]
        seen = follower.ticks()
        assert seen == logged[logged.index(seen[0]) :][: len(seen)]
        assert {tick.wire["interval_seconds"] for tick in paced.log()} == {1, 5}
