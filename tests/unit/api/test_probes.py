"""`/livez`, `/readyz` and `/metrics`."""

from fastapi.testclient import TestClient

from tests.faulty.store import FaultyStore
from tests.unit.api.clock_fixture import ClockFixture, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name


def test_it_lives(client: TestClient) -> None:
    """`/livez` is 200 regardless of the clocks."""
    assert client.get("/livez").json() == {"status": "ok"}


def test_it_is_not_ready_before_every_feed_has_read(client_of: ClientOf) -> None:
    """503 with the number of clocks until their first read. It needs no token, so it has no names."""
    fixtures = [ClockFixture("checkins"), ClockFixture("payments")]
    fixtures[0].read()
    client = client_of(*fixtures)

    response = client.get("/readyz")
    assert problem_name(response) == "not-ready"
    assert response.json()["clocks"] == {"not read yet": 1}
    assert "1 of 2 clocks" in response.json()["detail"]
    assert "payments" not in response.text

    fixtures[1].read()
    assert client.get("/readyz").json() == {"status": "ready"}


def test_it_stays_ready_while_the_store_is_out_of_reach(clock_fixture: ClockFixture, client: TestClient) -> None:
    """During an outage of the store a replica is ready: it answers with the hold."""
    clock_fixture.server.broken = True
    clock_fixture.read()

    assert client.get("/readyz").status_code == 200


def test_it_stays_ready_while_the_stream_is_rebuilt(clock_fixture: ClockFixture, client: TestClient) -> None:
    """During an outage of Kafka all replicas stay ready: one must answer with the hold."""
    clock_fixture.publish(*ticks(2))
    clock_fixture.read()
    clock_fixture.have([])
    clock_fixture.read()

    assert clock_fixture.feed.rebuilding
    assert client.get("/readyz").status_code == 200


def test_it_is_not_ready_when_it_alone_lost_the_feed(client_of: ClientOf) -> None:
    """A replica that lost its feed while the store answers is not ready."""
    clock_fixture = ClockFixture()
    clock_fixture.read()
    clock_fixture.view.store = FaultyStore("checkins", clock_fixture.time)  # answers the view, not the feed
    clock_fixture.server.broken = True
    clock_fixture.read()

    response = client_of(clock_fixture).get("/readyz")

    assert problem_name(response) == "not-ready"
    assert response.json()["clocks"] == {"lost while the store answers": 1}


def test_it_is_not_ready_when_the_feeds_thread_hangs(clock_fixture: ClockFixture, client: TestClient) -> None:
    """A feed that has not been stepped for long makes the replica not ready."""
    clock_fixture.time.advance(120)

    assert problem_name(client.get("/readyz")) == "not-ready"


def test_metrics_are_given_as_they_are(client: TestClient) -> None:
    """`/metrics` has the body and media type of the exporter."""
    response = client.get("/metrics")

    assert response.text == "clocksvc_build_info 1\n"
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_probes_answer_head(client: TestClient) -> None:
    """Probes answer HEAD, which some load balancers send."""
    for path in ("/livez", "/readyz"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")
