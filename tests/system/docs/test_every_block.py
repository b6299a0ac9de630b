"""Every command and every block of the documents is in a table that says which test covers it."""

import ast
import re
import shlex
import subprocess
import tomllib

import pytest

from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, Block, blocks, commands
from tests.system.docs.handling import RULES, Elsewhere, Target, handling, rule

pytestmark = pytest.mark.core

EVERY = [command for document in DOCUMENTS for command in commands(document)]
PICTURE = ""
"""A block without a language: a drawing, or the content of a screen."""

JUDGED = {
    # (document, language, the block's name or None for all of them): the test that covers the block
    ("README.md", "python", "consumer"): "tests/system/docs/test_commands.py::test_the_readmes_consumer",
    (
        "docs/consumers.md",
        "python",
        "aio_consumer.py",
    ): "tests/system/docs/test_commands.py::test_the_aiokafka_consumer",
    (
        "docs/metrics.md",
        "python",
        "collector",
    ): "tests/unit/metrics/test_consumer_collector.py::test_the_documented_registration",
    ("docs/pipelines.md", "python", None): (
        "tests/system/ops/docs/test_observed_groups.py::test_a_tick_says_that_all_is_in_the_warehouse"
    ),
    (
        "docs/write-a-consumer.md",
        "python",
        "orders.py",
    ): "tests/system/docs/test_example_consumers.py::test_the_documented_consumer_writes_orders",
    (
        "docs/write-a-consumer.md",
        "python",
        "state",
    ): "tests/system/docs/test_example_consumers.py::test_the_documented_consumer_writes_orders",
    (
        "docs/write-a-consumer.md",
        "python",
        "livez",
    ): "tests/system/docs/test_example_consumers.py::test_the_documented_probes_answer",
    ("docs/consumers.md", "python", "several"): "tests/system/docs/test_consumers.py::test_one_reporter_for_each_topic",
    (
        "docs/consumers.md",
        "python",
        "ahead",
    ): "tests/system/docs/test_consumers.py::test_partitions_that_run_ahead_are_paused",
    (
        "docs/consumers.md",
        "python",
        "configs.py",
    ): "tests/interfaces/test_compacted_topic.py::test_the_documented_example",
    (
        "docs/testing.md",
        "python",
        "orders_consumer.py",
    ): "tests/system/docs/test_testing.py::test_the_tests_of_a_buffered_consumer",
    (
        "docs/testing.md",
        "python",
        "test_orders_consumer.py",
    ): "tests/system/docs/test_testing.py::test_the_tests_of_a_buffered_consumer",
    (
        "docs/consumers.md",
        "python",
        "retry_consumer.py",
    ): "tests/system/path/test_holds.py::test_a_tick_waits_for_a_retry_topic",
    (
        "docs/testing.md",
        "python",
        "test_consumer.py",
    ): "tests/system/docs/test_testing.py::test_the_tests_with_a_clock_in_memory",
    (
        "docs/consumers.md",
        "python",
        "gevent_consumer.py",
    ): "tests/system/docs/other_consumers.py::test_python_is_never_early",
    (
        "docs/consumers.md",
        "python",
        "faststream_consumer.py",
    ): "tests/system/docs/other_consumers.py::test_python_is_never_early",
    (
        "docs/consumers.md",
        "python",
        "arroyo_consumer.py",
    ): "tests/system/docs/other_consumers.py::test_it_reports_through_rebalances",
    (
        "docs/consumers.md",
        "python",
        "buffered",
    ): "tests/unit/client/arroyo/test_documented.py::test_the_example_of_a_buffer",
    (
        "docs/consumers.md",
        "javascript",
        "consumer.js",
    ): "tests/system/docs/other_consumers.py::test_it_reports_through_rebalances",
    ("docs/http.md", "json", "brief"): "tests/unit/api/test_clock_list.py::test_the_documented_brief_form",
    ("docs/http.md", "json", "results"): "tests/unit/api/test_schedule_import.py::test_the_documented_results",
    ("docs/outbox.md", "python", "product"): "tests/interfaces/test_outbox.py::test_the_documented_product",
    ("docs/outbox.md", "sql", "tables"): "tests/interfaces/test_outbox.py::test_the_documented_tables",
    ("docs/outbox.md", "sql", "put"): "tests/interfaces/test_outbox.py::test_the_documented_statements",
    ("docs/outbox.md", "sql", "delete"): "tests/interfaces/test_outbox.py::test_the_documented_statements",
    (
        "README.md",
        "python",
        "schedules",
    ): "tests/system/docs/test_commands.py::test_the_guides_programs_write_schedules",
    (
        "docs/schedules.md",
        "python",
        "own.py",
    ): "tests/system/docs/test_commands.py::test_the_guides_programs_write_schedules",
    (
        "docs/schedules.md",
        "python",
        "direct",
    ): "tests/system/docs/test_commands.py::test_the_guides_programs_write_schedules",
    ("docs/schedules.md", "python", "worker.py"): "tests/system/docs/test_commands.py::test_workers_get_what_is_due",
    ("docs/schedules.md", "python", "once"): "tests/system/docs/test_commands.py::test_workers_get_what_is_due",
    ("README.md", "python", "follow"): "tests/system/docs/test_commands.py::test_the_readmes_follower",
    ("README.md", "python", "follow-aio"): "tests/system/docs/test_commands.py::test_the_readmes_follower",
    ("README.md", "python", "jobs"): "tests/system/beat/test_documented.py::test_the_readmes_jobs",
    (
        "docs/jobs.md",
        "python",
        "worker.py",
    ): "tests/system/beat/test_task_worker.py::test_the_worker_follows_the_retry_state",
    (
        "docs/jobs.md",
        "python",
        "uptime_app.py",
    ): "tests/system/beat/test_due_schedules.py::test_a_worker_runs_due_schedules",
    ("docs/jobs.md", "python", None): "tests/system/beat/test_documented.py::test_every_command_is_valid",
    (
        "docs/quick-start.md",
        "python",
        "consumer.py",
    ): "tests/system/docs/test_commands.py::test_the_quick_start_comes_to_its_first_tick",
    (
        "docs/quick-start.md",
        "python",
        "topic.py",
    ): "tests/system/docs/test_commands.py::test_the_quick_start_comes_to_its_first_tick",
    (
        "docs/moving-over.md",
        "python",
        "compare.py",
    ): "tests/system/docs/test_moving_over.py::test_compared_tick_by_tick",
    ("docs/sizing.md", "python", "sizing.py"): "tests/system/docs/test_facts.py::test_sizes_are_what_the_formulas_say",
    (
        "docs/sizing.md",
        "python",
        "schedules.py",
    ): "tests/system/docs/test_facts.py::test_sizes_of_schedules_are_what_the_formulas_say",
    (
        "docs/reading-ticks.md",
        "python",
        "read_ticks.py",
    ): "tests/system/docs/test_reading_ticks.py::test_the_python_reader",
    (
        "docs/reading-ticks.md",
        "java",
        "ReadTicks.java",
    ): "tests/system/docs/test_reading_ticks.py::test_the_java_reader",
    (
        "docs/reading-ticks.md",
        "json",
        None,
    ): "tests/system/docs/test_reading_ticks.py::test_the_value_on_the_page_follows_the_schema",
    (
        "docs/security.md",
        "text",
        None,
    ): "tests/system/security/test_secured_installation.py::test_the_whole_runs_with_exactly_these",
}


def test_every_command_is_in_the_table() -> None:
    """A new command must be added to the table."""
    assert [command for command in EVERY if handling(command) is None] == []


def test_every_row_of_the_table_is_of_use() -> None:
    """A row without a command must be removed."""
    used = {rule(command) for command in EVERY}

    assert [RULES[index][:2] for index in range(len(RULES)) if index not in used] == []


def test_every_block_is_judged() -> None:
    """Configurations by test_configurations.py, commands by test_commands.py, all else by the table above."""
    everything = [block for document in DOCUMENTS for block in blocks(document)]
    rest = [block for block in everything if block.language not in (PICTURE, "yaml", "console", "sh")]
    table = JUDGED.keys()

    unknown = [
        block[:3]
        for block in rest
        if not {(block.document, block.language, block.name), (block.document, block.language, None)} & table
    ]

    assert unknown == []
    assert [key for key in table if not any(_is(block, key) for block in rest)] == []
    assert [block.document for block in everything if block.language == PICTURE and "\n$ " in f"\n{block.text}"] == []


def _is(block: Block, key: tuple[str, str, str | None]) -> bool:
    return (block.document, block.language) == key[:2] and key[2] in (None, block.name)


@pytest.mark.parametrize(
    "test", sorted({way.test for _, _, way in RULES if isinstance(way, Elsewhere)} | set(JUDGED.values()))
)
def test_what_is_judged_elsewhere_is(test: str) -> None:
    """The named test exists."""
    file, _, function = test.partition("::")
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    assert function in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("typed", sorted({command.text for command in EVERY if isinstance(handling(command), Target)}))
def test_make_has_the_target(typed: str) -> None:
    """`make -n` accepts it."""
    done = subprocess.run([*shlex.split(typed), "-n"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_what_is_installed_is_there() -> None:
    """Each `pip install` is of this package, with extras that it has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    typed = [command.text for command in EVERY if command.text.startswith("pip install")]

    assert typed
    for line in typed:
        found = re.fullmatch(r"pip install '?(/path/to/this/clone|clocksvc)(?:\[([\w,]+)\])?'?", line)
        assert found, line
        assert {extra for extra in (found[2] or "").split(",") if extra} <= set(extras)
