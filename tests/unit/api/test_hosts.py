"""DNS rebinding: a web page whose name resolves to this service's address sends its own name as Host."""

import pytest
from fastapi.testclient import TestClient

from clocksvc.api.allowed_hosts import allowed_hosts
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name

LOOPBACK = ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.8.8.8:1", "[::1]", "[::1]:8080"]
NAMES = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evil.localhost"]
NO_HOSTS = ["", "a b", "[::1", "::1", "localhost:x", "localhost@evil.example", "127.0.0.1:80:80"]
ADDRESSES = ["10.1.2.3:8080", "0.0.0.0", "[fd00::1]:8080"]
MOVES = [
    ("POST", "/pause", {"reason": "why"}),
    ("POST", "/exclusions", {"topic": TOPIC, "partition": 1, "reason": "why"}),
    ("POST", "/reports", {"group": GROUP, "reports": [{"topic": TOPIC, "partition": 0, "timestamp_ms": NOON * 1000}]}),
]


@pytest.fixture
def local(client_of: ClientOf, clock_fixture: ClockFixture) -> TestClient:
    """A client of a service without tokens that listens on loopback."""
    return client_of(clock_fixture, hosts=allowed_hosts("127.0.0.1", ["clock.example.com", "*.corp"], tokens=False))


@pytest.mark.parametrize("host", [*NAMES, *NO_HOSTS, *ADDRESSES, "corp", "clock.example.com.evil.example"])
def test_another_name_reads_nothing(local: TestClient, host: str) -> None:
    """A page at another name can't read a clock, a page or a probe."""
    for path in ("/v1/clocks", "/", "/openapi.json", "/metrics", "/livez", "/nothing"):
        response = local.get(path, headers={"Host": host})

        assert (problem_name(response), response.status_code) == ("misdirected-request", 421)
        assert "checkins" not in response.text


@pytest.mark.parametrize(("method", "path", "body"), MOVES)
def test_another_name_moves_nothing(
    clock_fixture: ClockFixture, local: TestClient, method: str, path: str, body: dict[str, object]
) -> None:
    """A page at another name can't pause a clock, exclude a partition or report."""
    response = local.request(method, f"/v1/clocks/checkins{path}", json=body, headers={"Host": "evil.example"})

    assert problem_name(response) == "misdirected-request"
    seen = clock_fixture.store.snapshot()
    assert (seen.pause, seen.exclusions, seen.known, clock_fixture.store.counters().reports) == (None, (), 0, {})


@pytest.mark.parametrize("host", [*LOOPBACK, "clock.example.com", "CLOCK.example.com:443", "a.corp", "a.b.corp:80"])
def test_loopback_and_listed_names_are_answered(local: TestClient, host: str) -> None:
    """With any port, in any case."""
    assert local.get("/v1/clocks/checkins", headers={"Host": host}).status_code == 200


def test_an_open_service_answers_addresses_and_listed_names(client_of: ClientOf, clock_fixture: ClockFixture) -> None:
    """`--insecure` on all addresses: probes use the address of the pod, and a page can't forge an address."""
    open_to_all = client_of(clock_fixture, hosts=allowed_hosts("0.0.0.0", ["clocksvc"], tokens=False))

    for host in (*LOOPBACK, *ADDRESSES, "clocksvc:8080"):
        assert open_to_all.get("/v1/clocks", headers={"Host": host}).status_code == 200
    for host in (*NAMES, *NO_HOSTS):
        assert open_to_all.get("/v1/clocks", headers={"Host": host}).status_code == 421


def test_the_name_that_it_listens_on_is_answered() -> None:
    """`--host NAME` needs no second setting."""
    hosts = allowed_hosts("clock.internal", [], tokens=False)

    assert hosts is not None
    assert hosts.allows("clock.internal:8080")
    assert not hosts.allows("evil.example")


def test_tokens_need_no_hosts() -> None:
    """With tokens every host is answered, unless names are listed."""
    assert allowed_hosts("0.0.0.0", [], tokens=True) is None
    listed = allowed_hosts("0.0.0.0", ["clock.example.com"], tokens=True)

    assert listed is not None
    assert [listed.allows(host) for host in ("clock.example.com", "10.1.2.3:8080", "evil.example")] == [
        True,
        True,
        False,
    ]
