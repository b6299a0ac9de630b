"""Transactional ids, log forwarding and ACL hints, without a broker."""

import itertools
import logging

import pytest

from clocksvc.clock.logs import LOGS
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
    dispatcher_id,
    explain_missing_acl,
    writer_id,
)

pytestmark = pytest.mark.core

NAMES = ("a", "b", "a.b", "a-b", "b-c", "a.b.c", "a-checkpoints", "a-ticks", "a-ticks.beat", "beat", "tasks", "b.beat")


def test_transactional_ids_are_all_different() -> None:
    """A leader or dispatcher never fences another one, regardless of the names of tick logs, clocks and dispatchers.

    If a dot joined them, the dispatcher `c.d` of the clock `b` would have the id of the dispatcher `d` of the clock
    `b.c`.
    """
    ids = [writer_id(log, number) for log in NAMES for number in range(LOGS)]
    ids += [dispatcher_id(*names) for names in itertools.product(NAMES, NAMES, NAMES)]

    assert len(set(ids)) == LOGS * len(NAMES) + len(NAMES) ** 3
    assert all(one.startswith("clocksvc.") for one in ids)


@pytest.mark.parametrize(
    ("text", "explained"),
    [
        ("Broker: Unknown topic or partition", "Broker: Unknown topic or partition"),
        (
            "Broker: Topic authorization failed",
            "Broker: Topic authorization failed: the Kafka user lacks Write on topic t",
        ),
        (
            "Broker: Transactional Id authorization failed.",
            "Broker: Transactional Id authorization failed: the Kafka user lacks Write on transactional id i",
        ),
        (
            "Broker: Cluster authorization failed",
            "Broker: Cluster authorization failed: the Kafka user lacks Write on topic t",
        ),
    ],
)
def test_a_missing_permission_is_named(text: str, explained: str) -> None:
    """The one for the resource in Kafka's error, else the first."""
    assert (
        explain_missing_acl(text, {"Topic": "Write on topic t", "Transactional": "Write on transactional id i"})
        == explained
    )


def test_without_a_known_permission_the_document_is_named() -> None:
    """docs/security.md lists all of them."""
    assert explain_missing_acl("Group authorization failed", {}).endswith(
        "lacks a permission that docs/security.md lists"
    )


def test_settings_of_clocksvc_override_the_users() -> None:
    """Except for the log level, which the user may change."""
    made = client_settings({"acks": "1", "log_level": "7", "client.id": "x"}, acks="all", linger_ms=0)

    assert (made["acks"], made["linger.ms"], made["log_level"], made["client.id"]) == ("all", 0, "7", "x")
    assert made["allow.auto.create.topics"] is False


def test_a_broker_out_of_reach_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """All clients of the process repeat it many times a second. Another broker and another client's error are new."""
    refused = (
        "[thrd:one:9092/bootstrap]: one:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: refused (after %sms)"
    )
    with caplog.at_level(logging.DEBUG, "clocksvc.kafka"):
        for number in range(50):
            ClientLog().log(logging.ERROR, "", "FAIL", f"rdkafka#consumer-{number}", refused % number)
        ClientLog().log(logging.ERROR, "", "FAIL", "rdkafka#consumer-1", refused.replace("one:", "two:") % 0)
        for client in ("rdkafka#producer-1", "rdkafka#producer-2"):
            ClientLog().log(logging.ERROR, "", "FENCED", client, "[thrd:main]: Broker: fenced")

    assert caplog.messages == [
        "kafka client: one:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: refused (after 0ms)",
        "kafka client: two:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: refused (after 0ms)",
        "kafka client: Broker: fenced",
        "kafka client: Broker: fenced",
    ]


def test_log_lines_are_warnings_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """The newest one is kept for an error message, without the name of librdkafka's thread."""
    log = ClientLog()
    with caplog.at_level(logging.DEBUG, "clocksvc.kafka"):
        log.log(logging.CRITICAL, "", "FAIL", "rdkafka#1", "[thrd:main]: it failed")

    assert log.last == "it failed"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
