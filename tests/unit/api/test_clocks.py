"""`/v1/clocks`: the state of a clock, also during outages and between leaders."""

import pytest
from fastapi.testclient import TestClient

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.progress import Snapshot
from tests.faulty.store import FaultyStore
from tests.unit.api.clock_fixture import NOON, TOPIC, ClockFixture, after, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name


def test_the_state_of_a_running_clock_to_the_letter(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The state has every field of the contract."""
    (tick,) = ticks(1, first_s=NOON - 60)
    clock_fixture.publish(tick)
    clock_fixture.report(NOON + 5.5, NOON + 12)
    clock_fixture.publish_hold(None)
    clock_fixture.read()

    assert client.get("/v1/clocks/checkins").json() == {
        "clock": "checkins",
        "time": "2026-11-22T11:59:00Z",
        "timestamp_seconds": NOON - 60,
        "interval_seconds": 60,
        "hold_after_seconds": 120.0,
        "max_out_of_orderness_seconds": 2.0,
        "behind_seconds": 62.0,
        "due_ticks": None,
        "status": "running",
        "hold": None,
        "partitions": {"known": 2, "unknown": 0, "excluded": 0, "rejected": 0},
        "exclusions": [],
        "pause": None,
        "slowest": [
            {
                "topic": TOPIC,
                "partition": 0,
                "time": "2026-11-22T12:00:03.500Z",
                "timestamp_ms": NOON * 1000 + 3_500,
                "behind_seconds": -1.5,
                "reported_at": "2026-11-22T12:00:01Z",
                "reported_timestamp_ms": NOON * 1000 + 5_500,
                "excluded": False,
                "refused": None,
                "committed_offset": None,
                "end_offset": None,
                "waits_for": None,
            },
            {
                "topic": TOPIC,
                "partition": 1,
                "time": "2026-11-22T12:00:10Z",
                "timestamp_ms": NOON * 1000 + 10_000,
                "behind_seconds": -8.0,
                "reported_at": "2026-11-22T12:00:01Z",
                "reported_timestamp_ms": NOON * 1000 + 12_000,
                "excluded": False,
                "refused": None,
                "committed_offset": None,
                "end_offset": None,
                "waits_for": None,
            },
        ],
        "leader": "host-1:4711",
        "topics": [TOPIC],
        "group": "checkins-consumer",
        "source": "reports",
        "after": [],
        "observer": None,
        "heartbeats": {"every_seconds": None, "last_success_at": None, "delivered": 0, "failed": 0, "expired": 0},
        "schedules": None,
        "last_tick": {
            "clock": "checkins",
            "time": "2026-11-22T11:59:00Z",
            "timestamp_seconds": NOON - 60,
            "previous": None,
            "interval_seconds": 60,
            "emitted_at": "2026-11-22T11:59:02Z",
            "excluded": [],
        },
    }


def test_a_clock_before_its_first_tick(clock_fixture: ClockFixture, client: TestClient) -> None:
    """Unknown values are null, never zero."""
    clock_fixture.publish_hold(
        Hold(Reason.PARTITION_UNREPORTED, (Partition(TOPIC, 1),), "not every partition has been reported")
    )
    clock_fixture.report(NOON)
    clock_fixture.read()

    state = client.get("/v1/clocks/checkins").json()

    assert [state[name] for name in ("time", "timestamp_seconds", "behind_seconds", "last_tick")] == [None] * 4
    assert state["partitions"] == {"known": 1, "unknown": 1, "excluded": 0, "rejected": 0}
    assert state["slowest"][0]["partition"] == 1
    assert state["slowest"][0]["time"] is None
    assert state["slowest"][0]["reported_timestamp_ms"] is None
    assert state["status"] == "holding"
    assert state["hold"] == {
        "reason": "partition_unreported",
        "since": "2026-11-22T11:00:00Z",
        "partitions": [{"topic": TOPIC, "partition": 1}],
        "detail": "not every partition has been reported",
        "upstream": None,
    }


def test_a_store_out_of_reach_is_a_hold_and_takes_nothing_back(clock_fixture: ClockFixture, client: TestClient) -> None:
    """While the store fails the last tick stays, the hold begins at its emission, and the store's values are null."""
    clock_fixture.publish(*ticks(1, first_s=NOON - 60))
    clock_fixture.read()
    clock_fixture.server.broken = True
    clock_fixture.read()

    state = client.get("/v1/clocks/checkins").json()

    assert state["time"] == "2026-11-22T11:59:00Z"
    assert state["status"] == "holding"
    assert (state["hold"]["reason"], state["hold"]["since"]) == ("store_unavailable", "2026-11-22T11:59:02Z")
    assert state["partitions"] == dict.fromkeys(("known", "unknown", "excluded", "rejected"))
    assert (state["slowest"], state["leader"]) == ([], None)


def test_a_clock_without_a_leader(client_of: ClientOf) -> None:
    """Without a lease and a leader's status the hold is `no_leader`; before the first leader its beginning is null."""
    clock_fixture = ClockFixture(led=False)
    clock_fixture.read()

    state = client_of(clock_fixture).get("/v1/clocks/checkins").json()

    assert (state["hold"]["reason"], state["hold"]["since"]) == ("no_leader", None)
    assert state["leader"] is None


@pytest.mark.parametrize(("quiet_s", "reason"), [(5, None), (200, "no_leader")])
def test_a_leaders_word_does_not_hide_for_long_that_it_is_gone(
    clock_fixture: ClockFixture, client: TestClient, quiet_s: int, reason: str | None
) -> None:
    """Between two leaders there is no hold, until no tick has followed for `hold_after`."""
    clock_fixture.publish(*ticks(1, first_s=NOON))
    clock_fixture.publish_hold(None)
    clock_fixture.leases.release("token-of-the-leader")
    clock_fixture.time.advance(quiet_s)
    clock_fixture.read()

    hold = client.get("/v1/clocks/checkins").json()["hold"]

    assert (hold and hold["reason"]) == reason


def test_a_hold_outlives_its_leader(clock_fixture: ClockFixture, client: TestClient) -> None:
    """The last leader's hold is shown until its status expires, even without a lease."""
    clock_fixture.publish(*ticks(1))
    clock_fixture.publish_hold(Hold(Reason.TICKLOG_UNAVAILABLE, detail="no broker answers"))
    clock_fixture.leases.release("token-of-the-leader")
    clock_fixture.read()

    assert client.get("/v1/clocks/checkins").json()["hold"]["reason"] == "ticklog_unavailable"


def test_a_lost_stream_shows_as_rebuilding_and_nothing_lower(clock_fixture: ClockFixture, client: TestClient) -> None:
    """While the stream is rebuilt the status is `rebuilding`, and the clock's time does not change."""
    chain = ticks(3)
    clock_fixture.publish(*chain)
    clock_fixture.read()
    clock_fixture.have(chain[:1])
    clock_fixture.read()

    state = client.get("/v1/clocks/checkins").json()
    assert (state["status"], state["timestamp_seconds"]) == ("rebuilding", chain[2].at_ms // 1000)

    clock_fixture.have([*chain, *after(chain[2])])
    clock_fixture.read()
    state = client.get("/v1/clocks/checkins").json()
    assert state["status"] != "rebuilding"
    assert state["timestamp_seconds"] == chain[2].at_ms // 1000 + 60


def test_a_replica_that_has_not_read_yet_shows_no_first_tick(clock_fixture: ClockFixture, client_of: ClientOf) -> None:
    """Before the feed's first read the status is `rebuilding`, not `starting`."""
    clock_fixture.publish(*ticks(1))

    state = client_of(clock_fixture).get("/v1/clocks/checkins").json()

    assert (state["status"], state["time"]) == ("rebuilding", None)


class Counting(FaultyStore):
    """A store that counts how often its snapshot is read."""

    reads = 0

    def snapshot(self) -> Snapshot:
        self.reads += 1
        return super().snapshot()


def test_many_who_ask_cost_the_store_one_reading(client_of: ClientOf) -> None:
    """A snapshot is shared by all requests for 0.25 s."""
    clock_fixture = ClockFixture(led=False)
    store = Counting("checkins", clock_fixture.time)
    clock_fixture.view.store = store
    client = client_of(clock_fixture)

    for _ in range(50):
        client.get("/v1/clocks/checkins")
    assert store.reads == 1

    clock_fixture.time.advance(0.3)
    client.get("/v1/clocks/checkins")
    assert store.reads == 2


def test_the_list_has_every_clock_by_name(client_of: ClientOf) -> None:
    """An outage of one clock's store does not change the other clocks' states."""
    fixtures = [ClockFixture("payments"), ClockFixture("checkins")]
    for clock_fixture in fixtures:
        clock_fixture.publish(*ticks(1, clock=clock_fixture.spec.name))
        clock_fixture.read()
    fixtures[0].server.broken = True
    fixtures[0].read()
    client = client_of(*fixtures)

    clocks = client.get("/v1/clocks").json()["clocks"]

    assert [clock["clock"] for clock in clocks] == ["checkins", "payments"]
    assert clocks[0] == client.get("/v1/clocks/checkins").json()
    assert clocks[1]["hold"]["reason"] == "store_unavailable"


@pytest.mark.parametrize("name", ["chekins", "CHECKINS", "x" * 500, "%ff", "%00", "a%2Fb"])
def test_an_unknown_clock_is_named(client: TestClient, name: str) -> None:
    """404 with the requested name, even with unusual characters."""
    assert problem_name(client.get(f"/v1/clocks/{name}")) in ("unknown-clock", "not-found")
