"""What holds a clock, and what lets it go on, with real parts and through the doors that users use."""

from collections.abc import Callable, Iterator

import httpx2
import pytest

from tests.system.path.doors import (
    command,
    first_event,
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

ALMOST_AT_ONCE_MS = 5_000
HALF_AN_HOUR_MS = 30 * 60_000
OUT_OF_ORDERNESS_MS = 1_000

Enter = Callable[[str], Scene]


@pytest.fixture(scope="module")
def enter(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, redis_url: str) -> Iterator[Enter]:
    """A service with a clock for each test, by name. No Celery runs: no heartbeat comes by itself."""
    run = f"holds{wall_ms() % 10**8}"
    scenes = [Scene(run, name, 2) for name in ("quiet", "growing", "foreign", "mixed")]
    created = Scene(run, "created", 2, "CreateTime")
    clocks = {scene.clock: scene.settings() for scene in scenes}
    clocks[created.clock] = created.settings(max_out_of_orderness=f"{OUT_OF_ORDERNESS_MS}ms")
    by_name = {scene.clock: scene for scene in [*scenes, created]}
    for scene in by_name.values():
        create_topic(bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
    installation = Installation(tmp_path_factory.mktemp("holds"), bootstrap, redis_url, run, clocks)
    try:
        installation.start_service()
        yield lambda name: by_name[name].of(installation)
    finally:
        installation.close()


def named(scene: Scene, *partitions: int) -> list[dict[str, object]]:
    """Partitions as a hold names them."""
    return [{"topic": scene.topic, "partition": partition} for partition in partitions]


def wrong_with(ticks: list[TickWithOffset], members: list[Member], partitions: int, slack_ms: int = 0) -> list[str]:
    """What is wrong with ticks, by what the clock's own consumers wrote down."""
    notes = sorted((note for member in members for note in member.notes), key=lambda note: note.wall_ms)
    return broken_links(ticks, 1_000) + early_ticks(ticks, notes, partitions, slack_ms)


def test_a_quiet_partition_holds_the_clock_until_a_heartbeat(enter: Enter) -> None:
    """API, command line, metrics and stream name the quiet partition. One round of heartbeats, and every skipped tick
    comes, once and in order, up to the heartbeat's own time."""
    with enter("quiet") as scene:
        service, clock = scene.installation, scene.clock
        member, writer = scene.member(), scene.writer(0, 1)
        scene.until_running()
        writer.partitions = frozenset({0})

        held = scene.until_held("partition_behind")
        follower = scene.follow()

        since = held["hold"]["since"]
        assert held["status"] == "holding"
        assert held["hold"]["partitions"] == named(scene, 1)
        assert since == held["last_tick"]["emitted_at"]
        assert held["slowest"][0]["partition"] == 1
        printed = command(service, "status", clock)
        assert f"{clock}: partition_behind since {since}" in printed
        assert f"({scene.topic}:1)" in printed
        assert metric(service.url, "clocksvc_holding", clock=clock, reason="partition_behind") == 1
        assert metric(service.url, "clocksvc_holding", clock=clock, reason="partition_unreported") == 0
        state = first_event(service.url, clock)
        assert (state.kind, state.data["hold"]["reason"]) == ("state", "partition_behind")
        assert scene.time_s() == held["timestamp_seconds"]

        assert command(service, "heartbeat", clock) == f"{clock}: 2 heartbeats delivered\n"
        beat = eventually(
            lambda: next((note for note in member.notes if note.heartbeat and note.partition == 1), None),
            within=PATIENCE_S,
            what="the heartbeat to be processed",
        )
        assert beat is not None
        beat_s = beat.timestamp_ms // 1000
        skipped = list(range(held["timestamp_seconds"] + 1, beat_s + 1))
        scene.until_reached(beat_s)
        eventually(lambda: follower.ticks() == skipped, what=f"{skipped} on the stream, not {follower.ticks()}")
        assert len(skipped) >= 2
        assert scene.time_s() == beat_s

        writer.partitions = frozenset({0, 1})
        scene.until_running()
        assert metric(service.url, "clocksvc_holding", clock=clock, reason="partition_behind") == 0
        assert metric(service.url, "clocksvc_heartbeats_total", clock=clock, outcome="delivered") == 2
        assert wrong_with(scene.log(), [member], 2) == []


def test_a_new_partition_holds_the_clock_until_its_first_report(enter: Enter) -> None:
    """As soon as Kafka has a new partition no tick comes, however far the others are, until it is reported."""
    with enter("growing") as scene:
        service = scene.installation
        member, _ = scene.member(), scene.writer(0, 1)
        scene.until_running()
        scene.grow(3)

        held = scene.until_held("partition_unreported")

        last_s = held["timestamp_seconds"]
        assert held["hold"]["partitions"] == named(scene, 2)
        assert held["partitions"] == {"known": 2, "unknown": 1, "excluded": 0}
        assert held["slowest"][0] | {"partition": 2, "time": None, "reported_at": None} == held["slowest"][0]
        assert metric(service.url, "clocksvc_holding", clock=scene.clock, reason="partition_unreported") == 1
        assert metric(service.url, "clocksvc_partitions", clock=scene.clock, state="unknown") == 1
        eventually(
            lambda: min(member.reached_ms(0), member.reached_ms(1)) >= (last_s + 3) * 1000,
            within=PATIENCE_S,
            what="the other partitions to be processed three boundaries on",
        )
        assert scene.time_s() == last_s
        assert 2 not in member.partitions()

        scene.writer(2)
        scene.until_reached(last_s + 3)
        scene.until_running()
        ticks = scene.log()
        before = [tick for tick in ticks if tick.at_ms <= last_s * 1000]
        assert wrong_with(ticks, [member], 2) == []
        assert wrong_with(ticks[len(before) :], [member], 3) == []


def test_a_timestamp_far_ahead_is_refused_and_hides_nothing(enter: Enter) -> None:
    """One record stamped 30 minutes ahead among good ones is counted; its partition's next boundary is ticked on
    time, and the clock's time does not jump."""
    with enter("created") as scene:
        service, clock = scene.installation, scene.clock
        member, _ = scene.member(), scene.writer(0, 1)
        scene.until_running()
        sent_ms = wall_ms()
        far_ms = sent_ms + HALF_AN_HOUR_MS
        scene.write({0: far_ms})
        next_ms = (sent_ms // 1000 + 1) * 1000

        eventually(lambda: member.reached_ms(0) == far_ms, within=PATIENCE_S, what="the record to be processed")
        scene.until_reached(next_ms // 1000 + 2)

        def counted() -> float | None:
            return metric(service.url, "clocksvc_reports_total", clock=clock, outcome="too_far_ahead")

        eventually(lambda: counted() == 1, what=f"one refusal to be counted, not {counted()}")
        body = {
            "group": scene.group,
            "reports": [{"topic": scene.topic, "partition": 1, "timestamp_ms": wall_ms() + HALF_AN_HOUR_MS}],
        }
        answer = httpx2.post(f"{service.url}/v1/clocks/{clock}/reports", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["reports"] == [{"topic": scene.topic, "partition": 1, "outcome": "too_far_ahead"}]
        eventually(lambda: counted() == 2, what=f"two refusals to be counted, not {counted()}")

        member.notes = [note for note in member.notes if note.timestamp_ms != far_ms]
        ticks = scene.log()
        late_ms = next(tick.appended_ms for tick in ticks if tick.at_ms == next_ms) - next_ms
        assert OUT_OF_ORDERNESS_MS <= late_ms < OUT_OF_ORDERNESS_MS + ALMOST_AT_ONCE_MS
        assert [tick for tick in ticks if tick.at_ms > tick.appended_ms] == []
        assert wrong_with(ticks, [member], 2, OUT_OF_ORDERNESS_MS) == []


def test_another_groups_reports_are_refused(enter: Enter) -> None:
    """While a consumer group that is not the clock's processes all there is, no tick comes; its reports are counted
    and named. With the clock's own group back it goes on."""
    with enter("foreign") as scene:
        service, clock = scene.installation, scene.clock
        first, _ = scene.member(), scene.writer(0, 1)
        scene.until_running()
        first.close()
        canary = scene.member(group=f"{scene.group}-canary", offset_reset="latest")

        def counted() -> float:
            return metric(service.url, "clocksvc_reports_total", clock=clock, outcome="foreign_group") or 0

        last_s = scene.until_held("reports_rejected")["timestamp_seconds"]
        eventually(
            lambda: min(canary.reached_ms(0), canary.reached_ms(1)) >= (last_s + 3) * 1000 and counted() >= 4,
            within=PATIENCE_S,
            what="the other group to report further boundaries",
        )

        held = scene.until_held("reports_rejected")
        behind = [partition for partition in (0, 1) if first.reached_ms(partition) < (last_s + 1) * 1000]
        assert sorted(one["partition"] for one in held["hold"]["partitions"]) == behind
        assert "foreign_group" in held["hold"]["detail"]
        assert held["timestamp_seconds"] == last_s
        assert metric(service.url, "clocksvc_holding", clock=clock, reason="reports_rejected") == 1

        second = scene.member()
        scene.until_reached(last_s + 3)
        assert wrong_with(scene.log(), [first, second], 2) == []


def test_a_consumer_may_report_by_http(enter: Enter) -> None:
    """Of two consumers in one group one writes the store, the other reports to the service: a clock like any other."""
    with enter("mixed") as scene:
        by_redis, by_http = scene.member(), scene.member(url=scene.installation.url)
        scene.writer(0, 1)
        eventually(
            lambda: by_redis.partitions() and by_http.partitions(),
            within=PATIENCE_S,
            what="each consumer to have its partition",
        )
        begun_s = scene.until_running()["timestamp_seconds"]

        state = scene.until_reached(begun_s + 3)

        ticks = scene.log()
        assert wrong_with(ticks, [by_redis, by_http], 2) == []
        alone = [tick for tick in ticks if early_ticks([tick], by_redis.notes, 2, 0)]
        assert len(alone) >= 3, "none of these ticks needed the consumer that reports by HTTP"
        assert state["partitions"] == {"known": 2, "unknown": 0, "excluded": 0}
