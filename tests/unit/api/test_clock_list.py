"""`GET /v1/clocks`: pages, filters, orders and the brief form."""

import json
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from fastapi.testclient import TestClient

from clocksvc.api.clocks import MAX_COMPACT_BYTES
from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from tests.faulty.clock_views import ReadsOfStores
from tests.system.docs.blocks import blocks
from tests.unit.api.clock_fixture import NOON, ROSTER, TOKEN, TOPIC, ClockFixture, ticks
from tests.unit.api.conftest import ClientOf

SECRET = "secret-0123456789"
MINUTE_S = 60


def clock(
    name: str,
    *,
    behind_s: int = 0,
    emitted_ago_s: int = 0,
    hold: Reason | None = None,
    schedules: int | None = None,
) -> ClockFixture:
    """A clock whose last tick is `behind_s` in the past, and was emitted `emitted_ago_s` ago."""
    made = ClockFixture(name, schedules=schedules)
    (last,) = ticks(1, first_s=NOON - behind_s, clock=name)
    made.have([last.__class__(name, last.at_ms, None, last.interval_ms, (NOON - emitted_ago_s) * 1000)])
    made.report(NOON, NOON)
    made.publish_hold(None if hold is None else Hold(hold, (Partition(TOPIC, 0), Partition(TOPIC, 1)), "why"))
    made.read()
    return made


@pytest.fixture
def fleet(client_of: ClientOf) -> TestClient:
    """Seven clocks: two hold, two catch up, two are on time, one is paused."""
    return client_of(
        clock("a-running", behind_s=60),
        clock("b-holding", behind_s=600, emitted_ago_s=500, hold=Reason.PARTITION_BEHIND),
        clock("c-catching", behind_s=5_000),
        clock("d-running", behind_s=120),
        clock("e-holding", behind_s=300, emitted_ago_s=900, hold=Reason.LEADER_STUCK),
        clock("f-catching", behind_s=50_000),
        clock("g-paused", behind_s=90, hold=Reason.PAUSED),
    )


def names(answer: httpx2.Response) -> str:
    """The first letters of the listed clocks."""
    assert answer.status_code == 200, answer.text
    return "".join(one["clock"][0] for one in answer.json()["clocks"])


def pages(client: TestClient, **params: Any) -> list[str]:
    """All pages, by first letters."""
    found, after = [], None
    while True:
        answer = client.get("/v1/clocks", params=params | ({} if after is None else {"after": after}))
        found.append(names(answer))
        after = answer.json()["next"]
        if after is None:
            return found


def test_pages_by_name(fleet: TestClient) -> None:
    """Each clock once, in the order of names, with the cursor to the next page; none after the last page."""
    assert pages(fleet) == ["abcdefg"]
    assert pages(fleet, limit=7) == ["abcdefg"]
    assert pages(fleet, limit=3) == ["abc", "def", "g"]
    assert fleet.get("/v1/clocks?limit=3").json()["next"] == "c-catching"


def test_a_cursor_needs_no_clock(fleet: TestClient) -> None:
    """A clock may have been removed between two pages."""
    assert names(fleet.get("/v1/clocks?after=c-removed")) == "defg"


def test_the_worst_clocks_come_first(fleet: TestClient) -> None:
    """Those that hold, longest first; those that catch up, furthest behind first; the paused one; then by name."""
    assert pages(fleet, order="worst") == ["ebfcgad"]
    assert pages(fleet, order="worst", limit=2, view="brief") == ["eb", "fc", "ga", "d"]


def test_clocks_that_wait_for_an_upstream_clock_come_after_the_causes(client_of: ClientOf) -> None:
    """Although they have held as long, and before clocks that move."""
    waiting: dict[str, Any] = {"behind_s": 600, "emitted_ago_s": 900, "hold": Reason.UPSTREAM_BEHIND}
    client = client_of(
        clock("a-waiting", **waiting),
        clock("b-cause", behind_s=600, emitted_ago_s=500, hold=Reason.PARTITION_BEHIND),
        clock("c-waiting", **waiting),
        clock("d-catching", behind_s=5_000),
    )

    assert pages(client, order="worst", limit=1) == ["b", "a", "c", "d"]


def test_what_is_no_all_clear_comes_before_what_is(client_of: ClientOf) -> None:
    """Schedules that are not sent, a clock without a tick, excluded partitions and rejected reports: all before clocks
    that are well."""
    excluded, rejected, unsent = clock("d-excluded"), clock("c-rejected"), clock("e-unsent", schedules=2)
    excluded.store.write_roster(TOKEN, replace(ROSTER, excluded=frozenset({Partition(TOPIC, 1)})), 2)
    rejected.report(NOON, NOON + 7_200)
    for each in (excluded, rejected):
        each.read()
    client = client_of(
        clock("a-well", behind_s=100), clock("b-well"), excluded, rejected, unsent, ClockFixture("f-new")
    )

    assert pages(client, order="worst") == ["efcdab"]
    assert pages(client, order="worst", limit=1) == ["e", "f", "c", "d", "a", "b"]


def test_a_clock_that_does_not_change_is_on_one_page(client_of: ClientOf) -> None:
    """A clock whose state does not change is on exactly one page, although other clocks change and time passes."""
    still = [clock(f"still-{n}", behind_s=600, emitted_ago_s=500 + n, hold=Reason.PARTITION_BEHIND) for n in range(4)]
    moving = [clock(f"moving-{n}", behind_s=600, emitted_ago_s=500 + n, hold=Reason.PARTITION_BEHIND) for n in range(4)]
    client = client_of(*still, *moving)
    seen, after = [], None
    for page in range(10):
        params: dict[str, Any] = {"order": "worst", "limit": 2} | ({} if after is None else {"after": after})
        answer = client.get("/v1/clocks", params=params).json()
        seen += [one["clock"] for one in answer["clocks"] if one["clock"].startswith("still")]
        after = answer["next"]
        if after is None:
            break
        if page < len(moving):
            moving[page].publish_hold(None)
        for each in (*still, *moving):
            each.read()

    assert sorted(seen) == [f"still-{n}" for n in range(4)]


def test_only_some_statuses(fleet: TestClient) -> None:
    """Statuses are separated by commas. The counts are those of all clocks."""
    assert names(fleet.get("/v1/clocks?status=holding")) == "be"
    assert pages(fleet, status="paused,catching_up", limit=2) == ["cf", "g"]
    answer = fleet.get("/v1/clocks?status=starting").json()
    assert (answer["clocks"], answer["next"]) == ([], None)
    assert answer["counts"] == {
        "starting": 0,
        "running": 2,
        "catching_up": 2,
        "holding": 2,
        "paused": 1,
        "rebuilding": 0,
    }


def test_search_is_a_part_of_the_name(fleet: TestClient) -> None:
    """Counts are those of the clocks that match. Names have no capital letters, so a search needs none."""
    answer = fleet.get("/v1/clocks?search=hold&limit=1&order=worst")

    assert names(answer) == "e"
    assert sum(answer.json()["counts"].values()) == answer.json()["counts"]["holding"] == 2
    assert names(fleet.get("/v1/clocks?search=nothing")) == ""
    assert names(fleet.get("/v1/clocks?search=Hold")) == "be"


@pytest.mark.parametrize(
    ("search", "found"), [("invoices", "a"), ("BILLERS", "a"), ("ingest-check", "b"), ("running", "ab"), ("open", "a")]
)
def test_search_is_a_part_of_the_group_or_of_a_topic(client_of: ClientOf, search: str, found: str) -> None:
    """A search finds a clock by each of its topics. Topics and groups may have capital letters."""
    other = clock("a-running")
    other.view.spec = replace(other.spec, group="Billers", topics=("Invoices", "open-items"))
    client = client_of(other, clock("b-running"))

    assert names(client.get(f"/v1/clocks?search={search}")) == found


def test_a_token_lists_and_counts_its_own_clocks(client_of: ClientOf) -> None:
    """The counts contain only clocks that the token may see."""
    token = Token("some", SECRET, frozenset({Scope.READ}), frozenset({"b-running"}))
    client = client_of(clock("a-running"), clock("b-running"), tokens=[token], token=SECRET)

    answer = client.get("/v1/clocks")

    assert names(answer) == "b"
    assert sum(answer.json()["counts"].values()) == 1


def test_the_brief_form_to_the_letter(fleet: TestClient) -> None:
    """The brief form has what a table of clocks needs, without details."""
    found = {one["clock"]: one for one in fleet.get("/v1/clocks?view=brief").json()["clocks"]}

    assert found["a-running"] == {
        "clock": "a-running",
        "time": "2026-11-22T11:59:00Z",
        "timestamp_seconds": NOON - 60,
        "interval_seconds": 60,
        "behind_seconds": 61.0,
        "due_ticks": None,
        "status": "running",
        "hold": None,
        "partitions": {"known": 2, "unknown": 0, "excluded": 0, "rejected": 0},
        "source": "reports",
        "after": [],
        "schedules": None,
    }
    assert found["e-holding"]["hold"] == {
        "reason": "leader_stuck",
        "since": "2026-11-22T11:45:00Z",
        "partitions": [{"topic": TOPIC, "partition": 0}],
        "partition_count": 2,
        "upstream": None,
    }


def shape(value: Any) -> Any:
    """The names of all fields."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_the_documented_brief_form(fleet: TestClient) -> None:
    """The example in docs/http.md has the fields of an answer, and its cursor is one."""
    (block,) = (one for one in blocks("docs/http.md", "json") if one.name == "brief")
    documented = json.loads(block.text)

    answer = fleet.get("/v1/clocks?order=worst&view=brief&limit=1").json()

    assert shape(answer) == shape(documented)
    assert names(fleet.get("/v1/clocks", params={"order": "worst", "after": documented["next"]})) == "fcgad"


def test_a_brief_page_has_at_most_60_kB(client_of: ClientOf) -> None:
    """A brief page ends before 60 kB, for any `limit`, with a cursor. No clock is skipped."""
    names_of_all = [f"{number:03}-{'x' * 59}" for number in range(300)]
    client = client_of(*(clock(name, emitted_ago_s=900, hold=Reason.METADATA_UNAVAILABLE) for name in names_of_all))
    found, sizes, after = [], [], None
    while True:
        params: dict[str, Any] = {"view": "brief", "limit": 1_000} | ({} if after is None else {"after": after})
        answer = client.get("/v1/clocks", params=params)
        sizes.append(len(answer.content))
        found += [one["clock"] for one in answer.json()["clocks"]]
        after = answer.json()["next"]
        if after is None:
            break

    assert max(sizes) <= MAX_COMPACT_BYTES
    assert len(sizes) < 5
    assert found == names_of_all


def test_the_full_form_is_that_of_one_clock(fleet: TestClient) -> None:
    """This is also so on a page of worst clocks."""
    listed = fleet.get("/v1/clocks?order=worst&limit=1").json()["clocks"]

    assert listed == [fleet.get("/v1/clocks/e-holding").json()]


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ("after=UPPER", "after", "the value of `next`"),
        ("after=0:1:checkins", "after", "the same order"),
        ("order=worst&after=checkins", "after", "the same order"),
        ("order=worst&after=0:x:checkins", "after", "the value of `next`"),
        ("order=worst&after=0:1:checkins:2", "after", "the value of `next`"),
        ("order=worst&after=0:1:-", "after", "the value of `next`"),
        ("status=holding,stopped", "status", "starting, running, catching_up, holding, paused, rebuilding"),
        ("status=", "status", "wanted one or more of"),
        ("limit=1001", "limit", "1000"),
        ("limit=0", "limit", "1"),
        ("order=best", "order", "'name' or 'worst'"),
        ("view=short", "view", "'full' or 'brief'"),
        ("page=2", "page", "after, limit, status, search, order, view"),
        ("status=holding&status=paused", "status", "once"),
    ],
)
def test_a_wrong_parameter_is_named(fleet: TestClient, query: str, field: str, says: str) -> None:
    """422 with the name of the parameter and what is wanted."""
    answer = fleet.get(f"/v1/clocks?{query}")

    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["field"] == field
    assert says in error["wanted"], json.dumps(error)


def test_a_list_costs_the_store_one_reading(client_of: ClientOf) -> None:
    """Requests within `max_age_s` use the same states."""
    one, other = clock("one", behind_s=60), clock("other", behind_s=60)
    client = client_of(one, other)
    with patch.object(ReadsOfStores, "read", autospec=True, side_effect=ReadsOfStores.read) as read:
        for _ in range(20):
            client.get("/v1/clocks")
        shared = [len(call.args[1]) for call in read.mock_calls if call.args[1]]
        for each in (one, other):
            each.time.advance(0.3)
        client.get("/v1/clocks")
        again = [len(call.args[1]) for call in read.mock_calls if call.args[1]]

    assert (shared, again) == ([2], [2, 2])
