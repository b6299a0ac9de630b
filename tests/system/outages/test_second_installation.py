"""Two installations with equal `redis.prefix` and `tick_log.topic` on one Kafka, each with a Redis of its own."""

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.system.clock_fixture import WITHIN_S, ClockFixture, running
from tests.system.evidence import broken_links
from tests.system.installation import Installation, wall_ms
from tests.system.outages.recovery import PARTITIONS, Recovery
from tests.waiting import eventually

pytestmark = pytest.mark.path

CLOCK = "shared"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Recovery]:
    """The first installation, whose clock runs."""
    run = f"first{wall_ms() % 10**8}"
    clock = ClockFixture(run, CLOCK, len(PARTITIONS))
    with (
        ValkeyServer() as valkey,
        running(tmp_path_factory.mktemp("first"), bootstrap, valkey.url, run, clock),
        clock,
    ):
        recovery = Recovery(clock)
        recovery.begin()
        yield recovery


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, first: Recovery) -> Iterator[Installation]:
    """The second installation: an empty Redis, and otherwise the configuration of the first one."""
    folder, clock = tmp_path_factory.mktemp("second"), first.clock
    with (
        ValkeyServer() as valkey,
        Installation(
            folder, clock.bootstrap, valkey.url, clock.installation.prefix, {CLOCK: clock.settings()}
        ) as installation,
    ):
        yield installation


def until_held(installation: Installation) -> str:
    """The detail of the hold store_mismatch."""

    def detail() -> str:
        hold = installation.state(CLOCK)["hold"]
        return str(hold["detail"]) if hold and hold["reason"] == "store_mismatch" else ""

    return eventually(detail, within=WITHIN_S, what="store_mismatch")


def address(url: str) -> str:
    """Host and port of a Redis URL."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def test_the_second_installation_holds(first: Recovery, second: Installation) -> None:
    """It names both Redis servers and shows no tick. The first one goes on, in the same term."""
    before = first.clock.state()["leader"]
    second.start_replica()
    detail = until_held(second)
    first.check()

    assert all(one in detail for one in (address(first.clock.installation.redis_url), address(second.redis_url)))
    assert "clocksvc init --adopt-tick-log" in detail
    assert second.state(CLOCK)["timestamp_seconds"] is None
    assert "ticks" not in http_client.get(f"{second.url}/v1/clocks/{CLOCK}/ticks", timeout=10).json()
    assert first.clock.state()["leader"] == before
    assert "round failed" not in (first.clock.installation.folder / "serve.log").read_text()


def test_a_redis_that_was_emptied_while_no_replica_ran_leads_again(first: Recovery) -> None:
    """A new process leads with the emptied Redis, because its address is the one in the log. Needs no operator."""
    installation = first.clock.installation
    installation.kill("serve")
    with closing(redis.Redis.from_url(installation.redis_url)) as client:
        client.flushall()

    installation.start_replica()

    first.check()


def test_a_replaced_redis_waits_for_the_operator(first: Recovery, second: Installation) -> None:
    """The first installation moves to the second one's Redis, which is empty. After the confirmation, it goes on."""
    installation = first.clock.installation
    installation.kill("serve")
    second.end("serve")
    installation.configure(redis={"url": second.redis_url, "prefix": installation.prefix})
    installation.start_replica()
    until_held(installation)

    def adopted() -> str:
        done = installation.run("init", "--adopt-tick-log", "--json")
        assert done.returncode == 0 or "a leader with another Redis may still run" in done.stderr
        return done.stdout

    printed = json.loads(eventually(adopted, within=WITHIN_S, what="an old newest tick"))
    last_s = first.log()[-1].at_ms // 1000
    first.clock.until(lambda state: state["timestamp_seconds"] == last_s, "the ticks before")
    reports = [{"topic": first.clock.topic, "partition": number, "timestamp_ms": wall_ms()} for number in PARTITIONS]
    url = f"{installation.url}/v1/clocks/{CLOCK}/reports"
    http_client.post(url, json={"group": first.clock.group, "reports": reports}, timeout=10)
    first.clock.until_reached(last_s + 1)

    assert len(printed["logs"]) == 1
    assert broken_links(first.log(), 1_000) == []
