"""`examples/shop`, run with the commands of its README: the bill waits for late data, and each minute is complete.

Without heartbeats: they have the wall clock's time, but the test moves the clock through a night of the past.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.process import Process, kill_all
from tests.repository import ROOT
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path

EXAMPLE = ROOT / "examples" / "shop"
PROGRAMS = {"python": [], "celery": ["-m", "celery"], "clocksvc": ["-m", "clocksvc.cli.main"]}
TOPIC = "shop-checkins"
MINUTE = timedelta(minutes=1)
OUT_OF_ORDER_S = 10
"""The default `max_out_of_orderness` on a CreateTime topic, in seconds."""
BEFORE, AFTER = 120, 5
"""Minutes before and after the bill's due time."""
ABSENT = {30, 77, 119, 122}
"""The minutes in which the second till does not check in."""
STOPS = 110
"""The minute from which on the second till's records are late."""


def commands() -> list[str]:
    """The commands of the README."""
    blocks = re.findall(r"```console\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


class Shop:
    """A copy of the example, and its processes."""

    def __init__(self, folder: Path, bootstrap: str, redis_url: str) -> None:
        self.folder = folder / "shop"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
        self.port = free_ports(1)[0]
        self.environ = os.environ | {
            "CLOCKSVC_CONFIG": "clocksvc.yaml",
            "CLOCKSVC_API__PORT": str(self.port),
            "CLOCKSVC_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "CLOCKSVC_REDIS__URL": redis_url,
            "KAFKA_BOOTSTRAP": bootstrap,
            "REDIS_URL": redis_url,
        }
        self._running: dict[str, Process] = {}
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def start(self, command: str) -> None:
        """Start a command in the background."""
        self._running[command] = Process(
            _arguments(command), self._log(command), environ=self.environ, inherit=False, cwd=self.folder
        )

    def run(self, command: str) -> str:
        """Run a command; its output."""
        done = subprocess.run(
            _arguments(command), cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def has_printed(self, command: str, text: str) -> bool:
        """Whether a command, which must still run, has printed this text."""
        process = self._running[command]
        process.check_alive()
        return text in process.output()

    def ledger(self) -> list[str]:
        """The lines that `ledger.py` prints."""
        return self.run("python ledger.py").splitlines()

    def clock(self) -> datetime | None:
        """The clock's time, from the service."""
        found = http_client.get(f"http://127.0.0.1:{self.port}/v1/clocks/shop", timeout=10).json()["time"]
        return None if found is None else datetime.fromisoformat(found)

    def check_in(self, till: int, at: datetime, cents: int) -> None:
        """Write a till's record to its partition."""
        value = json.dumps({"till": f"till-{till + 1}", "cents": cents})
        self._producer.produce(TOPIC, value, partition=till, timestamp=round(at.timestamp() * 1000))
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until Kafka has all records."""
        assert self._producer.flush(30) == 0

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to all processes; their exit codes."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        try:
            return {command: process.wait(30) for command, process in self._running.items()}
        finally:
            kill_all(self._running)

    def _log(self, command: str) -> Path:
        return self.folder / (re.sub(r"\W+", "-", command) + ".log")


def _arguments(command: str) -> list[str]:
    program, *rest = shlex.split(command)
    return [sys.executable, *PROGRAMS[program], *rest]


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Iterator[Shop]:
    """The example, with fresh servers and topic."""
    create_topic(bootstrap, TOPIC, 2, "CreateTime")
    with ValkeyServer() as valkey:
        opened = Shop(tmp_path, bootstrap, valkey.url)
        yield opened
        opened.stop()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics([TOPIC, "clocksvc-ticks", "clocksvc-ticks-checkpoints"]).values():
        future.result(30)


class Night:
    """The check-ins of two tills around 04:00 of yesterday, and the expected lines of the ledger."""

    def __init__(self) -> None:
        today = datetime.now(ZoneInfo("Europe/Berlin")).date()
        four = datetime.combine(today - timedelta(days=1), time(4), ZoneInfo("Europe/Berlin"))
        self.due = four.astimezone(UTC)
        self.begin = self.due - BEFORE * MINUTE
        every = set(range(BEFORE + AFTER))
        self.present = [every, every - ABSENT]

    def moment(self, minute: int) -> datetime:
        """The time of the check-ins in a minute."""
        return self.begin + minute * MINUTE + timedelta(seconds=5)

    def check_in(self, shop: Shop, till: int, minutes: Iterable[int]) -> None:
        """Write a till's records for those of these minutes in which it is present. Amounts grow with the minute."""
        for minute in sorted(self.present[till].intersection(minutes)):
            shop.check_in(till, self.moment(minute), (1 + till) * minute)
        shop.flush()

    def missed(self) -> list[str]:
        """The expected missed check-ins."""
        return [f"missed {_text(self.begin + minute * MINUTE)} till-2" for minute in sorted(ABSENT)]

    def bills(self) -> list[str]:
        """The expected bills."""
        cents = [sum((1 + till) * minute for minute in self.present[till] if minute < BEFORE) for till in (0, 1)]
        return [f"bill {_text(self.due)} till-{till + 1} {cents[till] / 100:.2f}" for till in (0, 1)]


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def start(shop: Shop) -> None:
    """Start the README's long-running commands, without heartbeats, and wait until beat follows the clock."""
    running = [line for line in commands() if line.split()[0] in PROGRAMS and line.split()[-1] != "ledger.py"]
    running = [line for line in running if "checkin.py" not in line and "-A clocksvc" not in line]
    assert len(running) == 4
    for command in running:
        shop.start(command)
    beat = next(command for command in running if "beat" in command)
    eventually(lambda: shop.has_printed(beat, "dispatching"), within=60, what="beat to follow the clock")


def test_the_shop(shop: Shop) -> None:
    """The bill for 04:00 waits for the late records of one till; then bill and missed check-ins are exact."""
    night = Night()
    start(shop)
    for till in (0, 1):  # the first tick is emitted once all partitions have reported
        night.check_in(shop, till, {0})
    eventually(lambda: shop.clock() == night.begin - MINUTE, within=60, what="the first tick")

    night.check_in(shop, 0, range(1, BEFORE + AFTER))
    night.check_in(shop, 1, range(1, STOPS))
    expected = (night.moment(STOPS - 1) - timedelta(seconds=OUT_OF_ORDER_S)).replace(second=0)
    eventually(lambda: shop.clock() == expected, within=60, what=f"the clock to be at {expected}")
    eventually(lambda: shop.ledger() == night.missed()[:2], within=60, what="two missed minutes, and no bill")

    night.check_in(shop, 1, range(STOPS, BEFORE + AFTER))
    last = night.moment(BEFORE + AFTER) + timedelta(seconds=OUT_OF_ORDER_S)
    for name in ("till-1", "till-2"):
        shop.run(f"python checkin.py {name} 12.40 {_text(last)}")
    eventually(lambda: shop.ledger() == night.missed() + night.bills(), within=60, what="the bills and all minutes")
    assert set(shop.stop().values()) == {0}
