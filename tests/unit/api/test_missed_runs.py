"""Missed runs over HTTP: of all partitions, the newest tick first, in pages that neither repeat nor skip a run."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import InvalidValue
from clocksvc.scheduler.owned import MissedPage, MissedRun
from clocksvc.schedules.wheel import Missed, Reason
from tests.unit.api.clock_fixture import NOON, ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.schedule_fixture import PATH, ScheduleFixture

RUNS = f"{PATH}/missed-runs"
BATCH = 3


class ChainOfRuns:
    """The missed runs of a partition in batches of at most 3, as an owned partition gives them.

    Attributes:
        runs: the newest one first.
        asked: every argument `before`.
    """

    def __init__(self, partition: int, ticks: list[int]) -> None:
        self.runs = [
            MissedRun(
                1_000 + number, at_s * 1000, Missed(at_s * 1000, at_s * 1000, b"m%d" % partition, 1, Reason.EXPIRED)
            )
            for number, at_s in enumerate(sorted(ticks))
        ][::-1]
        self.asked: list[int | None] = []

    def missed(self, before: int | None, limit: int) -> MissedPage:
        """`before` is the offset of the oldest run of the page before."""
        self.asked.append(before)
        if before is not None and before not in {run.offset for run in self.runs}:
            raise InvalidValue("before", before, "wanted the next of another page")
        left = [run for run in self.runs if before is None or run.offset < before]
        page = left[: min(limit, BATCH)]
        return MissedPage(page, page[-1].offset if len(left) > len(page) else None)


@pytest.fixture
def schedules() -> ScheduleFixture:
    """Four partitions, of which one has missed nothing."""
    made = ScheduleFixture()
    ticks = {0: range(20), 1: range(5, 8), 2: range(0), 3: [0, 0, 0, 7, 7, 30]}
    for number, minutes in ticks.items():
        made.partitions[number].owned = ChainOfRuns(number, [NOON + 60 * minute for minute in minutes])  # type: ignore[assignment]
    return made


@pytest.fixture
def client(clock_fixture: ClockFixture, client_of: ClientOf, schedules: ScheduleFixture) -> TestClient:
    """A client of the clock with these schedules."""
    return client_of(clock_fixture, access={"checkins": schedules.access})


def read(client: TestClient, limit: int) -> list[dict[str, Any]]:
    """All pages."""
    runs: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = client.get(RUNS, params={"limit": limit, **({} if after is None else {"after": after})}).json()
        assert 0 < len(page["missed_runs"]) <= limit
        runs += page["missed_runs"]
        after = page["next"]
        if after is None:
            return runs


@pytest.mark.parametrize("limit", [1, 2, 4, 28, 29, 500])
def test_all_of_them_in_pages(client: TestClient, limit: int) -> None:
    """Each once, the newest tick first, in pages of any size."""
    runs = read(client, limit)

    assert len({(one["partition"], one["offset"]) for one in runs}) == len(runs) == 29
    assert [one["tick"] for one in runs] == sorted((one["tick"] for one in runs), reverse=True)
    assert runs[0] == {
        "id": "m3",
        "due": to_rfc3339((NOON + 1800) * 1000),
        "last_due": to_rfc3339((NOON + 1800) * 1000),
        "runs": 1,
        "reason": "expired",
        "tick": to_rfc3339((NOON + 1800) * 1000),
        "partition": 3,
        "offset": 1005,
    }


def test_a_page_does_not_begin_at_the_newest_run(client: TestClient, schedules: ScheduleFixture) -> None:
    """The cursor has the place in each chain, so that a later page does not read the newest runs again."""
    chain: ChainOfRuns = schedules.partitions[0].owned  # type: ignore[assignment]
    after = client.get(RUNS, params={"limit": 14}).json()["next"]
    chain.asked.clear()

    assert len(client.get(RUNS, params={"limit": 4, "after": after}).json()["missed_runs"]) == 4
    assert None not in chain.asked


def test_runs_that_are_new_do_not_disturb(client: TestClient, schedules: ScheduleFixture) -> None:
    """What is missed while pages are read is not on a later page."""
    first = client.get(RUNS, params={"limit": 3}).json()
    schedules.partitions[2].owned = ChainOfRuns(2, [NOON + 7200])  # type: ignore[assignment]

    second = client.get(RUNS, params={"limit": 3, "after": first["next"]}).json()

    assert {one["partition"] for one in second["missed_runs"]} == {0}
    assert client.get(RUNS, params={"limit": 1}).json()["missed_runs"][0]["partition"] == 2


def test_nothing_was_missed(clock_fixture: ClockFixture, client_of: ClientOf) -> None:
    """An empty page."""
    made = ScheduleFixture()
    for number, partition in made.partitions.items():
        partition.owned = ChainOfRuns(number, [])  # type: ignore[assignment]

    assert client_of(clock_fixture, access={"checkins": made.access}).get(RUNS).json() == {
        "missed_runs": [],
        "next": None,
    }


@pytest.mark.parametrize("after", ["x", "1.2", "1.2.3.", "1.2.3.4-", "-1.2.3", "1795348800000.0.1005.0-7"])
def test_a_cursor_of_something_else(client: TestClient, after: str) -> None:
    """422, also if a place is none of the partition."""
    response = client.get(RUNS, params={"after": after})

    assert problem_name(response) == "invalid-request"
    assert response.json()["errors"][0]["field"] == "after"
