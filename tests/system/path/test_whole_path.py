"""Reports in, ticks out, with real processes: every tick once, in order, none early, by the consumers' own notes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.evidence import (
    Note,
    TickWithOffset,
    broken_links,
    early_ticks,
    late_first_records,
    read_notes,
    read_tick_log,
)
from tests.system.installation import Installation, create_topic, wall_ms
from tests.system.producers import UnevenProducers
from tests.system.stream_follower import StreamFollower
from tests.waiting import eventually

TICKS = 50
WIDE, CREATED = "wide", "created"
PARTITIONS = {WIDE: 128, CREATED: 12}
OUT_OF_ORDERNESS_MS = {WIDE: 0, CREATED: 10_000}
BEHIND_S = {WIDE: 3, CREATED: 13}


@dataclass
class Evidence:
    """What was observed of one clock."""

    ticks: list[TickWithOffset]
    notes: list[Note]
    streamed: list[int]
    behind_seconds: float
    state: dict[str, Any]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, redis_url: str) -> Iterator[dict[str, Evidence]]:
    """One run of everything: two clocks, five consumer processes, a rebalance on the way."""
    folder = tmp_path_factory.mktemp("path")
    run = f"path{wall_ms() % 10**8}"
    topics = {WIDE: f"{run}-wide", CREATED: f"{run}-created"}
    create_topic(bootstrap, topics[WIDE], PARTITIONS[WIDE], "LogAppendTime")
    create_topic(bootstrap, topics[CREATED], PARTITIONS[CREATED], "CreateTime")
    clocks = {
        clock: {
            "topics": [topic],
            "group": f"{topic}-group",
            "interval": "1s",
            "heartbeat": {"every": "1s"},
        }
        for clock, topic in topics.items()
    }
    with Installation(folder, bootstrap, redis_url, run, clocks) as installation:
        yield _run(installation, topics)


def _run(installation: Installation, topics: dict[str, str]) -> dict[str, Evidence]:
    installation.start_replica()
    installation.start_celery()
    notes: dict[str, list[Path]] = {clock: [] for clock in topics}

    def consume(clock: str) -> None:
        name = f"{clock}-{len(notes[clock])}"
        notes[clock].append(installation.start_consumer(name, topics[clock], f"{topics[clock]}-group", clock))

    for clock in (WIDE, WIDE, WIDE, CREATED, CREATED):
        consume(clock)
    followers = {clock: StreamFollower([installation.url], clock) for clock in topics}
    producers = [
        UnevenProducers(installation.bootstrap, topics[WIDE], PARTITIONS[WIDE], [0]),
        UnevenProducers(installation.bootstrap, topics[CREATED], PARTITIONS[CREATED], [0, 0, 2_000]),
    ]

    def ticked(count: int) -> bool:
        installation.check_alive()
        return all(len(follower.ticks()) >= count for follower in followers.values())

    try:
        eventually(lambda: ticked(TICKS // 2), within=60, what=f"{TICKS // 2} ticks of each clock")
        installation.end(f"{WIDE}-0")
        consume(WIDE)
        eventually(lambda: ticked(TICKS + 5), within=60, what=f"{TICKS + 5} ticks of each clock")
        eventually(
            lambda: all(installation.state(clock)["behind_seconds"] <= BEHIND_S[clock] for clock in topics),
            within=15,
            what=f"both clocks to be no further behind than {BEHIND_S} after the rebalance",
        )
        states = {clock: installation.state(clock) for clock in topics}
    finally:
        for producer in producers:
            producer.close()
    for name in [name for name in installation.processes if name.split("-")[0] in topics]:
        assert installation.end(name) == 0
    for follower in followers.values():
        follower.stop()
    assert [follower.connections for follower in followers.values()] == [1, 1]
    assert all(producer.sent > 1_000 for producer in producers)
    return {
        clock: Evidence(
            ticks=read_tick_log(installation.bootstrap, installation.tick_log, clock),
            notes=read_notes(notes[clock]),
            streamed=followers[clock].ticks(),
            behind_seconds=states[clock]["behind_seconds"],
            state=states[clock],
        )
        for clock in topics
    }


@pytest.mark.parametrize("clock", [WIDE, CREATED])
def test_each_tick_once_in_order(evidence: dict[str, Evidence], clock: str) -> None:
    """The tick log holds at least 50 ticks, each once, ascending, each naming the one before it."""
    ticks = evidence[clock].ticks

    assert len(ticks) >= TICKS
    assert broken_links(ticks, 1_000) == []
    assert ticks[0].previous_ms is None


@pytest.mark.parametrize("clock", [WIDE, CREATED])
def test_the_stream_shows_what_the_log_holds(evidence: dict[str, Evidence], clock: str) -> None:
    """A client of server-sent events saw consecutive ticks of the tick log, each once."""
    logged = [tick.at_ms // 1000 for tick in evidence[clock].ticks]
    streamed = evidence[clock].streamed

    first = logged.index(streamed[0])

    assert len(streamed) >= TICKS
    assert streamed == logged[first : first + len(streamed)]


@pytest.mark.parametrize("clock", [WIDE, CREATED])
def test_none_is_early(evidence: dict[str, Evidence], clock: str) -> None:
    """No tick was appended before every partition was processed past it, by the consumers' notes."""
    seen = evidence[clock]

    assert len(seen.notes) > 1_000
    assert early_ticks(seen.ticks, seen.notes, PARTITIONS[clock], OUT_OF_ORDERNESS_MS[clock]) == []


@pytest.mark.parametrize("clock", [WIDE, CREATED])
def test_no_record_comes_after_its_tick(evidence: dict[str, Evidence], clock: str) -> None:
    """No record is processed for the first time after a tick above its timestamp, with a fast producer too."""
    seen = evidence[clock]

    assert late_first_records(seen.ticks, seen.notes) == []


@pytest.mark.parametrize("clock", [WIDE, CREATED])
def test_quiet_partitions_do_not_hold_it(evidence: dict[str, Evidence], clock: str) -> None:
    """Heartbeats advance partitions that get no records: at the end the clock is only seconds behind."""
    seen = evidence[clock]
    quiet = {number for number in range(PARTITIONS[clock]) if number % 7 == 0}
    spoke = {note.partition for note in seen.notes if not note.heartbeat}

    assert spoke.isdisjoint(quiet)
    assert seen.behind_seconds <= BEHIND_S[clock]
    assert seen.state["partitions"] == {"known": PARTITIONS[clock], "unknown": 0, "excluded": 0, "rejected": 0}
