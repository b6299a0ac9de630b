"""A token has a limited number of open streams; others are not affected."""

from contextlib import ExitStack

import httpx2
import pytest

from clocksvc.api.open_streams import OTHER_FILES
from clocksvc.api.tokens import Scope, Token
from tests.unit.api.clock_fixture import ClockFixture, ticks
from tests.unit.api.events import streaming
from tests.unit.api.openapi_contract import problem_name
from tests.unit.api.running_service import serving
from tests.waiting import eventually

STREAM = "/v1/clocks/checkins/ticks/stream"
ONE, OTHER = (Token(name, f"{name}-token-0123456789", frozenset({Scope.READ})) for name in ("one", "other"))


def bearer(token: Token) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {token.secret}"}


@pytest.mark.parametrize("tokens", [[ONE, OTHER], []], ids=["with tokens", "without tokens"])
def test_more_streams_than_allowed_are_rejected(clock_fixture: ClockFixture, tokens: list[Token]) -> None:
    """429 with Retry-After for the third of at most two. A stream that ends makes room."""
    clock_fixture.publish(*ticks(1))
    with serving(clock_fixture, tokens=tokens, streams_per_token=2) as served, ExitStack() as opened:
        url, clock = served.url + STREAM, served.app.state.clocks["checkins"]
        kept = [opened.enter_context(streaming(url, headers=bearer(ONE))) for _ in range(2)]
        assert [next(events).kind for events in kept] == ["state", "state"]

        rejected = httpx2.get(url, headers=bearer(ONE))

        assert (problem_name(rejected), rejected.status_code) == ("too-many-streams", 429)
        assert int(rejected.headers["retry-after"]) > 0
        assert httpx2.get(served.url + "/v1/clocks/checkins", headers=bearer(ONE)).status_code == 200
        if tokens:
            with streaming(url, headers=bearer(OTHER)) as events:
                assert next(events).kind == "state"
        opened.close()
        eventually(lambda: clock.streams == 0, what="the streams to end")
        with streaming(url, headers=bearer(ONE)) as events:
            assert next(events).kind == "state"


def test_streams_leave_files_for_other_connections(clock_fixture: ClockFixture) -> None:
    """A process that may open few files rejects streams of all tokens before its connections to Kafka fail."""
    clock_fixture.publish(*ticks(1))
    with serving(clock_fixture, tokens=[ONE, OTHER], max_files=OTHER_FILES + 1) as served:
        url = served.url + STREAM
        with streaming(url, headers=bearer(ONE)) as events:
            assert next(events).kind == "state"

            rejected = httpx2.get(url, headers=bearer(OTHER))

    assert (problem_name(rejected), rejected.status_code) == ("too-many-streams", 429)
    assert rejected.json()["detail"].startswith("this replica may open 501 files (ulimit -n), ")
