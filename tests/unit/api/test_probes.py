"""`/livez`, `/readyz`, `/metrics`: what a cluster must know before it sends somebody here."""

from fastapi.testclient import TestClient

from clocksvc.interfaces.store import Snapshot
from tests.faulty.store import FaultyStore
from tests.unit.api.bed import (
    Bed,
    ticks,
)
from tests.unit.api.conftest import ClientOf
from tests.unit.api.contract import problem_name


def test_it_lives(client: TestClient) -> None:
    """Whatever the clocks do."""
    assert client.get("/livez").json() == {"status": "ok"}


def test_it_is_not_ready_before_every_feed_has_read(client_of: ClientOf) -> None:
    """503 that names the clocks; ready after their first read."""
    beds = [Bed("checkins"), Bed("payments")]
    beds[0].read()
    client = client_of(*beds)

    response = client.get("/readyz")
    assert problem_name(response) == "not-ready"
    assert response.json()["clocks"] == {"payments": "not read yet"}

    beds[1].read()
    assert client.get("/readyz").json() == {"status": "ready"}


def test_it_stays_ready_while_the_store_is_out_of_reach(bed: Bed, client: TestClient) -> None:
    """It can answer with the hold, and so can no other replica do better."""
    bed.store.broken = True
    bed.read()

    assert client.get("/readyz").status_code == 200


def test_it_stays_ready_while_the_stream_is_made_anew(bed: Bed, client: TestClient) -> None:
    """Every replica is in that state at once: without any nobody could say why the clock stands still."""
    bed.publish(*ticks(2))
    bed.read()
    bed.have([])
    bed.read()

    assert bed.feed.rebuilding
    assert client.get("/readyz").status_code == 200


class Halved(FaultyStore):
    """A store that answers one connection and not the other."""

    def snapshot(self) -> Snapshot:
        self.broken = False
        try:
            return super().snapshot()
        finally:
            self.broken = True


def test_it_is_not_ready_when_it_alone_lost_the_feed(client_of: ClientOf) -> None:
    """The store answers, but this replica does not follow it any more."""
    bed = Bed()
    bed.read()
    bed.view.store = Halved("checkins", bed.time)
    bed.store.broken = True
    bed.read()

    response = client_of(bed).get("/readyz")

    assert problem_name(response) == "not-ready"
    assert response.json()["clocks"] == {"checkins": "lost while the store answers"}


def test_it_is_not_ready_when_the_feeds_thread_hangs(bed: Bed, client: TestClient) -> None:
    """A feed that has not been stepped for long shows nothing new."""
    bed.time.advance(120)

    assert problem_name(client.get("/readyz")) == "not-ready"


def test_metrics_are_given_as_they_are(client: TestClient) -> None:
    """Body and media type are the exporter's."""
    response = client.get("/metrics")

    assert response.text == "clocksvc_build_info 1\n"
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_probes_answer_head(client: TestClient) -> None:
    """Some load balancers ask so."""
    for path in ("/livez", "/readyz"):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")
