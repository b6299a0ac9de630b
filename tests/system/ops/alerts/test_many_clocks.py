"""With many clocks, a common cause fires a few alerts, not one for each clock, and there is no gap. Run by promtool.

promtool reads at most 10,000 samples at once, so there are 100 clocks; `test_live_many_clocks.py` has 2,000.
"""

import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.system.ops.alerts.rule_files import RULES
from tests.system.ops.alerts.test_scenarios import told

CLOCKS = [f"clock-{number:04}" for number in range(100)]
BEGIN, MINUTES = 10, 45
"""When the cause begins, and the length of a scenario. A clock ticks each minute."""
ALWAYS = f"x{MINUTES}"
FIRING = 'ALERTS{alertname="ClocksvcTopicMissing",alertstate="firing"}'
COMMON = ("namespace", "prod"), ("job", "clocksvc")

Series = Iterator[dict[str, str]]


def series(metric: str, values: str, **labels: str) -> dict[str, str]:
    """One series of promtool."""
    every = ",".join(f'{name}="{value}"' for name, value in (*COMMON, *labels.items()))
    return {"series": f"clocksvc_{metric}{{{every}}}", "values": values}


def of_clock(clock: str, reason: str | None, *, ticks: bool = True, partitions: int = 0) -> Series:
    """What two replicas export of a clock that holds from BEGIN on for a reason, or without one ticks until then."""
    log = str(zlib.crc32(clock.encode()) % 16)
    stops = f"0+60x{BEGIN} {60 * BEGIN}x{MINUTES - BEGIN - 1}"
    for instance in "ab":
        at = {"instance": instance, "clock": clock}
        yield series("interval_seconds", f"60{ALWAYS}", **at)
        yield series("hold_after_seconds", f"120{ALWAYS}", **at)
        yield series("max_out_of_orderness_seconds", f"10{ALWAYS}", **at)
        yield series("leader", f"{int(instance == 'a')}{ALWAYS}", **at, log=log)
        moving = f"0+60{ALWAYS}" if ticks else stops
        yield series("last_tick_emitted_timestamp_seconds", moving, **at)
        yield series("global_clock_timestamp_seconds", moving, **at)
        if reason is None:
            yield series("holding", f"0{ALWAYS}", **at, reason="none")
            continue
        yield series("holding", f"0x{BEGIN} stale", **at, reason="none")
        yield series("holding", f"_x{BEGIN + 1} 1{ALWAYS}", **at, reason=reason)
        for number in range(partitions):
            named = {"topic": f"topic-of-{clock}", "partition": str(number)}
            yield series("holding_partition", f"_x{BEGIN + 1} 1{ALWAYS}", **at, **named)


def firing(tmp_path: Path, promtool: Path, inputs: Iterable[dict[str, str]], expected: Mapping[str, int]) -> str:
    """Return promtool's errors: if alerts other than `expected` (by name) fire at the end, or if any fired before."""
    tests = [
        {
            "name": "many clocks",
            "interval": "1m",
            "input_series": [series("build_info", f"1{ALWAYS}", instance="a", version="0.1.0"), *inputs],
            "promql_expr_test": [
                {
                    "eval_time": f"{MINUTES - 1}m",
                    "expr": 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))',
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": number} for name, number in expected.items()
                    ],
                }
            ],
        }
    ]
    path = tmp_path / "many.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(rule) for rule in RULES], "evaluation_interval": "1m", "tests": tests})
    )
    return told(promtool, "test", "rules", path)


def test_redis_is_away(promtool: Path, tmp_path: Path) -> None:
    """One alert for Redis, and one for the clocks that do not move, in all of the outage."""
    inputs = itertools.chain.from_iterable(of_clock(clock, "store_unavailable", ticks=False) for clock in CLOCKS)

    expected = {"ClocksvcStoreUnavailable": 1, "ClocksvcClockNotMoving": 1, "ClocksvcClockFarBehind": 1}
    assert firing(tmp_path, promtool, inputs, expected) == ""


def test_kafka_is_away(promtool: Path, tmp_path: Path) -> None:
    """One alert for each reason that clocks give, and one for those that do not move."""
    reasons = ("ticklog_unavailable", "metadata_unavailable", "leader_stuck", "no_leader")
    inputs = itertools.chain.from_iterable(
        of_clock(clock, reason, ticks=False) for clock, reason in zip(CLOCKS, itertools.cycle(reasons), strict=False)
    )

    expected = {
        "ClocksvcTickLogUnwritable": 1,
        "ClocksvcMetadataUnavailable": 1,
        "ClocksvcClockHolding": 1,
        "ClocksvcNoLeader": 1,
        "ClocksvcClockNotMoving": 1,
        "ClocksvcClockFarBehind": 1,
    }
    assert firing(tmp_path, promtool, inputs, expected) == ""


def test_all_consumers_are_down_while_one_clock_holds_already(promtool: Path, tmp_path: Path) -> None:
    """Two partitions hold each clock: one alert for all. The clock that held before has had its own."""
    inputs = [one for clock in CLOCKS[1:] for one in of_clock(clock, "partition_behind", ticks=False, partitions=2)]
    before = [
        *of_clock(CLOCKS[0], None),
        *(
            series("holding_partition", f"1{ALWAYS}", instance=instance, clock=CLOCKS[0], topic="first", partition="7")
            for instance in "ab"
        ),
    ]

    expected = {"ClocksvcPartitionHolding": 2, "ClocksvcClockNotMoving": 1, "ClocksvcClockFarBehind": 1}
    assert firing(tmp_path, promtool, [*inputs, *before], expected) == ""


def test_all_schedulers_are_down(promtool: Path, tmp_path: Path) -> None:
    """Two partitions of schedules of each clock have no owner, and are late: one alert each."""
    inputs = [one for clock in CLOCKS for one in of_clock(clock, None)]
    for clock in CLOCKS:
        inputs.append(series("schedule_partitions", f"0x{BEGIN} 2{ALWAYS}", instance="a", clock=clock, state="unowned"))
        inputs += [
            series(
                "scheduler_position_timestamp_seconds", f"0{ALWAYS}", instance="s", clock=clock, partition=str(number)
            )
            for number in range(2)
        ]

    assert firing(tmp_path, promtool, inputs, {"ClocksvcSchedulesWithoutOwner": 1, "ClocksvcSchedulesLate": 1}) == ""


def test_ten_clocks_are_named(promtool: Path, tmp_path: Path) -> None:
    """Of 100 clocks, ten hold: each has its own alerts."""
    inputs = [
        one
        for number, clock in enumerate(CLOCKS)
        for one in of_clock(clock, "partition_behind" if number < 10 else None, ticks=number >= 10, partitions=2)
    ]

    expected = {"ClocksvcPartitionHolding": 20, "ClocksvcClockNotMoving": 10, "ClocksvcClockFarBehind": 10}
    assert firing(tmp_path, promtool, inputs, expected) == ""


@pytest.mark.parametrize(("held", "end"), [("x5", "x5"), ("x1", "x0"), ("x0", "x2"), ("x2", "x2"), ("x7", "x0")])
def test_one_of_the_two_alerts_fires_while_the_number_changes(
    promtool: Path, tmp_path: Path, held: str, end: str
) -> None:
    """Ten clocks hold all the time; three more hold again and again, for some minutes each. From the third minute on
    there is no minute without an alert."""
    pattern = f"_x3 {' '.join([f'1{held} stale', f'_{end}'] * 40)}"
    inputs = [
        series("holding", "1x100", instance="a", clock=clock, reason="topic_missing") for clock in CLOCKS[:10]
    ] + [series("holding", pattern, instance="a", clock=clock, reason="topic_missing") for clock in CLOCKS[10:13]]
    tests = [
        {
            "interval": "1m",
            "input_series": inputs,
            "promql_expr_test": [
                {
                    "eval_time": "100m",
                    "expr": f"min_over_time((count({FIRING}) or vector(0))[97m:1m]) > bool 0",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
    ]
    path = tmp_path / "changing.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(rule) for rule in RULES], "evaluation_interval": "1m", "tests": tests})
    )

    assert told(promtool, "test", "rules", path) == ""
