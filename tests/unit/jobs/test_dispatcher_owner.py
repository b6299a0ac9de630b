"""Two apps never share a dispatcher: each would move the position that the other continues from."""

import logging

import pytest

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.errors import DispatcherConflict, StoreMismatch
from clocksvc.interfaces.schedule import EachTick, Schedule
from clocksvc.jobs.dispatcher import STANDBY_AFTER_S, STANDBY_CHECK_S
from clocksvc.memory.checkpoints import ClockDispatcher
from tests.unit.jobs.dispatcher_fixture import DispatcherFixture

pytestmark = pytest.mark.core


def schedules(*names: str, task: str = "") -> list[Schedule]:
    return [Schedule(name, EachTick(), task=task) for name in names]


@pytest.fixture
def fixture() -> DispatcherFixture:
    """The app `shop` with the schedules `bills` and `report` has sent the tasks of tick 1, and has stopped."""
    made = DispatcherFixture()
    made.tick(0)
    first = made.dispatcher(schedules("bills", "report"), app="shop")
    made.run(first)
    made.tick(1)
    made.run(first)
    first.close()
    assert made.queue.due("bills") == [1]
    return made


CONFLICTS = {
    "another app": ("crm", ("bills",), "belongs to the app 'shop', so the app 'crm' can't use it"),
    "another app with the same name": ("shop", ("mails",), "its schedules are bills, report, and this app has none"),
    "an equal entry with another task": ("shop", ("bills=crm.bills",), r"with the same task \(bills \(crm.bills\)\)"),
    "no schedules": ("shop", (), r"none of them with the same task \(no schedules\)"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_another_app_is_refused_and_changes_nothing(fixture: DispatcherFixture, name: str) -> None:
    """The error names both apps and what to set. The first app continues without a loss."""
    app, names, text = CONFLICTS[name]
    before = dict(fixture.topic.checkpoints[ClockDispatcher("c", "beat")])
    fixture.tick(2)
    own = [one for name, _, task in (name.partition("=") for name in names) for one in schedules(name, task=task)]
    other = fixture.dispatcher(own, app=app)

    with pytest.raises(DispatcherConflict, match=rf"(?s){text}.*app\.conf\.clocksvc_dispatcher"):
        fixture.run(other)
    other.close()

    assert fixture.topic.checkpoints[ClockDispatcher("c", "beat")] == before
    fixture.run(fixture.dispatcher(schedules("bills", "report"), app="shop"))
    assert fixture.queue.due("bills") == fixture.queue.due("report") == [1, 2]


def test_a_new_version_of_the_app_continues(fixture: DispatcherFixture) -> None:
    """It can add and remove schedules, as long as it keeps one."""
    fixture.tick(2)

    fixture.run(changed := fixture.dispatcher(schedules("bills", "mails"), app="shop"))
    fixture.tick(3)
    fixture.run(changed)

    assert fixture.queue.due("bills") == [1, 2, 3]
    assert fixture.queue.due("mails") == [3]


def test_entries_that_are_missing_after_a_takeover_are_logged(
    fixture: DispatcherFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """With their tasks, also if an entry of this name has another task now. Once: the checkpoints have the app's
    entries then."""
    for entries, missing in (
        (("bills",), "entries report of the dispatcher 'beat'"),
        (("bills", "mails"), None),
        (("bills", "mails=shop.mails"), "entries mails of"),
        (("bills", "mails=shop.post"), "entries mails (shop.mails) of"),
        (("bills", "mails=shop.post"), None),
    ):
        caplog.clear()
        own = [one for name, _, task in (e.partition("=") for e in entries) for one in schedules(name, task=task)]
        with caplog.at_level(logging.WARNING, "clocksvc.dispatcher"):
            fixture.run(app := fixture.dispatcher(own, app="shop"))
        app.close()

        assert [missing in line for line in caplog.messages if missing] == [True] * (missing is not None)
        assert all("give each its own clocksvc_dispatcher" in line for line in caplog.messages)
        assert bool(caplog.messages) is (missing is not None)


def test_a_standby_is_refused_before_it_is_active() -> None:
    """If two apps start at the same time, only the checkpoints that the active one writes show the conflict."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first = fixture.dispatcher(schedules("bills"), app="shop")
    standby = fixture.dispatcher(schedules("mails"), app="shop")
    fixture.run(first, standby)
    fixture.time.advance(STANDBY_AFTER_S)

    with pytest.raises(DispatcherConflict):
        standby.step(0.0)


def test_a_standby_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that was never active, and again after it was active."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first, second = (fixture.dispatcher(schedules("bills"), app="shop") for _ in range(2))
    fixture.run(first, second)
    with caplog.at_level(logging.INFO, "clocksvc.dispatcher"):
        for _ in range(3):
            fixture.time.advance(STANDBY_AFTER_S)
            fixture.run(first, second)
        assert caplog.messages == ["another process dispatches"]
        fixture.group.assign(fixture.group.members[1])
        fixture.run(first, second)

    assert sorted(caplog.messages) == ["another process dispatches", "another process dispatches", "dispatching"]


def test_an_outage_during_the_check_is_no_conflict() -> None:
    """It is checked again."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first = fixture.dispatcher(schedules("bills"), app="shop")
    standby = fixture.dispatcher(schedules("mails"), app="shop")
    fixture.run(first)
    fixture.time.advance(STANDBY_CHECK_S)
    fixture.topic.unavailable = True
    assert standby.step(0.0) > 0
    fixture.topic.unavailable = False

    with pytest.raises(DispatcherConflict):
        standby.step(0.0)


def test_two_versions_side_by_side_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A deployment replaces the old version soon. If the line is repeated, two apps share a name and a schedule."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    old = fixture.dispatcher(schedules("bills", "report"), app="shop")
    fixture.run(old)
    new = fixture.dispatcher(schedules("bills", "mails"), app="shop")
    with caplog.at_level(logging.WARNING, "clocksvc.dispatcher"):
        fixture.group.assign(fixture.group.members[1])
        fixture.run(old, new)
        (first,) = caplog.messages
        assert first.startswith("entries report of the dispatcher 'beat' that ran before are not in this app")
        fixture.group.assign(fixture.group.members[0])
        fixture.run(old, new)

    _, line = caplog.messages
    assert "only here report; only there mails" in line


def test_the_services_own_dispatcher_has_no_rule(fixture: DispatcherFixture) -> None:
    """No app can have its name, and its schedules are those of the configuration."""
    for names in (("a",), ("b",)):
        own = fixture.dispatcher(schedules(*names), name="clocksvc")
        fixture.run(own)
        own.close()


def test_a_dispatcher_of_another_installation_is_refused_and_changes_nothing() -> None:
    """Its `redis.prefix` is not the one in the tick log. The installation to which the log belongs is not disturbed."""
    fixture = DispatcherFixture()
    fixture.log.begin_own([LogOwner(Installation("prod", "redis:6379"), "a").message()])
    fixture.log.end_own(committed=True)
    fixture.tick(0)
    other = fixture.dispatcher(schedules("bills"), app="shop")

    with pytest.raises(StoreMismatch, match=r"belongs to the installation 'prod' .*redis\.prefix.*not to 'clocksvc'"):
        fixture.run(other)
    other.close()

    assert fixture.topic.checkpoints == {}
    assert fixture.queue.tasks == []
