"""Reporter, and `ticks` and `wait_until` over both drivers, against the real HTTP service, over a store in memory."""

import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from clocksvc import Reporter
from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick
from clocksvc.errors import CursorTooOld, RequestRejected, UnknownClock
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture, after
from tests.unit.api.clock_fixture import ticks as chain_of
from tests.unit.api.running_service import serving
from tests.unit.client.drivers import Driver
from tests.waiting import eventually

pytestmark = pytest.mark.core

ELEVEN = NOON - 3_600


def test_a_subscriber_gets_every_tick_of_two_replicas(drivers: list[Driver]) -> None:
    """One replica ends and the next one continues: each tick once, in order, from the subscriber's cursor."""
    clock_fixture, chain = ClockFixture(), chain_of(300)
    clock_fixture.publish(*chain[:250])
    with serving(clock_fixture) as served:
        first = [list(islice(driver.ticks(served.url, "checkins", after=0), 250)) for driver in drivers]
    again = ClockFixture()
    again.publish(*chain)
    with serving(again) as served:
        rest = [
            list(islice(driver.ticks(served.url, "checkins", after=got[-1].at_ms / 1000), 50))
            for driver, got in zip(drivers, first, strict=True)
        ]

    assert [got + more for got, more in zip(first, rest, strict=True)] == [chain, chain]


def test_a_live_subscriber_gets_what_comes(drivers: list[Driver]) -> None:
    """No tick from before the connection, and every tick after it."""
    clock_fixture, chain = ClockFixture(), chain_of(3)
    clock_fixture.publish(*chain)
    got: list[list[Tick]] = []

    def publish_one() -> bool:
        chain.extend(after(chain[-1]))
        clock_fixture.publish(chain[-1])
        return len(got) == len(drivers)

    with serving(clock_fixture) as served, ThreadPoolExecutor() as readers:
        for driver in drivers:
            readers.submit(lambda driver=driver: got.append(list(islice(driver.ticks(served.url, "checkins"), 3))))  # type: ignore[misc]
        eventually(publish_one, what="connected subscribers")

    for ticks in got:
        begin = chain.index(ticks[0])

        assert begin >= 3
        assert ticks == chain[begin : begin + 3]


def test_a_cursor_that_is_too_old_is_an_error_with_the_way_on(drivers: list[Driver]) -> None:
    """The error's `oldest_previous_ms` is a cursor that works."""
    clock_fixture, kept = ClockFixture(keep=8), chain_of(20)[5:]
    clock_fixture.have(kept)
    with serving(clock_fixture) as served:
        for driver in drivers:
            with pytest.raises(CursorTooOld) as raised:
                next(driver.ticks(served.url, "checkins", after=ELEVEN))

            assert raised.value.oldest_previous_ms is not None

            following = driver.ticks(served.url, "checkins", after=raised.value.oldest_previous_ms / 1000)

            assert list(islice(following, 15)) == kept


def test_waiting_for_a_time(drivers: list[Driver]) -> None:
    """It ends when the first boundary at or after the time is ticked."""
    clock_fixture = ClockFixture()
    clock_fixture.publish(*chain_of(2))
    with serving(clock_fixture) as served:
        for driver in drivers:
            assert driver.wait_until(served.url, "checkins", ELEVEN + 60, timeout=0)
            assert not driver.wait_until(served.url, "checkins", ELEVEN + 61, timeout=0)

        clock_fixture.publish(*after(chain_of(2)[-1]))

        for driver in drivers:
            assert driver.wait_until(served.url, "checkins", "2026-11-22T11:01:01Z", timeout=10)
            with pytest.raises(UnknownClock):
                driver.wait_until(served.url, "orders", ELEVEN, timeout=0)


def test_reports_by_http() -> None:
    """Timestamps, rejections and late records arrive in the store."""
    clock_fixture = ClockFixture()
    clock_fixture.publish(*chain_of(1))
    with (
        serving(clock_fixture) as served,
        Reporter(served.url, "checkins", group=GROUP, time=clock_fixture.time) as reporter,
    ):
        reporter.observe(0, NOON * 1000)
        reporter.observe(1, -1)

        assert reporter.flush()

        reporter.observe(0, ELEVEN * 1000 - 1)

        assert reporter.close()

    clock_fixture.server.broken = False
    counters = clock_fixture.store.counters()
    raw = {clock.partition: clock.raw_ms for clock in clock_fixture.store.partitions(None, 10)}

    assert raw == {Partition(TOPIC, 0): NOON * 1000, Partition(TOPIC, 1): None}
    assert counters.reports["no_timestamp"] == 1
    assert counters.late_records == 1


def test_a_token_without_scope_is_refused(drivers: list[Driver], caplog: pytest.LogCaptureFixture) -> None:
    """A subscriber gets an error at once; a consumer continues, and its log has the reason."""
    clock_fixture = ClockFixture()
    token = Token("grafana", "secret-of-grafana", frozenset({Scope.READ}), None)
    with serving(clock_fixture, tokens=[token]) as served, caplog.at_level(logging.ERROR):
        for driver in drivers:
            with pytest.raises(RequestRejected):
                next(driver.ticks(served.url, "checkins"))
        with Reporter(
            served.url, "checkins", group=GROUP, token="secret-of-grafana", time=clock_fixture.time
        ) as reporter:
            reporter.observe(0, NOON * 1000)
            reporter.close(0.5)

    assert "report" in caplog.text
