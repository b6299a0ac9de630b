"""`/v1/clocks/{clock}/partitions/brief`: every partition clock in a compact form, for the page's map."""

import json
from typing import Any

from fastapi.testclient import TestClient

from clocksvc.api.clocks import MAX_COMPACT_PARTITIONS, compact_page
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.service.clock_view import PartitionPage
from clocksvc.service.public_state import PublicPartition
from tests.unit.api.clock_fixture import NOON, TOKEN, TOPIC, ClockFixture
from tests.unit.api.openapi_contract import problem_name

URL = "/v1/clocks/checkins/partitions/brief"
LONGEST_TOPIC = "t" * 249
NOW_MS = NOON * 1000


def partition_clocks(topic: str, count: int, clock_ms: int, *, step: int = 1) -> list[PublicPartition]:
    """`count` partitions of a topic, every `step`-th number."""
    return [partition_clock(Partition(topic, number), clock_ms) for number in range(0, count * step, step)]


def partition_clock(partition: Partition, clock_ms: int) -> PublicPartition:
    """A partition that was reported just now."""
    return PublicPartition(partition, clock_ms, NOW_MS - clock_ms, NOW_MS, clock_ms, excluded=False, rejected=None)


def pages(partitions: list[PublicPartition]) -> list[dict[str, Any]]:
    """All pages, as a client gets them that asks until `next` is null; each at most 60 kB."""
    found, left = [], partitions
    while True:
        text = compact_page(PartitionPage(NOW_MS, left[: MAX_COMPACT_PARTITIONS + 1]))
        assert len(text.encode()) <= 60_000
        page = json.loads(text)
        found.append(page)
        if page["next"] is None:
            return found
        at = [str(one.partition) for one in left].index(page["next"])
        left = left[at + 1 :]


def partitions_of(found: list[dict[str, Any]]) -> list[str]:
    """The partitions of pages, in order, by name."""
    return [
        f"{run['topic']}:{run['first'] + at}"
        for page in found
        for run in page["runs"]
        for at in range(len(run["behind_ms"]))
    ]


def test_a_page_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Runs of consecutive partitions: how far each is behind, and its mark."""
    shapes = {TOPIC: TopicMetadata("topic-1", 4), "payments": TopicMetadata("topic-2", 1)}
    clock_fixture.store.write_roster(TOKEN, Roster(shapes, frozenset({Partition(TOPIC, 3)})), 2)
    clock_fixture.report(NOON + 2.5, NOON - 60, NOON + 3_600, NOON)
    clock_fixture.read()

    assert client.get(URL).json() == {
        "now_ms": NOW_MS + 2_000,
        "runs": [
            {"topic": TOPIC, "first": 0, "behind_ms": [1_500, 64_000, None, 4_000], "marks": "..!x"},
            {"topic": "payments", "first": 0, "behind_ms": [None], "marks": "?"},
        ],
        "next": None,
    }
    assert [run["topic"] for run in client.get(URL, params={"after": f"{TOPIC}:3"}).json()["runs"]] == ["payments"]


def test_it_has_the_same_clocks_as_the_list(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Both routes give the same partition clocks."""
    clock_fixture.report(NOON + 2.5, NOON - 60)
    clock_fixture.read()
    listed = client.get("/v1/clocks/checkins/partitions").json()["partitions"]
    page = client.get(URL).json()
    (run,) = page["runs"]

    assert [line["timestamp_ms"] for line in listed] == [page["now_ms"] - behind_ms for behind_ms in run["behind_ms"]]


def test_4096_partitions_are_one_page() -> None:
    """4,096 partitions fit on one page, even if each is ten years behind."""
    for clock_ms in (NOW_MS, NOW_MS - 10 * 365 * 86_400_000):
        (page,) = pages(partition_clocks(TOPIC, 4_096, clock_ms))

        assert partitions_of([page]) == [f"{TOPIC}:{number}" for number in range(4_096)]
        assert page["next"] is None


def test_no_page_exceeds_its_limit() -> None:
    """Pages are at most 60 kB and have every partition once: with many, non-consecutive, or long-named partitions."""
    for these in (
        partition_clocks(TOPIC, 12_000, 0),
        partition_clocks(LONGEST_TOPIC, 700, 0, step=2),
        [line for number in range(400) for line in partition_clocks(f"{LONGEST_TOPIC[4:]}{number:04}", 3, 0)],
    ):
        found = pages(these)

        assert len(found) > 1
        assert partitions_of(found) == [str(one.partition) for one in these]


def test_an_exact_page_is_the_last() -> None:
    """After a full page that has the last partition, no empty page follows."""
    assert len(pages(partition_clocks("t", MAX_COMPACT_PARTITIONS, NOW_MS))) == 1
    assert len(pages(partition_clocks("t", MAX_COMPACT_PARTITIONS + 1, NOW_MS))) == 2
    assert pages([]) == [{"now_ms": NOW_MS, "runs": [], "next": None}]


def test_an_excluded_one_that_is_refused_is_excluded() -> None:
    """The mark of an exclusion takes precedence over that of a rejected report."""
    partition = PublicPartition(Partition("t", 0), None, None, None, None, excluded=True, rejected=Outcome.NO_TIMESTAMP)

    assert pages([partition])[0]["runs"][0]["marks"] == "x"


def test_a_wrong_cursor_is_named(client: TestClient) -> None:
    """An invalid cursor is 422, as in the list."""
    response = client.get(URL, params={"after": "nonsense"})

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == "after"


def test_without_the_store_there_is_no_picture(clock_fixture: ClockFixture, client: TestClient) -> None:
    """During an outage of the store: 503 with Retry-After."""
    clock_fixture.server.broken = True
    response = client.get(URL)

    assert problem_name(response) == "store-unavailable"
    assert response.headers["retry-after"] == "1"
