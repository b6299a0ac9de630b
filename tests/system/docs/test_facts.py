"""The pages list what the code has, and their calculated numbers are right."""

import re
from collections.abc import Callable

import pytest

from clocksvc.clock.holds import Reason
from tests.system.docs.blocks import blocks, text_of

pytestmark = pytest.mark.core


def test_every_reason_of_a_hold_is_explained() -> None:
    """docs/concepts.md has a line for each reason, and no other line."""
    section = text_of("docs/concepts.md").partition("### Why a clock holds")[2].partition("\n## ")[0]
    named = [name for cell in re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE) for name in re.findall(r"\w+", cell)]

    assert sorted(named) == sorted(reason.value for reason in Reason)


def test_sizes_are_what_the_formulas_say() -> None:
    """The table of docs/sizing.md, calculated with the functions above it."""
    (block,) = blocks("docs/sizing.md", "python")
    formulas: dict[str, Callable[..., float]] = {}
    exec(compile(block.text, block.name, "exec"), formulas)
    table = re.findall(r"^\| ([\d,]+), (\d+), (\d), (\d+) s \| (.*) \|$", text_of("docs/sizing.md"), re.MULTILINE)

    assert len(table) >= 5
    for partitions, consumers, replicas, interval, shown in table:
        given = int(partitions.replace(",", "")), int(consumers), int(replicas), int(interval)
        count, _, _, seconds = given
        calculated = [
            f"{formulas['redis_scripts_a_second'](*given):,.1f}",
            f"{formulas['redis_commands_a_second'](*given):,.0f}",
            f"{formulas['redis_bytes_a_second'](*given) / 1e3:,.1f} KB/s",
            f"{formulas['redis_memory'](count, seconds) / 1e6:,.1f} MB",
            f"{formulas['kafka_heartbeat_bytes_a_day'](count, seconds) / 1e6:,.0f} MB",
            f"{formulas['tick_log_bytes'](seconds) / 1e6:,.0f} MB",
        ]
        assert shown.split(" | ") == calculated
    assert formulas["subscriber_bytes_a_second"](1_000, 60) == pytest.approx(8_833, abs=1)
