"""Every documented problem occurs, and only in the operations that document it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from clocksvc.api.schedule_access import ScheduleAccess
from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.request import Request
from clocksvc.errors import OutcomeUnknown, StoreMismatch, StoreUnavailable
from clocksvc.interfaces.progress import Report, ReportAnswer
from tests.faulty.store import FaultyStore
from tests.unit.api.clock_fixture import GROUP, NOON, TOKEN, TOPIC, ClockFixture, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import documented_problems, operations, problem_name
from tests.unit.api.schedule_fixture import ScheduleFixture

ELEVEN = NOON - 3_600
WITHOUT_SCOPES = Token("none", "without-scopes-0123", frozenset())
ALL = Token("all", "all-0123456789012", frozenset(Scope))

ONE = "/v1/clocks/checkins"
CALLS: dict[str, tuple[str, str]] = {
    "listClocks": ("GET", "/v1/clocks"),
    "getClock": ("GET", ONE),
    "getPipeline": ("GET", f"{ONE}/pipeline"),
    "listPartitions": ("GET", f"{ONE}/partitions"),
    "briefPartitions": ("GET", f"{ONE}/partitions/brief"),
    "listHolds": ("GET", f"{ONE}/holds"),
    "listTicks": ("GET", f"{ONE}/ticks"),
    "streamTicks": ("GET", f"{ONE}/ticks/stream"),
    "waitUntil": ("GET", f"{ONE}/wait?until=2100-01-01T00:00:00Z&timeout=0"),
    "report": ("POST", f"{ONE}/reports"),
    "exclude": ("POST", f"{ONE}/exclusions"),
    "include": ("DELETE", f"{ONE}/exclusions"),
    "pause": ("POST", f"{ONE}/pause"),
    "resume": ("POST", f"{ONE}/resume"),
    "listSchedules": ("GET", f"{ONE}/schedules"),
    "importSchedules": ("POST", f"{ONE}/schedules"),
    "listMissedRuns": ("GET", f"{ONE}/schedules/missed-runs"),
    "getSchedule": ("GET", f"{ONE}/schedules/monitor-1"),
    "putSchedule": ("PUT", f"{ONE}/schedules/monitor-1"),
    "deleteSchedule": ("DELETE", f"{ONE}/schedules/monitor-1"),
    "live": ("GET", "/livez"),
    "ready": ("GET", "/readyz"),
    "metrics": ("GET", "/metrics"),
}
WHY = {"reason": "a disk died"}
DEAD = {"topic": TOPIC, "partition": 1, **WHY}
CHECK = {"interval": "60s", "task": "uptime.check"}
BODIES = {"putSchedule": CHECK, "report": {"group": GROUP, "reports": []}, "exclude": DEAD, "include": DEAD}
OLD = f"?after={ELEVEN}"


class Foreign(FaultyStore):
    """A store of another format."""

    def report(self, report: Report) -> ReportAnswer:
        raise StoreMismatch


class Flushed(FaultyStore):
    """A store that is emptied when a request is submitted, and then fails."""

    def submit_request(self, request: Request) -> bool:
        self.server.wipe()
        raise StoreUnavailable


def outage(clock_fixture: ClockFixture) -> None:
    """The store does not answer."""
    clock_fixture.server.broken = True


def loss(clock_fixture: ClockFixture) -> None:
    """The stream of ticks is lost."""
    clock_fixture.have([])
    clock_fixture.read()


def foreign(clock_fixture: ClockFixture) -> None:
    """The store has another format."""
    clock_fixture.view.store = Foreign("checkins", clock_fixture.time)


def closing(client: TestClient) -> None:
    """The service shuts down."""
    client.app.state.closing.set()  # type: ignore[attr-defined]


def flushed(clock_fixture: ClockFixture) -> None:
    """The store is emptied when a request is submitted."""
    clock_fixture.view.store = Flushed("checkins", clock_fixture.time, server=clock_fixture.server)


def leaderless(clock_fixture: ClockFixture) -> None:
    """The clock has no leader."""
    clock_fixture.leases.release(TOKEN)


NIGHT_SHIFT = ("exclude", "include", "pause", "resume")
SPECIAL: dict[tuple[str, str], tuple[str, Callable[[ClockFixture], None] | None]] = {
    **{(name, "store-unavailable"): ("", outage) for name in NIGHT_SHIFT},
    **{(name, "not-done"): ("", leaderless) for name in NIGHT_SHIFT},
    **{(name, "outcome-unknown"): ("", flushed) for name in NIGHT_SHIFT},
    ("listPartitions", "store-unavailable"): ("", outage),
    ("briefPartitions", "store-unavailable"): ("", outage),
    ("listHolds", "store-unavailable"): ("", outage),
    ("listTicks", "cursor-too-old"): ("?after=5", None),
    ("listTicks", "rebuilding"): (OLD, loss),
    ("listTicks", "store-unavailable"): (OLD, outage),
    ("streamTicks", "rebuilding"): (OLD, loss),
    ("streamTicks", "store-unavailable"): (OLD, outage),
    ("waitUntil", "clock-not-reached"): ("", None),
    ("report", "store-unavailable"): ("", outage),
    ("report", "store-mismatch"): ("", foreign),
}
"""For each problem: what to add to the URL, and what to do before the request."""


def unknown(schedules: ScheduleFixture) -> ScheduleAccess:
    """Writes have no known outcome."""
    schedules.add("monitor-1")
    for partition in schedules.partitions.values():
        partition.owned.after_write = OutcomeUnknown()
    return schedules.access


def unowned(schedules: ScheduleFixture) -> ScheduleAccess:
    """No process owns a partition."""
    return schedules.forwarded()


def without_store(schedules: ScheduleFixture) -> ScheduleAccess:
    """The owners are not known, because the store does not answer."""
    schedules.server.broken = True
    return schedules.forwarded()


WRITES = ("putSchedule", "deleteSchedule")
READS = ("listSchedules", "listMissedRuns", "getSchedule")
IF_MATCH = {"If-Match": "*"}
SCHEDULES: dict[tuple[str, str], tuple[dict[str, str], Callable[[ScheduleFixture], ScheduleAccess] | None]] = {
    **{(name, "no-schedules"): ({}, None) for name in (*WRITES, *READS, "importSchedules")},
    **{(name, "schedules-unavailable"): ({}, unowned) for name in (*WRITES, *READS)},
    **{(name, "store-unavailable"): ({}, without_store) for name in (*WRITES, *READS)},
    **{(name, "outcome-unknown"): ({}, unknown) for name in WRITES},
    **{(name, "precondition-failed"): (IF_MATCH, lambda schedules: schedules.access) for name in WRITES},
    **{(name, "unknown-schedule"): ({}, lambda schedules: schedules.access) for name in ("getSchedule", WRITES[1])},
}
"""For each problem of schedules: the headers, and how the request gets to them; None if the clock has none."""

FOR_ALL = {"unauthenticated", "forbidden", "invalid-request", "unknown-clock", "misdirected-request"}
OTHERS = {
    ("listTicks", "shutting-down"),
    ("streamTicks", "shutting-down"),
    ("waitUntil", "shutting-down"),
    *((name, "body-too-large") for name in ("report", *NIGHT_SHIFT)),
    *((name, "unsupported-media-type") for name in ("report", *NIGHT_SHIFT)),
    ("ready", "not-ready"),
    ("streamTicks", "too-many-streams"),
    # tested with schedules
    ("importSchedules", "too-many-streams"),
    ("importSchedules", "unsupported-media-type"),
    ("putSchedule", "unsupported-media-type"),
    ("putSchedule", "body-too-large"),
}


@pytest.fixture
def kept() -> ClockFixture:
    """A clock with ten ticks: the first ones are trimmed, two are in memory."""
    clock_fixture = ClockFixture(keep=2)
    clock_fixture.have(ticks(10)[1:])
    clock_fixture.read()
    return clock_fixture


def ask(client: TestClient, operation: str, more: str = "", clock: str = "checkins", **how: Any) -> str:
    """The name of the problem that a request gets."""
    method, path = CALLS[operation]
    if method != "GET":
        how = {"json": BODIES.get(operation, WHY)} | how
    return problem_name(client.request(method, (path + more).replace("checkins", clock), **how))


def test_the_tables_here_name_every_documented_problem(openapi: dict[str, Any]) -> None:
    """The tables here have every documented problem."""
    documented = {(operation, name) for operation, _, name in documented_problems(openapi)}

    special = {pair for pair in documented if pair[1] not in FOR_ALL}

    assert special == set(SPECIAL) | set(SCHEDULES) | OTHERS
    assert {operation["operationId"] for operation in operations(openapi).values()} == set(CALLS)


@pytest.mark.parametrize(("operation", "name"), sorted(SPECIAL))
def test_each_special_problem_happens(client_of: ClientOf, kept: ClockFixture, operation: str, name: str) -> None:
    """Each problem occurs under its condition."""
    more, before = SPECIAL[operation, name]
    client = client_of(kept)
    if before is not None:
        before(kept)

    assert ask(client, operation, more) == name


@pytest.mark.parametrize(("operation", "name"), sorted(SCHEDULES))
def test_each_problem_of_schedules_happens(client_of: ClientOf, kept: ClockFixture, operation: str, name: str) -> None:
    """Each problem occurs under its condition."""
    headers, access = SCHEDULES[operation, name]
    client = client_of(kept, access={} if access is None else {"checkins": access(ScheduleFixture())})
    media_type = "application/x-ndjson" if operation == "importSchedules" else "application/json"

    assert ask(client, operation, headers={"Content-Type": media_type, **headers}) == name


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_each_general_problem_happens(
    client_of: ClientOf, kept: ClockFixture, openapi: dict[str, Any], operation: str
) -> None:
    """Each problem occurs in the operations that document it, and in no other."""
    documented = {name for its, _, name in documented_problems(openapi) if its == operation}
    client = client_of(kept, tokens=[WITHOUT_SCOPES, ALL])
    all_may = {"Authorization": f"Bearer {ALL.secret}"}
    forbidden = {"Authorization": f"Bearer {WITHOUT_SCOPES.secret}"}

    separator = "&" if "?" in CALLS[operation][1] else "?"
    assert ask(client, operation, f"{separator}typo=1", headers=all_may) == "invalid-request"
    if "unauthenticated" in documented:
        assert ask(client, operation) == "unauthenticated"
        assert ask(client, operation, headers=forbidden) == "forbidden"
    else:
        assert operation in ("live", "ready")
    if "unknown-clock" in documented:
        assert ask(client, operation, clock="no-such", headers=all_may) == "unknown-clock"
    else:
        assert "{clock}" not in CALLS[operation][1]


def test_problems_of_bodies_and_ends_happen(client_of: ClientOf, kept: ClockFixture) -> None:
    """Problems that need a body or headers."""
    client = client_of(kept)
    much = {"Content-Type": "application/json"}

    for name in ("report", *NIGHT_SHIFT):
        assert ask(client, name, json=None, content=b"{}", headers={"Content-Type": "text/plain"}) == OTHER_TYPE
        assert ask(client, name, json=None, content=b" " * (1024 * 1024 + 1), headers=much) == "body-too-large"
    assert ask(client_of(ClockFixture()), "ready") == "not-ready"
    closing(client)
    assert ask(client, "streamTicks") == "shutting-down"
    assert ask(client, "waitUntil") == "shutting-down"


OTHER_TYPE = "unsupported-media-type"


class Surprising(FaultyStore):
    """A store that raises an unexpected exception."""

    def report(self, report: Report) -> ReportAnswer:
        raise RuntimeError("secret inside")


def test_an_unforeseen_error_tells_nothing(
    client_of: ClientOf, clock_fixture: ClockFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is 500 as problem details; only the log has its text."""
    clock_fixture.view.store = Surprising("checkins", clock_fixture.time)
    client = client_of(clock_fixture)
    client.event_hooks["response"].clear()
    response = client.post(CALLS["report"][1], json={"group": GROUP, "reports": []})

    assert problem_name(response) == "internal-error"
    assert response.status_code == 500
    assert "secret inside" not in response.text
    assert "secret inside" in caplog.text
