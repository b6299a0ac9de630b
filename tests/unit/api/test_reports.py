"""`POST /v1/clocks/{clock}/reports`: reports are written to the store, or rejected as a whole."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.partition import REJECTIONS
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.report_encoding import report_to_wire
from clocksvc.memory import store
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name

URL = "/v1/clocks/checkins/reports"
BOUNDS = {
    "group": GROUP,
    "topics": [TOPIC],
    "interval_seconds": 60,
    "max_out_of_orderness_seconds": 2.0,
    "max_future_seconds": 60.0,
    "max_drift_seconds": None,
}


def reading(partition: int, timestamp_ms: int, **more: Any) -> dict[str, Any]:
    """One item of a report."""
    return {"topic": TOPIC, "partition": partition, "timestamp_ms": timestamp_ms, **more}


def test_a_report_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The response has an outcome for each item in order, the global clock, and the clock's parameters."""
    clock_fixture.publish(*ticks(1))
    clock_fixture.read()
    readings = [
        reading(0, NOON * 1000),
        reading(0, NOON * 1000),
        reading(7, NOON * 1000),
        reading(1, (NOON + 3_600) * 1000),
        reading(1, -1),
    ]

    response = client.post(URL, json={"group": GROUP, "reports": readings})

    assert response.status_code == 200
    assert response.json() == {
        "clock": "checkins",
        "time": "2026-11-22T11:00:00Z",
        "timestamp_seconds": NOON - 3_600,
        "lowest_timestamp_ms": None,
        "reports": [
            {"topic": TOPIC, "partition": partition, "outcome": outcome}
            for partition, outcome in [
                (0, "accepted"),
                (0, "unchanged"),
                (7, "unknown"),
                (1, "too_far_ahead"),
                (1, "no_timestamp"),
            ]
        ],
        "bounds": BOUNDS,
    }
    assert clock_fixture.store.partitions(None, 1)[0].raw_ms == NOON * 1000


def test_another_topic_gets_an_outcome(client: TestClient, clock_fixture: ClockFixture) -> None:
    """Also if the clock has a partition of this number. Nothing of it is stored but its name."""
    stray = {**reading(0, NOON * 1000), "topic": "invoices"}
    response = client.post(URL, json={"group": GROUP, "reports": [stray, reading(1, NOON * 1000)]})

    assert [entry["outcome"] for entry in response.json()["reports"]] == ["foreign_topic", "accepted"]
    assert clock_fixture.store.partitions(None, 1)[0].raw_ms is None
    assert clock_fixture.store.foreign_reports().topic == "invoices"


@pytest.mark.parametrize(
    ("timestamp_ms", "outcome"),
    [
        (0, "not_milliseconds"),
        (NOON, "not_milliseconds"),
        (NOON * 10**6, "not_milliseconds"),
        (NOON * 10**9, "not_milliseconds"),
        (-(2**63), "no_timestamp"),
        (2**63 - 1, "not_milliseconds"),
    ],
)
def test_another_unit_gets_an_outcome(client: TestClient, timestamp_ms: int, outcome: str) -> None:
    """On a fresh clock and on one with reports, and the other items of the report count."""
    for expected in ("accepted", "unchanged"):
        readings = [reading(0, timestamp_ms), reading(1, NOON * 1000)]
        response = client.post(URL, json={"group": GROUP, "reports": readings})

        assert [entry["outcome"] for entry in response.json()["reports"]] == [outcome, expected]


def test_many_late_records_do_not_end_the_reports(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The counter stays at its maximum, and honest reports are answered."""
    clock_fixture.store.report(Report(GROUP, ()))
    with patch.object(store, "MAX_COUNT", 2 * 10**9):
        for _ in range(4):
            assert client.post(URL, json={"group": GROUP, "reports": [], "late_records": 10**9}).status_code == 200

    assert clock_fixture.store.counters().late_records == 2 * 10**9


def test_another_groups_report_counts_for_nothing(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Each item of another group gets `foreign_group`, and no partition clock moves."""
    response = client.post(URL, json={"group": "canary", "reports": [reading(0, NOON * 1000)]})

    assert [entry["outcome"] for entry in response.json()["reports"]] == ["foreign_group"]
    assert clock_fixture.store.partitions(None, 1)[0].raw_ms is None


def test_refusals_and_late_records_are_counted(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Timestamps that a reporter rejected itself are counted and shown."""
    body = {
        "group": GROUP,
        "reports": [],
        "refusals": [reading(1, 9_999_999_999_999, outcome="too_far_ahead"), reading(0, -1, outcome="no_timestamp")],
        "late_records": 3,
    }

    assert client.post(URL, json=body).status_code == 200

    counted = clock_fixture.store.counters()
    assert counted.late_records == 3
    assert counted.reports == {"too_far_ahead": 1, "no_timestamp": 1}
    assert clock_fixture.store.partitions(None, 2)[1].rejected == "too_far_ahead"


def test_topics_with_create_time_and_ids_reach_the_store(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The reporter's statements are part of the report, in JSON and back."""
    sent = Report(GROUP, (), create_time_topics=(TOPIC, "more"), topic_ids={TOPIC: "id-1"})
    with patch.object(clock_fixture.store, "report", wraps=clock_fixture.store.report) as report:
        assert client.post(URL, json=report_to_wire(sent)).status_code == 200
        assert client.post(URL, json={"group": GROUP, "reports": []}).status_code == 200

    assert [call.args for call in report.call_args_list] == [(sent,), (Report(GROUP, ()),)]


def test_without_a_leader_everything_is_unknown(client_of: ClientOf) -> None:
    """Before the first leader, `bounds` is null and every outcome is `unknown`."""
    clock_fixture = ClockFixture(led=False)
    response = client_of(clock_fixture).post(URL, json={"group": GROUP, "reports": [reading(0, NOON * 1000)]})

    assert response.json()["bounds"] is None
    assert response.json()["time"] is None
    assert response.json()["reports"][0]["outcome"] == "unknown"


def test_the_clock_in_the_answer_is_never_below_what_was_shown(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The response's global clock does not go back if the store loses its stream."""
    clock_fixture.publish(*ticks(3))
    clock_fixture.read()
    clock_fixture.have([])

    response = client.post(URL, json={"group": GROUP, "reports": []})

    assert response.json()["timestamp_seconds"] == NOON - 3_600 + 120


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "group"),
        ({"group": GROUP}, "reports"),
        ({"group": "", "reports": []}, "group"),
        ({"group": 5, "reports": []}, "group"),
        ({"group": GROUP, "reports": {}}, "reports"),
        ({"group": GROUP, "reports": [], "extra": 1}, "extra"),
        ({"group": GROUP, "reports": [reading(0, 1) | {"offset": 7}]}, "reports.0.offset"),
        ({"group": GROUP, "reports": [reading(0, 1), {"topic": TOPIC, "partition": 0}]}, "reports.1.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(0, 1) | {"timestamp_ms": "1"}]}, "reports.0.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(0, 1) | {"timestamp_ms": 1.5}]}, "reports.0.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(0, 1) | {"timestamp_ms": True}]}, "reports.0.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(0, -(2**63) - 1)]}, "reports.0.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(0, 2**63)]}, "reports.0.timestamp_ms"),
        ({"group": GROUP, "reports": [reading(-1, 1)]}, "reports.0.partition"),
        ({"group": GROUP, "reports": [reading(2**31, 1)]}, "reports.0.partition"),
        ({"group": GROUP, "reports": [], "refusals": [reading(0, 1, outcome="accepted")]}, "refusals.0.outcome"),
        ({"group": GROUP, "reports": [], "late_records": -1}, "late_records"),
        ({"group": GROUP, "reports": [], "late_records": 10**9 + 1}, "late_records"),
        ({"group": GROUP, "reports": [], "create_time_topics": TOPIC}, "create_time_topics"),
        ({"group": GROUP, "reports": [], "create_time_topics": [""]}, "create_time_topics.0"),
        ({"group": GROUP, "reports": [], "create_time_topics": [TOPIC] * 1_001}, "create_time_topics"),
        ({"group": GROUP, "reports": [], "topic_ids": {TOPIC: ""}}, f"topic_ids.{TOPIC}"),
        ({"group": GROUP, "reports": [], "topic_ids": {f"t{number}": "i" for number in range(1_001)}}, "topic_ids"),
        ([], "body"),
    ],
)
def test_a_malformed_report_is_rejected_as_a_whole(
    clock_fixture: ClockFixture, client: TestClient, body: Any, field: str
) -> None:
    """422 with the field; the valid items of the same report are not written either."""
    if isinstance(body, dict) and isinstance(body.get("reports"), list):
        body = body | {"reports": [*body["reports"], reading(0, NOON * 1000)]}

    response = client.post(URL, json=body)

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == field
    assert clock_fixture.store.partitions(None, 1)[0].raw_ms is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe{}",
        b'{"group": "\\ud800", "reports": []}',
        b'{"group": NaN, "reports": []}',
        b'{"group": "g", "reports": [{"topic": "t", "partition": 0, "timestamp_ms": ' + b"9" * 5_000 + b"}]}",
        b"[" * 100_000,
    ],
    ids=["nothing", "cut off", "null", "no UTF-8", "half a character", "no number", "a huge number", "too deep"],
)
def test_what_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    """422 for a body that is not JSON; the problem itself is valid JSON."""
    response = client.post(URL, content=content, headers={"Content-Type": "application/json"})

    assert problem_name(response) == "invalid-request"


@pytest.mark.parametrize("given", [None, "text/plain", "application/x-www-form-urlencoded", "application/json2"])
def test_another_media_type_is_named(client: TestClient, given: str | None) -> None:
    """415 without `Content-Type: application/json`: `curl -d` sends a form by default."""
    headers = {} if given is None else {"Content-Type": given}
    response = client.post(URL, content=json.dumps({"group": GROUP, "reports": []}).encode(), headers=headers)

    assert problem_name(response) == "unsupported-media-type"


def test_an_outage_of_the_store_is_503(clock_fixture: ClockFixture, client: TestClient) -> None:
    """503 with Retry-After while the store does not answer."""
    clock_fixture.server.broken = True
    response = client.post(URL, json={"group": GROUP, "reports": [reading(0, NOON * 1000)]})

    assert problem_name(response) == "store-unavailable"
    assert response.headers["retry-after"] == "1"


def test_five_thousand_readings_are_taken_and_no_more(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A report has at most 5,000 items; more are rejected with the field's name."""
    most = [{"topic": "t", "partition": number, "timestamp_ms": 1} for number in range(5_000)]

    assert client.post(URL, json={"group": GROUP, "reports": most}).status_code == 200
    response = client.post(URL, json={"group": GROUP, "reports": [*most, most[0]]})
    assert response.json()["errors"][0]["field"] == "reports"


def test_every_refusal_can_be_reported(client: TestClient) -> None:
    """`refusals` accepts exactly the outcomes that reject a timestamp."""
    for outcome in REJECTIONS:
        body = {"group": GROUP, "reports": [], "refusals": [reading(0, 1, outcome=outcome.value)]}
        assert client.post(URL, json=body).status_code == 200


def test_the_pythons_own_sink_understands_the_answer(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The response decodes to the store's answer."""
    from clocksvc.interfaces.report_encoding import answer_from_wire

    answer = client.post(URL, json={"group": GROUP, "reports": []}).json()

    assert answer_from_wire(answer) == clock_fixture.store.report(Report(GROUP, ()))
