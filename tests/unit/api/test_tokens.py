"""Tokens: scopes and clocks; without a valid token no data is returned."""

import logging

import pytest

from clocksvc.api.tokens import Scope, Token
from tests.unit.api.clock_fixture import GROUP, ClockFixture, ticks
from tests.unit.api.conftest import ClientOf
from tests.unit.api.openapi_contract import problem_name

READ, REPORT, ADMIN, SOME = "read-token-0123456", "report-token-01234", "admin-token-012345", "some-clocks-012345"
TOKENS = [
    Token("grafana", READ, frozenset({Scope.READ})),
    Token("consumer", REPORT, frozenset({Scope.REPORT})),
    Token("operator", ADMIN, frozenset({Scope.ADMIN})),
    Token("team", SOME, frozenset({Scope.READ, Scope.REPORT}), frozenset({"checkins"})),
]
READS = ["/v1/clocks/checkins", "/v1/clocks/checkins/partitions", "/v1/clocks/checkins/ticks"]
READS += ["/v1/clocks/checkins/wait?until=0", "/v1/clocks", "/metrics"]


@pytest.fixture
def fixtures() -> list[ClockFixture]:
    """Two clocks, each with a tick."""
    made = [ClockFixture("checkins"), ClockFixture("payments")]
    for clock_fixture in made:
        clock_fixture.publish(*ticks(1, clock=clock_fixture.spec.name))
        clock_fixture.read()
    return made


@pytest.mark.parametrize("path", [*READS, "/v1/clocks/checkins/ticks/stream", "/v1/clocks/nosuch", "/nothing"])
def test_without_a_token_no_data_is_returned(client_of: ClientOf, fixtures: list[ClockFixture], path: str) -> None:
    """401 with a challenge, the same for clocks that exist and that don't."""
    response = client_of(*fixtures, tokens=TOKENS).get(path)

    assert problem_name(response) == "unauthenticated"
    assert response.headers["www-authenticate"] == 'Bearer realm="clocksvc"'


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {READ}x",
        f"Bearer {READ[:-1]}",
        "Bearer ",
        "Bearer",
        f"Basic {READ}",
        READ,
        f"Bearer {READ}, Bearer {READ}",
        "Bearer \xe9\xff",
    ],
)
def test_a_wrong_token_is_none(client_of: ClientOf, fixtures: list[ClockFixture], header: str) -> None:
    """Malformed and unknown tokens are rejected, and tokens in the URL are ignored."""
    client = client_of(*fixtures, tokens=TOKENS)
    response = client.get("/v1/clocks", headers={b"Authorization": header.encode("latin-1")})

    assert problem_name(response) == "unauthenticated"
    assert problem_name(client.get(f"/v1/clocks?token={READ}")) == "unauthenticated"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_any_case(client_of: ClientOf, fixtures: list[ClockFixture], scheme: str) -> None:
    """The scheme is case-insensitive, as HTTP requires."""
    headers = {"Authorization": f"{scheme} {READ}"}
    assert client_of(*fixtures, tokens=TOKENS).get("/v1/clocks", headers=headers).status_code == 200


def test_an_unknown_clock_lists_the_clocks_of_the_token(client_of: ClientOf, fixtures: list[ClockFixture]) -> None:
    """The most similar name first. A token for some clocks does not see the names of others."""
    client = client_of(*fixtures, tokens=TOKENS)

    def detail(token: str) -> str:
        return str(client.get("/v1/clocks/paymets", headers={"Authorization": f"Bearer {token}"}).json()["detail"])

    assert detail(READ) == "no clock 'paymets' is configured here: wanted one of payments, checkins"
    assert detail(SOME) == "token 'team' is not for this clock: wanted one of checkins"


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(("token", "status"), [(READ, 200), (ADMIN, 200), (REPORT, 403)])
def test_reading_needs_the_scope_read(
    client_of: ClientOf, fixtures: list[ClockFixture], path: str, token: str, status: int
) -> None:
    """`admin` implies `read`; `report` does not."""
    response = client_of(*fixtures, tokens=TOKENS, token=token).get(path)

    assert response.status_code == status
    if status == 403:
        assert problem_name(response) == "forbidden"
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


@pytest.mark.parametrize(("token", "status"), [(READ, 403), (ADMIN, 403), (REPORT, 200), (SOME, 200)])
def test_reporting_needs_the_scope_report(
    client_of: ClientOf, fixtures: list[ClockFixture], token: str, status: int
) -> None:
    """No other scope implies `report`."""
    client = client_of(*fixtures, tokens=TOKENS, token=token)
    response = client.post("/v1/clocks/checkins/reports", json={"group": GROUP, "reports": []})

    assert response.status_code == status


def test_a_token_for_some_clocks_sees_no_other(client_of: ClientOf, fixtures: list[ClockFixture]) -> None:
    """Other clocks are not listed, and look like clocks that don't exist; `/metrics` needs a token for all clocks."""
    client = client_of(*fixtures, tokens=TOKENS, token=SOME)

    assert [clock["clock"] for clock in client.get("/v1/clocks").json()["clocks"]] == ["checkins"]
    assert client.get("/v1/clocks/checkins").status_code == 200
    hidden, missing = client.get("/v1/clocks/payments"), client.get("/v1/clocks/nosuch")
    assert problem_name(hidden) == problem_name(missing) == "forbidden"
    assert hidden.json() == missing.json()
    assert problem_name(client.get("/metrics")) == "forbidden"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/openapi.json", "/docs/swagger-ui.css"])
def test_probes_and_the_description_need_no_token(client_of: ClientOf, fixtures: list[ClockFixture], path: str) -> None:
    """Pages and probes need no token: they have no data of clocks."""
    assert client_of(*fixtures, tokens=TOKENS).get(path).status_code == 200


def test_a_token_shows_nowhere(
    client_of: ClientOf, fixtures: list[ClockFixture], caplog: pytest.LogCaptureFixture
) -> None:
    """A secret is in no response, no log and no repr."""
    caplog.set_level(logging.DEBUG)
    client = client_of(*fixtures, tokens=TOKENS)
    answers = [
        client.get("/v1/clocks", headers={"Authorization": f"Bearer {given}"}).text for given in (READ, f"{READ}x")
    ]

    assert all(READ not in text for text in [*answers, caplog.text, repr(TOKENS)])


def test_bad_json_without_a_token_is_still_a_401(client_of: ClientOf, fixtures: list[ClockFixture]) -> None:
    """The token is checked before the store is read."""
    response = client_of(*fixtures, tokens=TOKENS).post("/v1/clocks/checkins/reports", content=b"{")

    assert problem_name(response) == "unauthenticated"
