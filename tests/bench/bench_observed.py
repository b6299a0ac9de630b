"""The cost of clocks from committed offsets: one replica with 1,000 clocks of 60 s over 2,000 partitions.

Each clock has a topic of two partitions and a group of its own. Each partition gets a record each 5 s, and each group
commits each 5 s. `CLOCKS` in the environment is the number of clocks, `WINDOW` how many seconds are measured.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.bench.figures import Figure, percentile
from tests.bench.process_load import connections, cpu_s, resident_mib, threads
from tests.process import module
from tests.system.evidence import TickWithOffset, broken_links, read_all_ticks
from tests.system.installation import Installation, wall_ms
from tests.waiting import eventually

CLOCKS = int(os.environ.get("CLOCKS", "1000"))
WINDOW_S = float(os.environ.get("WINDOW", "120"))
PARTITIONS, INTERVAL_S, POLL_S, CREATED_AT_ONCE = 2, 60, 5, 100
BEHIND_S = POLL_S + 2.0
OBSERVER_CORES = 0.15


def run(folder: Path, kafka: KafkaServer, valkey: ValkeyServer) -> Iterator[Figure]:
    """Start, measure for `WINDOW_S`, and compare the ticks with what the groups have committed."""
    name = f"observed-{CLOCKS}-{wall_ms() % 10**8}"
    clocks = {f"group-{number:04}": f"{name}-{number:04}" for number in range(CLOCKS)}
    _create(kafka.bootstrap, list(clocks.values()))
    configured = {
        # Records of all partitions come more often than this: a drained partition is passed by its next record.
        clock: {"topics": [topic], "group": clock, "interval": f"{INTERVAL_S}s", "source": "committed"}
        | {"poll": f"{POLL_S}s", "drain_delay": "30s"}
        for clock, topic in clocks.items()
    }
    (own := folder / name).mkdir()
    (own / "clocks.json").write_text(json.dumps([[clock, topic, clock, PARTITIONS] for clock, topic in clocks.items()]))
    arguments = (kafka.bootstrap, str(INTERVAL_S), str(own / "clocks.json"))
    with (
        Installation(own, kafka.bootstrap, valkey.url, name, configured) as installation,
        subprocess.Popen(
            module("tests.bench.observed_load", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as load,
    ):
        try:
            installation.start_replica()
            yield from _measured(installation, load, kafka, valkey, list(clocks))
        finally:
            load.kill()


def _measured(
    installation: Installation,
    load: "subprocess.Popen[str]",
    kafka: KafkaServer,
    valkey: ValkeyServer,
    clocks: list[str],
) -> Iterator[Figure]:
    what = f"{len(clocks):,} observed clocks of {INTERVAL_S} s"
    eventually(lambda: _all_tick(installation), within=300.0, what="all clocks to tick")
    service = installation.processes["serve"].pid
    observer = max(_children(service), key=cpu_s)
    pids = {"service": service, "observer": observer, "Kafka": kafka.pid or 0, "Redis": valkey.pid or 0}
    began_ms, began, used = wall_ms(), time.monotonic(), {one: cpu_s(pid) for one, pid in pids.items()}
    counted = _counters(installation)
    time.sleep(WINDOW_S)
    took_s, ended_ms = time.monotonic() - began, wall_ms()
    cores = {one: (cpu_s(pid) - used[one]) / took_s for one, pid in pids.items()}
    made = {counter: (value - counted.get(counter, 0.0)) / took_s for counter, value in _counters(installation).items()}
    seen = ", ".join(f"{one} {value:.3f}" for one, value in cores.items())
    yield Figure(
        f"{what}: CPU", f"{seen} cores", f"observer at most {OBSERVER_CORES:g}", cores["observer"] <= OBSERVER_CORES
    )
    yield Figure(f"{what}: requests a second to Kafka", ", ".join(f"{one} {value:.1f}" for one, value in made.items()))
    connected = (
        f"{connections(observer, kafka.port)} connections to Kafka, {connections(observer, valkey.port)} to Redis"
    )
    taken = f"{resident_mib(observer):.0f} MiB, {threads(observer)} threads, {connected}"
    yield Figure(f"{what}: the observer's process", taken)
    committed = {(clock, at_ms): ms for clock, at_ms, ms in json.loads(load.communicate("\n", 90)[0])}
    time.sleep(2 * POLL_S)
    yield from _ticks(
        what, clocks, committed, read_all_ticks(kafka.bootstrap, installation.tick_log), began_ms, ended_ms
    )


def _ticks(
    what: str,
    clocks: list[str],
    committed: dict[tuple[str, int], int],
    ticks: dict[str, list[TickWithOffset]],
    began_ms: int,
    ended_ms: int,
) -> Iterator[Figure]:
    """How long after the commit of the last partition each tick was appended; and whether the chains are complete."""
    appended_ms = {(clock, tick.at_ms): tick.appended_ms for clock in clocks for tick in ticks[clock]}
    in_window = {tick: ms for tick, ms in committed.items() if began_ms <= ms < ended_ms}
    behind_s = [(appended_ms[tick] - ms) / 1000 for tick, ms in in_window.items() if tick in appended_ms]
    p50, p99 = percentile(behind_s, 50), percentile(behind_s, 99)
    yield Figure(
        f"{what}: behind the commit, {len(behind_s):,} ticks",
        f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {max(behind_s):.2f} s",
        f"p99 {BEHIND_S:g} s",
        p99 <= BEHIND_S,
    )
    wrong = [f"{clock}: {link}" for clock in clocks for link in broken_links(ticks[clock], INTERVAL_S * 1000)]
    first_ms = {clock: chain[0].at_ms for clock, chain in ticks.items()}
    wrong += [
        f"{clock} has no tick {at}"
        for clock, at in in_window
        if at >= first_ms[clock] and (clock, at) not in appended_ms
    ]
    # A commit takes effect before its answer, which is noted.
    wrong += [
        f"{tick} {-seconds:.1f} s early" for tick, seconds in zip(in_window, behind_s, strict=False) if seconds < -1.0
    ]
    yield Figure(
        f"{what}: {len(appended_ms):,} ticks", "; ".join(wrong[:3]) or "none lost, twice or early", "none", not wrong
    )


def _all_tick(installation: Installation) -> bool:
    answer = http_client.get(f"{installation.url}/v1/clocks?status=starting&limit=1", timeout=60)
    return answer.status_code == 200 and not answer.json()["clocks"]


def _counters(installation: Installation) -> dict[str, float]:
    """The observer's counters, by the kind of request."""
    text = http_client.get(f"{installation.url}/metrics", timeout=60).text
    found = re.findall(r'^clocksvc_observer_requests_total\{.*?kind="(\w+)".*?\} (\S+)', text, re.MULTILINE)
    reads = re.search(r"^clocksvc_observer_record_reads_total(?:\{.*?\})? (\S+)", text, re.MULTILINE)
    return {kind: float(value) for kind, value in found} | {"records read": float(reads[1]) if reads else 0.0}


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def _create(bootstrap: str, topics: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    kept = {"message.timestamp.type": "LogAppendTime"}
    for start in range(0, len(topics), CREATED_AT_ONCE):
        new = [NewTopic(topic, PARTITIONS, 1, config=kept) for topic in topics[start : start + CREATED_AT_ONCE]]
        for created in admin.create_topics(new, operation_timeout=60, request_timeout=60).values():
            created.result(90)
