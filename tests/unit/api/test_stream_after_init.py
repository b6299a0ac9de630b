"""A live stream that begins after `clocksvc init` and before the clock's first tick."""

from tests.unit.api.clock_fixture import NOON, TOKEN, ClockFixture, ticks
from tests.unit.api.events import streaming
from tests.unit.api.running_service import serving

ELEVEN = NOON - 3_600


def test_a_live_subscriber_before_the_first_tick_gets_that_tick() -> None:
    """The time that `init` gave is the cursor of a live subscriber, so the first tick follows it without a `reset`."""
    clock_fixture = ClockFixture(led=False)
    clock_fixture.lead((ELEVEN - 60) * 1000)
    path = "/v1/clocks/checkins/ticks/stream"
    with serving(clock_fixture) as served, streaming(served.url + path) as events:
        state = next(events)
        clock_fixture.publish(*ticks(1, previous_s=ELEVEN - 60))
        first = next(events)

    assert (first.kind, first.id) == ("tick", str(ELEVEN))
    assert (state.kind, state.id) == ("state", str(ELEVEN - 60))


def test_a_live_subscriber_that_came_before_init_gets_the_first_tick() -> None:
    """It has missed nothing, so there is no `reset`."""
    clock_fixture = ClockFixture()
    path = "/v1/clocks/checkins/ticks/stream"
    with serving(clock_fixture) as served, streaming(served.url + path) as events:
        state = next(events)
        clock_fixture.store.begin(TOKEN, (ELEVEN - 60) * 1000, restoring=False)
        clock_fixture.publish(*ticks(1, previous_s=ELEVEN - 60))
        first = next(events)

    assert (state.kind, state.id) == ("state", "0")
    assert (first.kind, first.id) == ("tick", str(ELEVEN))


def test_a_live_subscriber_that_came_before_init_gets_all_ticks_of_a_catch_up() -> None:
    """`init` can set a time long ago. Then the feed reads only the newest ticks, and the stream reads the others
    from the store."""
    clock_fixture = ClockFixture()
    path = "/v1/clocks/checkins/ticks/stream"
    with serving(clock_fixture) as served, streaming(served.url + path) as events:
        next(events)
        chain = ticks(1_200, previous_s=ELEVEN - 60)
        clock_fixture.store.begin(TOKEN, (ELEVEN - 60) * 1000, restoring=False)
        clock_fixture.publish(*chain)
        for tick in chain:
            event = next(events)
            assert (event.kind, event.id) == ("tick", str(tick.at_ms // 1000))
