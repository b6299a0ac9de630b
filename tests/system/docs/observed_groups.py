"""docs/committed-offsets.md, docs/pipelines.md, and "Work done" of docs/schedules.md, as their reader does it.

`make test` runs them with substitutes of Kafka's programs, `make test-ops` with Kafka's own.
"""

import json
import re
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import yaml

from clocksvc.clock.time_format import parse_timestamp
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.docs.blocks import blocks, commands
from tests.system.docs.documented_installation import TIMEOUT_S, DocumentedInstallation
from tests.waiting import eventually

PAGE, PIPELINE, SCHEDULES = "docs/committed-offsets.md", "docs/pipelines.md", "docs/schedules.md"
CONSOLE_CONSUMER, SERVE = "kafka-console-consumer.sh", "clocksvc serve"
QUICK = {"interval": "1s", "poll": "1s", "hold_after": "2s", "max_past": "3650d"}
"""Replaces the documents' settings: a test does not wait for 10 s."""


def command(document: str, begins: str) -> str:
    """The only command of a page that begins with a text."""
    [text] = {one.text for one in commands(document) if one.text.startswith(begins)}
    return text


def file(document: str, name: str) -> str:
    """A file of a page, by the name in its first line."""
    [text] = [block.text for block in blocks(document) if block.file == name]
    return text


@contextmanager
def observed_groups(
    folder: Path, bootstrap: str, scripts: Mapping[str, str] = MappingProxyType({})
) -> Iterator[DocumentedInstallation]:
    """The pages up to `clocksvc serve`, with one service for all of their clocks.

    Args:
        scripts: replace the substitutes of Kafka's programs, by name.
    """
    prefix = f"groups-{folder.stat().st_ino}"
    with ValkeyServer() as valkey:
        made = DocumentedInstallation(
            folder,
            bootstrap,
            valkey.url,
            prefix,
            {"CLOCKSVC_CONFIG": "observed.yaml", "CLOCKSVC_SCHEDULER__PORT": "0"},
            clocks=(),
            topics=("shop-payments", "shop-orders", "shop-orders-enriched", "ingest-checkins"),
        )
        # topics of schedules are named after their clock
        made.names |= {"checkins": f"{prefix}-checkins", "checkins-due": f"{prefix}-checkins-due"}
        for name, clock in _clocks(made).items():
            variable = name.upper().replace("-", "_")
            made.environ[f"CLOCKSVC_CLOCKS__{variable}"] = json.dumps(clock)
        for name, line in scripts.items():
            made.write_program(name, line)
        try:
            made.write("observed.yaml", file(PAGE, "observed.yaml"))
            made.write("orders_topics.py", file(PIPELINE, "orders_topics.py"))
            yield made
        finally:
            made.close()


def _clocks(made: DocumentedInstallation) -> dict[str, dict[str, object]]:
    """The clocks of all pages, with settings that need no waiting."""
    pages = [file(PAGE, "observed.yaml"), file(PIPELINE, "pipeline.yaml"), file(SCHEDULES, "done.yaml")]
    found = {}
    for page in pages:
        for name, clock in yaml.safe_load(made.named(page))["clocks"].items():
            # without a consumer that reports: the topic of the schedules' clock is empty
            drained = {} if "after" in clock else {"source": "committed", "drain_delay": "0s"}
            found[name] = clock | QUICK | drained
    return found


def start(made: DocumentedInstallation) -> None:
    """Create the topics, start the console consumer and the service, and wait until it is ready."""
    for typed in (command(PAGE, "kafka-topics.sh"), command(PIPELINE, "python orders_topics.py")):
        done = made.run(typed)
        assert done.returncode == 0, done.stdout + done.stderr
    made.start(command(PAGE, CONSOLE_CONSUMER))
    made.start(SERVE)
    made.until_ready()


def a_clock_for_a_group(made: DocumentedInstallation) -> None:
    """The ten minutes of docs/committed-offsets.md."""
    consumer, status = command(PAGE, CONSOLE_CONSUMER), command(PAGE, "clocksvc status payments")
    made.until_ticking("payments")
    checked = made.run(command(PAGE, "clocksvc check"))
    assert "configuration" in checked.stdout, checked.stdout + checked.stderr
    waited = made.run(command(PAGE, "clocksvc wait payments"))
    assert (waited.returncode, waited.stdout.splitlines()[-1]) == (0, "everything before noon is processed")
    assert "running" in made.run(status).stdout

    made.end(consumer, signal.SIGINT)
    assert made.run(command(PAGE, "echo ")).returncode == 0
    eventually(lambda: "partition_behind" in made.run(status).stdout, within=TIMEOUT_S, what="the hold")
    held = made.run(status).stdout
    assert re.search(rf"{made.named('shop-payments')}:[0-3]", held), held
    last_s = made.time_s("payments")
    made.start(consumer)
    made.until_ticking("payments")
    assert "4 EUR" in made.output(consumer)
    assert made.time_s("payments") > last_s
    # Afterwards: a group with committed offsets is listed with its topic.
    written = yaml.safe_load(made.run(command(PAGE, "clocksvc clocks --from-groups")).stdout)
    assert list(written["clocks"].values()) == [
        {"topics": [made.named("shop-payments")], "group": "ledger", "source": "committed"}
    ]


def a_pipeline(made: DocumentedInstallation) -> None:
    """The ten minutes of docs/pipelines.md."""
    for name in ("enricher.py", "loader.py"):
        made.write(name, file(PIPELINE, name))
        made.start(f"python {name}")
    made.until_ticking("warehouse")

    assert made.run(command(PIPELINE, "python -c")).returncode == 0
    [typed] = [one.text for one in commands(PIPELINE) if one.text.startswith("clocksvc wait warehouse")]
    waited = made.run(typed)
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert waited.stdout.splitlines()[-1] == "('3 apples with VAT',)"

    made.end("python enricher.py", signal.SIGINT)
    assert made.run(command(PIPELINE, "python -c")).returncode == 0
    status = command(PIPELINE, "clocksvc status warehouse")
    eventually(lambda: "upstream_behind" in made.run(status).stdout, within=TIMEOUT_S, what="the hold of warehouse")
    assert re.search(rf"{made.named('shop-orders')}:[0-3]", made.run(status).stdout), made.run(status).stdout
    made.write("transactional_enricher.py", file(PIPELINE, "transactional_enricher.py"))
    made.start("python transactional_enricher.py")
    made.until_ticking("warehouse")
    with closing(sqlite3.connect(made.folder / "warehouse.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone()[0] >= 2


def work_done(made: DocumentedInstallation) -> None:
    """At each tick of the clock of work done, all that was due before it is done."""
    [worker] = [block.text for block in blocks(SCHEDULES, "python") if block.name == "once"]
    made.write("worker.py", worker.replace('"billing"', '"checkers"'))
    put = 'clocksvc schedules put demo bill:1 --interval 1s --task billing.cut --payload \'{"customer": "acme"}\''
    done = made.run(put)
    assert done.returncode == 0, done.stdout + done.stderr
    made.start("python worker.py")
    made.until_ticking("checks-done")
    for _ in range(3):
        tick_s = made.time_s("checks-done")
        with closing(sqlite3.connect(made.folder / "bills.sqlite")) as database:
            due = {parse_timestamp("due", time) // 1000 for (time,) in database.execute("SELECT due FROM bills")}
        assert set(range(min(due), tick_s)) <= due
        made.until_ticking("checks-done")
    waited = made.run(command(SCHEDULES, "clocksvc wait checks-done"))
    assert (waited.returncode, waited.stdout.splitlines()[-1]) == (0, "the job runs")
