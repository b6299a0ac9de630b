"""The two sinks that a Reporter opens by URL: Redis, and the HTTP service."""

import logging
import time

import pytest

from clocksvc import Reporter
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.http_stub import Asked, HttpStub, Reply, problem
from tests.unit.client.fake_sink import TOPIC
from tests.waiting import eventually

PARAMETERS = ClockParameters("workers", (TOPIC,), 60_000, 250, 60_000)


def now_ms() -> int:
    """The wall time."""
    return time.time_ns() // 1_000_000


@pytest.mark.servers
def test_a_redis_url_writes_the_store(redis_url: str, key_prefix: str) -> None:
    """It uses the prefix in the URL; a partition unknown at first arrives a second later."""
    url = f"{redis_url}?prefix={key_prefix}"
    server = RedisStoreServer(RedisConnection(parse_redis_url(redis_url)), key_prefix)
    store = server.store("checkins")
    server.leases(log_of("checkins")).acquire("token", "a leader", 60_000)
    store.claim("token", StoreIdentity("cluster"), PARAMETERS, now_ms())
    store.write_roster("token", Roster({TOPIC: TopicMetadata("id", 2)}), 1)
    at_ms = now_ms()
    with Reporter(url, "checkins", group="workers") as reporter:
        reporter.observe(1, at_ms - 5)
        reporter.observe(1, at_ms)
        reporter.observe(2, at_ms)
        reporter.observe(0, -1)
        reporter.observe(0, at_ms + 3_600_000)

        assert reporter.flush()

        store.write_roster("token", Roster({TOPIC: TopicMetadata("id", 3)}), 2)
        eventually(lambda: store.snapshot().known == 2)

    raw = {clock.partition: clock.raw_ms for clock in store.partitions(None, 10)}
    counters = store.counters()
    store.close()

    assert raw == {Partition(TOPIC, 0): None, Partition(TOPIC, 1): at_ms, Partition(TOPIC, 2): at_ms}
    assert counters.reports["too_far_ahead"] >= 1
    assert counters.reports["unknown"] >= 1


def service(asked: Asked) -> Reply:
    """The service's reports route, for a clock of one partition."""
    said = {0: "accepted"}
    outcomes = [{**item, "outcome": said.get(item["partition"], "unknown")} for item in asked.body["reports"]]
    parameters = {
        "group": "workers",
        "topics": [TOPIC],
        "interval_seconds": 60,
        "max_out_of_orderness_seconds": 0.25,
        "max_future_seconds": 60.0,
        "max_drift_seconds": None,
    }
    ticked = (now_ms() - 60_000) // 60_000 * 60
    answer = {"clock": "checkins", "timestamp_seconds": ticked, "lowest_timestamp_ms": None}
    return Reply(body={**answer, "reports": outcomes, "bounds": parameters})


@pytest.mark.core
def test_an_http_url_posts_reports() -> None:
    """The requests have the path, the token and the JSON of the contract, with rejections and late records."""
    at_ms = now_ms()
    with HttpStub(service) as stub:
        with Reporter(stub.url, "checkins", group="workers", token="s3cret") as reporter:
            reporter.flush()
            reporter.observe(0, at_ms)
            reporter.observe(1, at_ms)
            reporter.observe(1, -1)

            assert reporter.flush()

            reporter.observe(0, at_ms - 120_000)

            assert reporter.flush()
        asked = list(stub.asked)

    assert {(each.method, each.path) for each in asked} == {("POST", "/v1/clocks/checkins/reports")}
    assert {each.headers["authorization"] for each in asked} == {"Bearer s3cret"}
    assert asked[0].body == {"group": "workers", "reports": []}
    assert {"topic": TOPIC, "partition": 0, "timestamp_ms": at_ms} in asked[1].body["reports"]
    assert [each.body["refusals"] for each in asked if "refusals" in each.body] == [
        [{"topic": TOPIC, "partition": 1, "timestamp_ms": -1, "outcome": "no_timestamp"}]
    ]
    assert sum(each.body.get("late_records", 0) for each in asked) == 1


@pytest.mark.core
@pytest.mark.parametrize(
    "reply", [problem(401, "unauthenticated"), problem(404, "unknown-clock"), Reply(body={}), Reply(500, "oh")]
)
def test_a_service_that_rejects_reports_breaks_no_consumer(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once for each change, without the token."""
    with caplog.at_level(logging.INFO), HttpStub(lambda asked: reply) as stub:
        reporter = Reporter(stub.url, "checkins", group="workers", token="s3cret")
        reporter.observe(0, now_ms())
        eventually(lambda: len(stub.asked) >= 3)
        reporter.observe(0, now_ms())
        reporter.close(0.1)

    assert [record.message.split(":")[0] for record in caplog.records] == ["reports can't be sent"]
    assert "s3cret" not in caplog.text
