"""examples/recordings and examples/checkins: their own tests, and their programs on real servers."""

import ast
import inspect
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from clocksvc.client.consumer.health import Health, HealthFile
from clocksvc.consumer import BufferedConsumer
from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.testing import ConsumerRun
from tests.process import Process, kill_all
from tests.repository import ROOT
from tests.system.docs.blocks import blocks
from tests.system.installation import create_topic, wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.path

EXAMPLES = ("recordings", "checkins")
TOPICS = {"recordings": "recordings", "checkins": "monitor-checkins"}
CLICK = b'{"session": "a1", "segment": 0, "events": [{"at_ms": 0, "type": "click"}]}'


class Example:
    """A copy of an example, and its processes."""

    def __init__(self, name: str, folder: Path, bootstrap: str, redis_url: str) -> None:
        self.folder = folder / name
        shutil.copytree(ROOT / "examples" / name, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        port = free_ports(1)[0]
        self._environ = os.environ | {
            "CLOCKSVC_CONFIG": "clocksvc.yaml",
            "CLOCKSVC_API__PORT": str(port),
            "CLOCKSVC_URL": f"http://127.0.0.1:{port}",
            "CLOCKSVC_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "CLOCKSVC_REDIS__URL": redis_url,
            f"CLOCKSVC_CLOCKS__{dict(zip(EXAMPLES, ('RECORDINGS', 'MONITORS'), strict=True))[name]}__INTERVAL": "1s",
            "KAFKA_BOOTSTRAP": bootstrap,
            "REDIS_URL": redis_url,
        }
        self.processes: dict[str, Process] = {}

    def start(self, name: str, *arguments: str) -> None:
        """Start a Python program of the example, or a module, in the background."""
        command = [sys.executable, *arguments]
        self.processes[name] = Process(
            command, self.folder / f"{name}.log", environ=self._environ, inherit=False, cwd=self.folder
        )

    def run(self, *arguments: str) -> str:
        """Run a program to its end. Returns its output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, file: str, query: str) -> list[tuple[object, ...]]:
        """The result of a query; [] while the database does not exist."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(f"file:{self.folder / file}?mode=ro", uri=True)) as found,
        ):
            return found.execute(query).fetchall()
        return []


Open = Callable[[str], Example]


@pytest.fixture
def opened(tmp_path: Path, bootstrap: str) -> Iterator[Open]:
    """Opens an example, with fresh topics and a Redis of its own."""
    made: list[str] = ["clocksvc-ticks"]
    examples: list[Example] = []
    with ValkeyServer() as valkey:

        def open_example(name: str) -> Example:
            for topic, partitions in ((TOPICS[name], 2), (f"{TOPICS[name]}-dead-letters", 1)):
                create_topic(bootstrap, topic, partitions)
                made.append(topic)
            examples.append(Example(name, tmp_path, bootstrap, valkey.url))
            return examples[-1]

        yield open_example
        for example in examples:
            kill_all(example.processes)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics(made).values():
        future.result(30)


def write(bootstrap: str, topic: str, *records: tuple[bytes | None, bytes, int]) -> None:
    """Write records: key, value and partition."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for key, value, partition in records:
        producer.produce(topic, value, key, partition)
    assert producer.flush(30) == 0


def end(example: Example, names: Sequence[str]) -> None:
    """SIGTERM; each process exits with 0."""
    for name in names:
        example.processes[name].send_signal(signal.SIGTERM)
    assert [example.processes[name].wait(30) for name in names] == [0] * len(names)


def test_the_documented_consumer_writes_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/write-a-consumer.md: its consumer writes orders, and its `flush` with a state inserts each customer once."""
    monkeypatch.chdir(tmp_path)
    complete, with_state, _ = blocks("docs/write-a-consumer.md", "python")
    names: dict[str, Any] = {"__name__": "orders"}
    exec(compile(complete.text, "orders.py", "exec"), names)
    run = ConsumerRun(names["make_consumer"])
    run.feed(b'{"id": 1, "cents": 250}', b'{"id": 2, "cents": 1, "test": true}', b"{broken", b'{"id": 3, "cents": 70}')
    run.finish_all()

    assert run.committed == {("orders", 0): 4}
    assert [message.offset() for message, _ in run.dead_letters] == [2]
    with closing(sqlite3.connect(names["DATABASE"])) as database:
        assert database.execute("SELECT * FROM orders ORDER BY id").fetchall() == [(1, 250), (3, 70)]

    customers: list[int] = []
    names |= {"insert_customers": customers.extend, "insert_orders": lambda batch: None}
    exec(compile(with_state.text, "state.py", "exec"), names)
    run = ConsumerRun(lambda: names["consumer"])
    for number in (1, 2, 1):
        run.feed(f'{{"id": {number}, "cents": 5}}'.encode())
        run.finish_all()

    assert (sorted(customers), len(run.flushed)) == ([1, 2], 3)


def test_the_documented_probes_answer(tmp_path: Path) -> None:
    """docs/write-a-consumer.md: Kubernetes asks the address of the option, or the file; an own endpoint answers."""
    text = (ROOT / "docs" / "write-a-consumer.md").read_text(encoding="utf-8")
    by_http, by_file = (yaml.safe_load(block.text) for block in blocks("docs/write-a-consumer.md", "yaml"))
    host, port = ast.literal_eval(re.findall(r"`livez=(\(.+?\))`", text)[0])
    probe = by_http["livenessProbe"]
    signature = inspect.signature(BufferedConsumer.__init__)
    drain_s = signature.parameters["drain_timeout_seconds"].default

    assert (host, probe["httpGet"]) == ("0.0.0.0", {"path": "/livez", "port": port})
    assert by_http["terminationGracePeriodSeconds"] > drain_s

    file = tmp_path / "health"
    shell = [part.replace("/tmp/health", str(file)) for part in by_file["livenessProbe"]["exec"]["command"]]
    assert str(file) in shell[-1]
    assert re.findall('health_file="(.+?)"', text) == ["/tmp/health"]
    assert subprocess.run(shell, capture_output=True).returncode != 0
    HealthFile(file).touch(0)
    assert subprocess.run(shell, capture_output=True).returncode == 0
    os.utime(file, (0, 0))
    assert subprocess.run(shell, capture_output=True).returncode != 0

    answers = []
    for health in (Health(), Health(("a flush has run for 61 s",))):
        names: dict[str, Any] = {
            "app": FastAPI(),
            "consumer": SimpleNamespace(health=lambda health=health: health),
            "JSONResponse": JSONResponse,
        }
        exec(compile(blocks("docs/write-a-consumer.md", "python")[-1].text, "livez", "exec"), names)
        answer = names["livez"]()
        answers.append((answer.status_code, json.loads(answer.body)["problems"]))
    assert answers == [(200, []), (503, ["a flush has run for 61 s"])]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_examples_own_tests_pass(name: str) -> None:
    """As its README runs them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."],
        cwd=ROOT / "examples" / name,
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_the_consumer_of_recordings_runs_on_real_servers(opened: Open, bootstrap: str) -> None:
    """Segments are stored, and what can't be decoded is a dead letter. The clock ticks when they are committed."""
    example = opened("recordings")
    example.start("serve", "-m", "clocksvc.cli.main", "serve")
    example.start("consumer", "consumer.py")
    stored = "SELECT session, segment, clicks FROM segments"

    write(bootstrap, "recordings", (None, CLICK, 0), (None, b"{broken", 0), (None, CLICK.replace(b"a1", b"b2"), 1))
    eventually(
        lambda: sorted(example.rows("recordings-data/index.db", stored)) == [("a1", 0, 1), ("b2", 0, 1)],
        within=60,
        what="the rows",
    )
    wait = "-m", "clocksvc.cli.main", "wait", "recordings", "--until", str(wall_ms() // 1000), "--timeout", "60"
    write(bootstrap, "recordings", (None, CLICK, 0), (None, CLICK, 1))
    example.start("later", "-c", LATER.format(bootstrap=bootstrap))
    example.run(*wait)
    end(example, ["consumer"])

    assert (example.folder / "recordings-data" / "objects" / "a1" / "0.json.zz").exists()


LATER = """
import time
from confluent_kafka import Producer
producer = Producer({{"bootstrap.servers": "{bootstrap}"}})
while True:
    for partition in (0, 1):
        producer.produce("recordings", b'{{"session": "c", "segment": 0, "events": []}}', partition=partition)
    producer.flush()
    time.sleep(0.2)
"""


def test_the_consumer_of_checkins_runs_on_real_servers(opened: Open, bootstrap: str) -> None:
    """Minutes without a check-in are marked, each once, and a tick is not handled twice after a restart."""
    example = opened("checkins")
    example.run("checkins.py", "add", "backup", "1")
    example.start("serve", "-m", "clocksvc.cli.main", "serve")
    example.start("consumer", "consumer.py")
    example.start("missed", "missed.py")
    for number in range(2):
        write(bootstrap, "monitor-checkins", (b"backup", b'{"status": "ok"}', number))

    def missed() -> list[tuple[object, ...]]:
        write(bootstrap, "monitor-checkins", *((b"other", b'{"status": "ok"}', number) for number in range(2)))
        return example.rows("checkins.db", "SELECT period_s FROM missed WHERE slug = 'backup' ORDER BY 1")

    eventually(lambda: len(missed()) >= 2, within=60, what="two missed periods")
    end(example, ["consumer"])

    both = "SELECT tick_s, (SELECT max(period_s) FROM missed WHERE slug = 'backup') + 1 FROM position"
    position_s, missed_until_s = example.rows("checkins.db", both)[0]
    assert position_s == missed_until_s
    assert "missed 20" in example.processes["missed"].output()
