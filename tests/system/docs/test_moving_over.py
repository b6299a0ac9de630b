"""docs/moving-over.md, with a clock of the published kind beside ours: compared by the page's program, and switched by
its commands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from clocksvc import Reporter
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.docs.blocks import blocks, commands, commands_in
from tests.system.docs.documented_installation import TIMEOUT_S, DocumentedInstallation
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path

PAGE = "docs/moving-over.md"
PARTITIONS = 2
MINUTE = 60
BEGIN = 1_795_348_800
"""The page's last tick, in epoch seconds; a multiple of a minute."""


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of its own: the page uses no prefix."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def documented(
    tmp_path: Path, bootstrap: str, valkey: ValkeyServer, key_prefix: str
) -> Iterator[DocumentedInstallation]:
    """The page's names in servers of this test; the interval is a minute."""
    made = DocumentedInstallation(tmp_path, bootstrap, valkey.url, key_prefix)
    made.names |= {"monitors-clock-tick": f"{key_prefix}-old-ticks"}
    for name in ("INTERVAL", "MAX_PAST"):
        del made.environ[f"CLOCKSVC_CLOCKS__CHECKINS__{name}"]
    create_topic(bootstrap, made.named("ingest-checkins"), PARTITIONS, "LogAppendTime")
    yield made
    made.close()


def serve(documented: DocumentedInstallation, block: int, clock: str) -> None:
    """Write one of the page's configurations, with a tick log for this test, whose ticks are far in the past."""
    line = "    group: checkins-consumer"
    text = re.sub(rf"^{line}.*$", r"\g<0>\n    max_past: 3650d", blocks(PAGE, "yaml")[block].text, flags=re.MULTILINE)
    documented.write("clocksvc.yaml", text)
    documented.environ["CLOCKSVC_TICK_LOG__TOPIC"] = f"{documented.prefix}-{clock}-ticks"
    documented.environ["CLOCKSVC_CONFIG"] = "clocksvc.yaml"


def report(documented: DocumentedInstallation, redis_url: str, clock: str, *times_s: int) -> None:
    """A consumer of both partitions that reaches each of these times, one after the other."""
    with Reporter(redis_url, clock, group="checkins-consumer") as reporter:
        for at_s in times_s:
            for partition in range(PARTITIONS):
                reporter.observe(partition, at_s * 1000)
            ticked(documented, clock, at_s)


def ticked(documented: DocumentedInstallation, clock: str, at_s: int) -> None:
    """Wait for a tick."""
    eventually(lambda: at_s in ticks(documented, clock), within=TIMEOUT_S, what=f"the tick {at_s}")


def ticks(documented: DocumentedInstallation, clock: str) -> list[int]:
    """The ticks that the service lists."""
    done = documented.run(f"curl -sf 'localhost:8080/v1/clocks/{clock}/ticks'")
    return [tick["timestamp_seconds"] for tick in json.loads(done.stdout)["ticks"]]


def old_ticks(documented: DocumentedInstallation, *times_s: int) -> None:
    """The ticks that a clock of the published kind has dispatched."""
    topic = documented.named("monitors-clock-tick")
    create_topic(documented.names["localhost:9092"], topic, 1, "LogAppendTime")
    producer = Producer({"bootstrap.servers": documented.names["localhost:9092"]})
    for at_s in times_s:
        producer.produce(topic, json.dumps({"ts": at_s}))
    assert producer.flush(TIMEOUT_S) == 0


def test_compared_tick_by_tick(documented: DocumentedInstallation, valkey: ValkeyServer) -> None:
    """The old clock lost one minute, sent one twice, two in the wrong order, and one too early: each is named."""
    serve(documented, 0, "checkins-trial")
    documented.start("clocksvc serve")
    eventually(lambda: ticks(documented, "checkins-trial") == [], within=TIMEOUT_S, what="the service")
    report(documented, valkey.url, "checkins-trial", *range(BEGIN, BEGIN + 6 * MINUTE, MINUTE))
    minute = [BEGIN + number * MINUTE for number in range(8)]
    old_ticks(documented, minute[0], minute[1], minute[1], minute[4], minute[3], minute[5], minute[6])
    (program,) = blocks(PAGE, "python")
    documented.write("compare.py", program.text)
    (command,) = [command.text for command in commands(PAGE) if command.text.startswith("python compare.py")]
    span = f"python compare.py {BEGIN} {minute[7]}"

    assert "checkins-trial  " in documented.run("clocksvc status checkins-trial").stdout

    done = documented.run(re.sub(r"python compare\.py \d+ \d+", span, command))

    assert done.returncode == 0, done.stderr
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert lines["in both"].split()[0] == "4"
    assert lines["only here"].startswith("the old clock lost it: 1 ")
    assert lines["only there"].startswith("early, or a partition holds here: 1 ")
    assert lines["twice there"].split()[0] == lines["out of order there"].split()[0] == "1"
    assert re.search(r"^later here by -?\d+\.\d{3} s", done.stdout, re.MULTILINE)


def test_moved_over_without_a_lost_minute(documented: DocumentedInstallation, valkey: ValkeyServer) -> None:
    """Consumers first, `init` at the end of the old clock, then the service: every minute since, and none before."""
    _, get, init, back = [command for block in blocks(PAGE) for command in commands_in(block)]
    with redis.Redis.from_url(valkey.url) as client:
        client.set("sentry.monitors.last_tasks_ts", BEGIN)
    serve(documented, 1, "checkins")
    with Reporter(valkey.url, "checkins", group="checkins-consumer") as reporter:
        for partition in range(PARTITIONS):
            reporter.observe(partition, (BEGIN + 3 * MINUTE + 5) * 1000)

        assert documented.run(get.text).stdout.strip() == str(BEGIN) == get.shown.strip('"')
        done = documented.run(init.text)
        assert done.returncode == 0, done.stderr
        documented.start("clocksvc serve")

        wanted = [BEGIN + number * MINUTE for number in (1, 2, 3)]
        eventually(lambda: ticks(documented, "checkins") == wanted, within=TIMEOUT_S, what=f"the ticks {wanted}")
    assert documented.run(back.text).stdout.strip() == "OK"
