"""A million schedules: reading values, building the wheel, memory, and a tick; then the same with Kafka."""

import gc
import json
import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from clocksvc.schedules.due_log import tick_records
from clocksvc.schedules.entry import Entry, read_entry
from clocksvc.schedules.schedule import parse_schedule
from clocksvc.schedules.wheel import ScheduleWheel
from tests.bench import bench_schedule_partition
from tests.bench.figures import Figure, Spread, interleaved, ratios
from tests.unit.schedules.beat import ZONES

SCHEDULES, CRONS = 1_000_000, 100_000
BYTES = 277
DUE_A_TICK = 16_667
PAIRS = 3
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
NOW_MS = 1_795_348_800_000
AUTUMN_MS = 1_792_890_000_000
"""25 October 2026, 01:00 UTC: the clocks of Europe go back."""
_SCAN = re.compile(rb'"interval":"(\d+)s"')

Record = tuple[bytes, bytes]


def run(bootstrap: str) -> list[Figure]:
    """The figures without Kafka are of one process and one core."""
    for zone in ZONES:
        ZoneInfo(zone)
    hourly = _records([3_600])
    mixed = _records(list(range(60, 3_601, 60)))
    figures = [*_bench_reading(mixed), *_bench_build(mixed), *_bench_tick(hourly)]
    figures += bench_schedule_partition.run(bootstrap, mixed, hourly)
    del hourly, mixed
    with multiprocessing.get_context("spawn").Pool(1) as process:
        bytes_each, wheel_bytes = process.apply(_memory)
    figures.append(
        Figure(
            f"memory of {SCHEDULES:,} schedules of {BYTES} bytes, with keys and values",
            f"{bytes_each:.0f} bytes each; entry and wheel alone {wheel_bytes:.0f}",
            "at most 100 for entry and wheel",
            wheel_bytes <= 100,
        )
    )
    return [*figures, *_bench_crons()]


def _records(intervals_s: list[int]) -> list[Record]:
    """Keys of 32 bytes, and values that make 277 bytes with them."""
    values = []
    for interval_s in intervals_s:
        fields = {
            "interval": interval_s,
            "task": "uptime.check",
            "payload": {"url": "https://example.com/health", "pad": ""},
        }
        short = parse_schedule(fields, MINUTE_MS, NOW_MS - HOUR_MS).encode()
        values.append(short.replace(b'"pad":"', b'"pad":"' + b"x" * (BYTES - 32 - len(short))))
    rng = random.Random(7)
    return [(f"{number:032x}".encode(), bytes(bytearray(rng.choice(values)))) for number in range(SCHEDULES)]


def _timed(run: Callable[[], object]) -> float:
    """Seconds of processor time, with the collector off, as it is while a table is loaded."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    kept = run()
    took = time.process_time() - began
    del kept
    gc.enable()
    return took


def _bench_reading(records: list[Record]) -> list[Figure]:
    contestants: dict[str, Callable[[], object]] = {
        "read_entry (msgspec), all fields checked": lambda: [read_entry(key, value) for key, value in records],
        "json.loads": lambda: [json.loads(value)["interval"] for _, value in records],
        "a regular expression for the interval alone": lambda: [_scan(value) for _, value in records],
    }
    walls = interleaved(PAIRS, *(partial(_timed, one) for one in contestants.values()))
    return [
        Figure(
            f"{SCHEDULES:,} values, {name}",
            f"{Spread.of(took).show('s')}; {ratios(took, walls[1]).show()} times json",
            *(("at most half of json", ratios(took, walls[1]).median <= 0.5) if number == 0 else ()),
        )
        for number, (name, took) in enumerate(zip(contestants, walls, strict=True))
    ]


def _scan(value: bytes) -> int:
    match = _SCAN.search(value)
    assert match is not None
    return int(match[1])


def _built(entries: list[Entry]) -> ScheduleWheel:
    wheel = ScheduleWheel(NOW_MS)
    wheel.add(entries)
    return wheel


def _bench_build(records: list[Record]) -> list[Figure]:
    took = Spread.of([_timed(partial(_built, [read_entry(*one) for one in records])) for _ in range(PAIRS)])
    name = f"a wheel of {SCHEDULES:,} schedules, 60 s to 1 h"
    return [Figure(name, took.show("s"), "at most 1 s", took.median <= 1.0)]


def _bench_tick(records: list[Record]) -> list[Figure]:
    """Ticks one minute apart, each with a sixtieth of all schedules."""
    wheel = _built([read_entry(*one) for one in records])
    decided, encoded, sizes = [], [], []
    for number in range(1, 11):
        tick_ms = NOW_MS + number * MINUTE_MS
        began = time.process_time()
        found = wheel.advance(tick_ms, MINUTE_MS, tick_ms, tick_ms)
        decided.append((time.process_time() - began) * 1000)
        began = time.process_time()
        sizes.append(sum(1 for _ in tick_records("checkins", found, tick_ms)))
        encoded.append((time.process_time() - began) * 1000)
    both = [one + other for one, other in zip(decided, encoded, strict=True)]
    shown = f"decided in {Spread.of(decided).show('ms', 0)}, records made in {Spread.of(encoded).show('ms', 0)}"
    name = f"a tick of {len(wheel):,} schedules with {min(sizes):,} to {max(sizes):,} due"
    return [Figure(name, shown, "at most 300 ms, of 500 ms with Kafka", Spread.of(both).median <= 300)]


def _bench_crons() -> list[Figure]:
    """Two days of hourly ticks around a change of clocks."""
    rng, entries = random.Random(3), []
    begin_ms = AUTUMN_MS - 24 * HOUR_MS
    for number in range(CRONS):
        cron = (
            f"{rng.randrange(60)} {rng.choice(['*', '*/2', str(rng.randrange(24))])} * * {rng.choice(['*', 'mon-fri'])}"
        )
        fields = {"cron": cron, "timezone": rng.choice(ZONES), "task": "billing.report"}
        entries.append(read_entry(b"%d" % number, parse_schedule(fields, MINUTE_MS, begin_ms).encode()))
    began = time.process_time()
    wheel = ScheduleWheel(begin_ms)
    wheel.add(entries)
    built_s = time.process_time() - began
    due, took = 0, []
    for hour in range(1, 49):
        tick_ms = begin_ms + hour * HOUR_MS
        began = time.process_time()
        due += len(wheel.advance(tick_ms, HOUR_MS, tick_ms, tick_ms).due)
        took.append(time.process_time() - began)
    shown = f"built in {built_s:.2f} s; {due:,} due in 48 ticks of an hour, {sum(took) / due * 1e6:.1f} us each"
    return [Figure(f"{CRONS:,} cron expressions in {len(ZONES)} time zones, through a change of clocks", shown)]


def _memory() -> tuple[float, float]:
    before = _resident()
    records = _records(list(range(60, 3_601, 60)))
    gc.collect()
    with_records = _resident()
    wheel = ScheduleWheel(NOW_MS)
    wheel.add(read_entry(*one) for one in records)
    after = _resident()
    assert len(wheel) == SCHEDULES
    return (after - before) / SCHEDULES, (after - with_records) / SCHEDULES


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
