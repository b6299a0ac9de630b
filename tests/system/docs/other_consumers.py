"""docs/consumers.md: the examples for aiokafka, Arroyo, FastStream, gevent and kafkajs, on real servers.

`make consumers` runs them. They are not part of `make test`, because they take minutes, and install gevent and kafkajs,
which needs Node and the npm registry.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.system.clock_fixture import ClockFixture
from tests.system.docs.blocks import blocks
from tests.system.docs.documented_installation import TIMEOUT_S, DocumentedInstallation, quick_start
from tests.system.rebalanced_consumers import for_clock, run_through_rebalances, with_notes
from tests.waiting import eventually

pytestmark = pytest.mark.path

NODE = ROOT / "examples" / "node"
HEARTBEAT = 'if (!("clocksvc-heartbeat" in (message.headers ?? {}))) await handle(message);'
NOTE = """
require("fs").appendFileSync(process.env.NOTES, [batch.partition, message.offset, message.timestamp, Date.now(),
  "clocksvc-heartbeat" in (message.headers ?? {}) ? 1 : 0].join(" ") + "\\n");
"""
GEVENT = "gevent==26.9.0"
NOTED = {
    # program: (the line before which it notes, the records)
    "aio_consumer.py": ("            try:\n                await consumer.commit()", "records"),
    "faststream_consumer.py": ("    await message.ack()", "[record]"),
    "gevent_consumer.py": ("    try:\n        consumer.commit(", "records"),
}
HANDLED_MANY = 'print("handled", len(records), flush=True)'
HANDLED_EACH = '[print("handled", record.value, flush=True) for record in records]'
PROGRAMS = {
    "arroyo_consumer.py": "python arroyo_consumer.py",
    "consumer.js": "node consumer.js",
}


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[DocumentedInstallation]:
    """The installation of the quick start, without its consumer."""
    with quick_start(tmp_path_factory.mktemp("consumers"), bootstrap) as made:
        made.end("python consumer.py")
        yield made


def install_kafkajs(folder: Path) -> None:
    """Install the version of the example with npm."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    shutil.copy(NODE / "package.json", folder)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_reports_through_rebalances(documented: DocumentedInstallation, program: str) -> None:
    """Two processes take turns: the clock ticks with one, with both, and after one has ended. SIGTERM ends each."""
    if program == "consumer.js":
        install_kafkajs(documented.folder)
    (block,) = [block for block in blocks("docs/consumers.md") if block.name == program]
    first, second = PROGRAMS[program], PROGRAMS[program].replace(program, f"second-{program}")
    for name in (program, f"second-{program}"):
        documented.write(name, block.text)

    documented.start(first)
    documented.until_ticking()
    documented.start(second)
    eventually(lambda: documented.output(second), within=TIMEOUT_S, what="the second process to start")
    for _ in range(3):
        documented.until_ticking()
    assert documented.end(second) == 0
    documented.until_ticking()

    assert documented.end(first) == 0
    for command in (first, second):
        assert "Traceback" not in documented.output(command)
        assert "report failed" not in documented.output(command)


@pytest.mark.parametrize("program", NOTED)
def test_python_is_never_early(tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str, program: str) -> None:
    """Two processes in real rebalances, judged by what they note once they have handled a record."""
    (block,) = [block for block in blocks("docs/consumers.md", "python") if block.name == program]
    before, records = NOTED[program]
    indent = before[: len(before) - len(before.lstrip())]
    packages = [tmp_path, ROOT]
    if program == "gevent_consumer.py":
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", tmp_path, GEVENT], check=True)

    def command(clock: ClockFixture, notes: Path) -> Sequence[str | Path]:
        note = (
            f"{indent}from tests.system.evidence import append_notes\n{indent}append_notes({str(notes)!r}, {records})"
        )
        source = with_notes(block.text, before, note).replace(HANDLED_MANY, HANDLED_EACH)
        addresses = {"localhost:9092": bootstrap, "redis://localhost:6379/0": clock.installation.report_url}
        own_program = tmp_path / f"{notes.stem}.py"
        own_program.write_text(for_clock(source, clock, addresses), encoding="utf-8")
        return ["env", f"PYTHONPATH={os.pathsep.join(map(str, packages))}", sys.executable, own_program]

    run = run_through_rebalances(tmp_path, bootstrap, redis_url, key_prefix, command)

    run.judge()
    assert "Traceback" not in "".join(run.outputs)


def test_node_is_never_early(tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str) -> None:
    """Two processes of examples/node in real rebalances, judged by their notes."""
    install_kafkajs(tmp_path)

    def command(clock: ClockFixture, notes: Path) -> Sequence[str | Path]:
        source = with_notes((NODE / "consumer.js").read_text(encoding="utf-8"), HEARTBEAT, NOTE)
        addresses = {"localhost:9092": bootstrap, "http://localhost:8080": clock.installation.url}
        program = tmp_path / f"{notes.stem}.js"
        program.write_text(for_clock(source, clock, addresses), encoding="utf-8")
        return ["env", f"NOTES={notes}", "node", program]

    run = run_through_rebalances(tmp_path, bootstrap, redis_url, key_prefix, command)

    run.judge()
    assert "report failed" not in "".join(run.outputs)
