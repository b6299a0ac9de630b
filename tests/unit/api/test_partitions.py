"""`/v1/clocks/{clock}/partitions`: every partition clock, each once, in pages."""

import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from tests.unit.api.clock_fixture import NOON, TOKEN, TOPIC, ClockFixture
from tests.unit.api.openapi_contract import problem_name

URL = "/v1/clocks/checkins/partitions"


def many(clock_fixture: ClockFixture) -> None:
    """12 partitions of one topic and 3 of another, one of them excluded."""
    shapes = {TOPIC: TopicMetadata("topic-1", 12), "payments": TopicMetadata("topic-2", 3)}
    clock_fixture.store.write_roster(TOKEN, Roster(shapes, frozenset({Partition("payments", 1)})), 2)


def test_pages_have_every_partition_once_in_order(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Pages are ordered by topic and number (10 after 9), until `next` is null."""
    many(clock_fixture)
    seen: list[tuple[str, int]] = []
    after: str | None = None
    while True:
        page = client.get(URL, params={"limit": 4} | ({"after": after} if after else {})).json()
        seen += [(entry["topic"], entry["partition"]) for entry in page["partitions"]]
        after = page["next"]
        if after is None:
            break

    assert seen == [(TOPIC, number) for number in range(12)] + [("payments", number) for number in range(3)]


def test_one_topic_alone(clock_fixture: ClockFixture, client: TestClient) -> None:
    """`topic` filters the list; excluded partitions are included and marked."""
    many(clock_fixture)
    page = client.get(URL, params={"topic": "payments"}).json()

    assert [(entry["partition"], entry["excluded"]) for entry in page["partitions"]] == [
        (0, False),
        (1, True),
        (2, False),
    ]
    assert page["next"] is None
    assert client.get(URL, params={"topic": "no-such"}).json() == {"partitions": [], "next": None}


def test_an_exact_page_is_the_last(clock_fixture: ClockFixture, client: TestClient) -> None:
    """`next` is null on a full page that ends with the last partition."""
    assert client.get(URL, params={"limit": 2}).json()["next"] is None
    assert client.get(URL, params={"limit": 1}).json()["next"] == f"{TOPIC}:0"


def test_an_entry_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The partition clock is the reported time less the out-of-orderness; a rejection shows until the next report."""
    clock_fixture.report(NOON + 2.5, NOON + 3_600)
    clock_fixture.read()

    known, refused = client.get(URL).json()["partitions"]

    assert known == {
        "topic": TOPIC,
        "partition": 0,
        "time": "2026-11-22T12:00:00.500Z",
        "timestamp_ms": NOON * 1000 + 500,
        "behind_seconds": 1.5,
        "reported_at": "2026-11-22T12:00:01Z",
        "reported_timestamp_ms": NOON * 1000 + 2_500,
        "excluded": False,
        "refused": None,
        "committed_offset": None,
        "end_offset": None,
        "waits_for": None,
    }
    assert (refused["time"], refused["reported_at"], refused["refused"]) == (None, None, "too_far_ahead")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"after": "nonsense"}, "after"),
        ({"after": "topic:-1"}, "after"),
        ({"after": "topic:99999999999"}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 5001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"topics": TOPIC}, "topics"),
        ({"topic": ""}, "topic"),
    ],
)
def test_a_wrong_argument_is_named(client: TestClient, params: dict[str, str | int], field: str) -> None:
    """422 with the field, its value and what is wanted."""
    response = client.get(URL, params=params)

    assert problem_name(response) == "invalid-request"
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert error["value"] == str(params[field])
    assert error["wanted"]


def test_without_the_store_there_is_no_list(clock_fixture: ClockFixture, client: TestClient) -> None:
    """During an outage of the store: 503 with Retry-After rather than an empty page."""
    clock_fixture.server.broken = True
    response = client.get(URL)

    assert problem_name(response) == "store-unavailable"
    assert response.headers["retry-after"] == "1"
