"""The pages list what the code has, and their calculated numbers are right."""

import re
from collections.abc import Callable

import pytest

from clocksvc.clock.holds import Reason, Status
from clocksvc.settings.schedules import SchedulerSettings
from tests.system.docs.blocks import blocks, text_of

pytestmark = pytest.mark.core


def test_every_reason_of_a_hold_is_explained() -> None:
    """docs/concepts.md has a line for each reason, and no other line."""
    section = text_of("docs/concepts.md").partition("### Why a clock holds")[2].partition("\n## ")[0]
    named = [name for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"\w+", cell)]

    assert sorted(named) == sorted(reason.value for reason in Reason)


def test_every_status_is_explained_once() -> None:
    """In the table of the concepts."""
    section = text_of("docs/concepts.md").partition("### The status of a clock")[2].partition("\n### ")[0]

    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == [status.value for status in Status]


def test_the_quick_start_leaves_the_schedulers_port_free() -> None:
    """Its service next to `make run` has a port that `clocksvc scheduler` does not use by default."""
    ports = re.findall(r"CLOCKSVC_API__PORT=(\d+)", text_of("docs/quick-start.md"))

    assert ports
    assert str(SchedulerSettings().port) not in ports


def _formulas(file: str) -> dict[str, Callable[..., float]]:
    (block,) = [one for one in blocks("docs/sizing.md", "python") if one.file == file]
    formulas: dict[str, Callable[..., float]] = {}
    exec(compile(block.text, block.name, "exec"), formulas)
    return formulas


def test_sizes_of_schedules_are_what_the_formulas_say() -> None:
    """The table of docs/sizing.md, calculated with the functions above it, and what was measured below it."""
    formulas, text = _formulas("schedules.py"), text_of("docs/sizing.md")
    table = re.findall(r"^\| ([\d,]+), (\d+), (\d+), (\d), ([\d,]+) \| (.*) \|$", text, re.MULTILINE)

    assert len(table) >= 4
    for *numbers, shown in table:
        schedules, each, partitions, replicas, due = (int(number.replace(",", "")) for number in numbers)
        calculated = [
            f"{formulas['scheduler_memory'](schedules, each, partitions, replicas) / 1e6:,.0f} MB",
            f"{formulas['scheduler_threads'](partitions, replicas):.0f}",
            f"{formulas['scheduler_connections'](partitions, replicas):.0f}",
            f"{formulas['schedules_topic_bytes'](schedules, each) / 1e6:,.0f} MB",
            f"{formulas['due_topic_bytes'](due, 145) / 1e9:,.1f} GB",
        ]
        assert shown.split(" | ") == calculated
    mib = 2**20
    for schedules, partitions, threads, connections, measured_mib in _MEASURED:
        assert formulas["scheduler_threads"](partitions, 1, writes=False) == threads
        assert formulas["scheduler_connections"](partitions, 1, writes=False) == connections
        memory = formulas["scheduler_memory"](schedules, 277, partitions, 1) / mib
        assert measured_mib * 0.95 < memory < measured_mib * 1.15
        assert all(f"{number:,}" in text for number in (threads, connections, measured_mib) if number)


_MEASURED = [(0, 1, 32, 12, 60), (0, 8, 179, 68, 76), (300_000, 1, 32, 12, 250), (1_000_000, 1, 32, 12, 644)]
"""Schedules, partitions; threads, connections, MiB."""


def test_sizes_are_what_the_formulas_say() -> None:
    """The table of docs/sizing.md, calculated with the functions above it."""
    formulas = _formulas("sizing.py")
    row = re.compile(r"^\| ([\d,]+), ([\d,]+), (\d+), (\d), (\d+) s \| (.*) \|$", re.MULTILINE)
    table = row.findall(text_of("docs/sizing.md"))

    assert len(table) >= 5
    for *numbers, shown in table:
        clocks, partitions, consumers, replicas, interval = (int(number.replace(",", "")) for number in numbers)
        scripts = formulas["redis_scripts_a_second"](clocks, partitions, consumers, replicas, interval)
        calculated = [
            f"{scripts:,.1f}",
            f"{formulas['redis_other_commands_a_second'](clocks, replicas, interval):,.1f}",
            f"{formulas['redis_memory'](clocks, partitions, interval) / 1e6:,.1f} MB",
            f"{formulas['kafka_heartbeat_bytes_a_day'](clocks, partitions, interval) / 1e6:,.0f} MB",
            f"{formulas['tick_log_bytes'](clocks, interval) / 1e6:,.0f} MB",
        ]
        assert shown.split(" | ") == calculated
    assert formulas["subscriber_bytes_a_second"](1_000, 60) == pytest.approx(8_833, abs=1)


def test_many_clocks_on_one_topic_are_what_the_formulas_say() -> None:
    """The tables of docs/sizing.md with the bytes of heartbeats and the connections to Redis."""
    formulas, text = _formulas("sizing.py"), text_of("docs/sizing.md")
    heartbeats = re.findall(r"^\| (\d+), (all|one) writes? heartbeats \| (.*) MB \| (.*) MB \|$", text, re.MULTILINE)
    connections = re.findall(r"^\| ([\d,]+), (\d+), (\d+) \| ([\d,]+) \|$", text, re.MULTILINE)

    assert len(heartbeats) == len(connections) == 4
    for count, kind, written, read in heartbeats:
        writers = int(count) if kind == "all" else 1
        assert written == f"{formulas['kafka_heartbeat_bytes_a_day'](writers, 16, 60) / 1e6:,.0f}"
        assert read == f"{formulas['kafka_heartbeat_bytes_read_a_day'](int(count), 16, 60, writers) / 1e6:,.0f}"
    for *numbers, shown in connections:
        assert shown == f"{formulas['redis_connections'](*(int(one.replace(',', '')) for one in numbers)):,}"


def test_the_measured_replicas_agree_with_the_formulas() -> None:
    """Scripts a second of one replica, without the reports. The formula is at most an eighth away; "2" is rounded."""
    formulas = _formulas("sizing.py")
    measured = re.findall(r"^\| ([\d,]+) of (\d+) s \|(?:[^|]*\|){6} (\d+) \|", text_of("docs/sizing.md"), re.MULTILINE)

    assert len(measured) == 6
    for count, interval, seen in measured:
        clocks = int(count.replace(",", ""))
        scripts = formulas["redis_scripts_a_second"](clocks, 0, 0, 1, int(interval))
        assert scripts == pytest.approx(int(seen), rel=0.125)
