"""`examples/shop`, run by the commands of its README: a bill that waits for its data, and minutes that are complete.

The heartbeats are left out: theirs is the wall clock's time, and the test drives the clock through a night of the past.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from clocksvc.dev.ports import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.repository import ROOT
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path

EXAMPLE = ROOT / "examples" / "shop"
PROGRAMS = {"python": [], "celery": ["-m", "celery"], "clocksvc": ["-m", "clocksvc.cli.main"]}
TOPIC = "shop-checkins"
MINUTE = timedelta(minutes=1)
OUT_OF_ORDER_S = 10
"""What a clock allows on a CreateTime topic, unless set: it is so far behind its records."""
BEFORE, AFTER = 120, 5
"""Minutes of the story before and after the bill is due."""
ABSENT = {30, 77, 119, 122}
"""The minutes in which the second till does not check in."""
STOPS = 110
"""The minute from which on the second till's partition is quiet for a while."""


def commands() -> list[str]:
    """What the README tells to type."""
    blocks = re.findall(r"```console\n(.*?)```", (EXAMPLE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


class Shop:
    """The example in a folder of its own, and its processes."""

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
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._producer = Producer({"bootstrap.servers": bootstrap})

    def start(self, command: str) -> None:
        """Start what a terminal of its own is for."""
        with open(self._log(command), "wb") as log:
            self._running[command] = subprocess.Popen(
                _arguments(command), cwd=self.folder, env=self.environ, stdout=log, stderr=subprocess.STDOUT
            )

    def run(self, command: str) -> str:
        """What a command prints that ends by itself."""
        done = subprocess.run(
            _arguments(command), cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def said(self, command: str, text: str) -> bool:
        """Whether a command that runs has written this."""
        output = self._log(command).read_text(errors="replace")
        assert self._running[command].poll() is None, output
        return text in output

    def ledger(self) -> list[str]:
        """What stands in it, as it is printed."""
        return self.run("python ledger.py").splitlines()

    def clock(self) -> datetime | None:
        """The clock's time, as the service tells it."""
        found = http_client.get(f"http://127.0.0.1:{self.port}/v1/clocks/shop", timeout=10).json()["time"]
        return None if found is None else datetime.fromisoformat(found)

    def check_in(self, till: int, at: datetime, cents: int) -> None:
        """A till's record, in its own partition."""
        value = json.dumps({"till": f"till-{till + 1}", "cents": cents})
        self._producer.produce(TOPIC, value, partition=till, timestamp=round(at.timestamp() * 1000))
        self._producer.poll(0)

    def sent(self) -> None:
        """Kafka has what was checked in."""
        assert self._producer.flush(30) == 0

    def end(self) -> dict[str, int]:
        """SIGTERM to all; how each ended."""
        for process in self._running.values():
            process.terminate()
        try:
            return {command: process.wait(30) for command, process in self._running.items()}
        finally:
            for process in self._running.values():
                process.kill()

    def _log(self, command: str) -> Path:
        return self.folder / (re.sub(r"\W+", "-", command) + ".log")


def _arguments(command: str) -> list[str]:
    program, *rest = shlex.split(command)
    return [sys.executable, *PROGRAMS[program], *rest]


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Iterator[Shop]:
    """The example on servers that know nothing of it."""
    create_topic(bootstrap, TOPIC, 2, "CreateTime")
    with ValkeyServer() as valkey:
        made = Shop(tmp_path, bootstrap, valkey.url)
        yield made
        made.end()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.delete_topics([TOPIC, "shop-ticks", "shop-ticks-checkpoints"]).values():
        future.result(30)


class Night:
    """The check-ins of the two tills around 04:00 of yesterday, and what must come of them: judged here alone."""

    def __init__(self) -> None:
        today = datetime.now(ZoneInfo("Europe/Berlin")).date()
        four = datetime.combine(today - timedelta(days=1), time(4), ZoneInfo("Europe/Berlin"))
        self.due = four.astimezone(UTC)
        self.begin = self.due - BEFORE * MINUTE
        every = set(range(BEFORE + AFTER))
        self.there = [every, every - ABSENT]

    def moment(self, minute: int) -> datetime:
        """When who is there checks in."""
        return self.begin + minute * MINUTE + timedelta(seconds=5)

    def check_in(self, shop: Shop, till: int, minutes: Iterable[int]) -> None:
        """The till's records of these minutes, as far as it is there: a cent, or two, for each minute so far."""
        for minute in sorted(self.there[till].intersection(minutes)):
            shop.check_in(till, self.moment(minute), (1 + till) * minute)
        shop.sent()

    def missed(self) -> list[str]:
        """What the ledger says in the end."""
        return [f"missed {_text(self.begin + minute * MINUTE)} till-2" for minute in sorted(ABSENT)]

    def bills(self) -> list[str]:
        """What the ledger says in the end."""
        cents = [sum((1 + till) * minute for minute in self.there[till] if minute < BEFORE) for till in (0, 1)]
        return [f"bill {_text(self.due)} till-{till + 1} {cents[till] / 100:.2f}" for till in (0, 1)]


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def start(shop: Shop) -> None:
    """What has a terminal of its own, until beat goes by the clock."""
    running = [line for line in commands() if line.split()[0] in PROGRAMS and line.split()[-1] != "ledger.py"]
    running = [line for line in running if "checkin.py" not in line and "-A clocksvc" not in line]
    assert len(running) == 4
    for command in running:
        shop.start(command)
    beat = next(command for command in running if "beat" in command)
    eventually(lambda: shop.said(beat, "dispatching"), within=60, what="beat to go by the clock")


def test_the_shop(shop: Shop) -> None:
    """The bill for 04:00 waits while one till's records are missing; then it and the missed minutes are exact."""
    night = Night()
    start(shop)
    for till in (0, 1):  # a clock's first tick is where it stands once all partitions are known
        night.check_in(shop, till, {0})
    eventually(lambda: shop.clock() == night.begin - MINUTE, within=60, what="the first tick")

    night.check_in(shop, 0, range(1, BEFORE + AFTER))
    night.check_in(shop, 1, range(1, STOPS))
    stands = (night.moment(STOPS - 1) - timedelta(seconds=OUT_OF_ORDER_S)).replace(second=0)
    eventually(lambda: shop.clock() == stands, within=60, what=f"the clock to stand at {stands}")
    eventually(lambda: shop.ledger() == night.missed()[:2], within=60, what="two missed minutes, and no bill")

    night.check_in(shop, 1, range(STOPS, BEFORE + AFTER))
    last = night.moment(BEFORE + AFTER) + timedelta(seconds=OUT_OF_ORDER_S)
    for name in ("till-1", "till-2"):
        shop.run(f"python checkin.py {name} 12.40 {_text(last)}")
    eventually(lambda: shop.ledger() == night.missed() + night.bills(), within=60, what="the bills and all minutes")
    assert set(shop.end().values()) == {0}
