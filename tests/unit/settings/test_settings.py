"""The file, its defaults, and the values that other packages take from it."""

from pathlib import Path

import pytest

from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.errors import SettingsError
from clocksvc.interfaces.due_sink import SinkKind
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.settings import advertised_address, load, settings_from
from tests.unit.settings.sample_config import CLOCK, MINIMAL, loaded, problems_of, with_clock, with_section

pytestmark = pytest.mark.core


def test_the_smallest_file_gives_every_default() -> None:
    """A clock needs topics and a group; all other fields have the documented defaults."""
    settings = settings_from(MINIMAL)

    assert settings.clock_specs() == {
        "checkins": ClockSpec(
            name="checkins",
            topics=("ingest",),
            group="consumer",
            interval_ms=60_000,
            max_out_of_orderness_ms=None,
            max_future_ms=60_000,
            hold_after_ms=None,
            recent_ticks_ms=604_800_000,
            heartbeat=HeartbeatSpec(60_000, None, None),
        )
    }
    assert (settings.tick_log.topic, settings.tick_log.keep) == ("clocksvc-ticks", 30 * 86_400_000)
    assert settings.kafka_settings() == {"bootstrap.servers": "localhost:9092"}
    assert settings.celery_broker() == ("redis://localhost:6379/0", {})
    assert (settings.redis.prefix, settings.redis.cluster, settings.redis.sentinel) == ("clocksvc", False, None)
    assert (settings.api.host, settings.api.port, settings.api.tokens) == ("127.0.0.1", 8080, ())


def test_every_field_of_a_clock_arrives() -> None:
    """All fields of a clock reach the core, in milliseconds and bytes."""
    settings = loaded("""
        clocks:
          eu-checkins:
            topics: [a, b.c]
            group: g
            interval: 5m
            max_out_of_orderness: 500ms
            max_future: 1.5s
            max_past: 30d
            catch_up_pace: 0.5
            max_drift: 90m
            hold_after: 1h
            recent_ticks: 2d
            heartbeat: {every: 30, key: k, payload: !!binary AAH/}
    """)

    heartbeat = HeartbeatSpec(30_000, b"k", b"\x00\x01\xff")
    expected = ClockSpec(
        *("eu-checkins", ("a", "b.c"), "g", 300_000, 500, 1_500, 3_600_000, 172_800_000, heartbeat),
        max_past_ms=30 * 86_400_000,
        catch_up_pace=0.5,
        max_drift_ms=90 * 60_000,
    )
    assert settings.clock_specs() == {"eu-checkins": expected}


def test_the_tick_log_is_for_all_clocks() -> None:
    """Its topic and how long it keeps ticks, from the file and from the environment."""
    settings = settings_from({**MINIMAL, "tick_log": {"topic": "eu.ticks"}}, {"CLOCKSVC_TICK_LOG__KEEP": "90d"})

    assert (settings.tick_log.topic, settings.tick_log.keep) == ("eu.ticks", 90 * 86_400_000)


def test_schedules_have_two_topics() -> None:
    """Only clocks with a section `schedules` have some; an empty section has the defaults."""
    settings = settings_from(
        {"clocks": {"plain": CLOCK, "checkins": {**CLOCK, "schedules": {}}, "bills": {**CLOCK, "schedules": None}}},
        {"CLOCKSVC_CLOCKS__BILLS__SCHEDULES__PARTITIONS": "256", "CLOCKSVC_CLOCKS__BILLS__SCHEDULES__SINK": "celery"},
    )

    assert settings.schedules_specs() == {
        "checkins": SchedulesSpec("checkins", 8),
        "bills": SchedulesSpec("bills", 256, SinkKind.CELERY),
    }
    assert SchedulesSpec("bills", 1).topic == "bills-schedules"
    assert SchedulesSpec("bills", 1).due_topic == "bills-due"


@pytest.mark.parametrize(
    ("configured", "host", "address"),
    [
        (None, "127.0.0.1", "http://127.0.0.1:8081"),
        (None, "0.0.0.0", "http://pod-1:8081"),
        (None, "::", "http://pod-1:8081"),
        (None, "fd00::7", "http://[fd00::7]:8081"),
        ("https://one.example.com", "0.0.0.0", "https://one.example.com"),
        ("http://[fd00::7]:80", "::", "http://[fd00::7]:80"),
    ],
)
def test_a_scheduler_advertises_an_address(configured: str | None, host: str, address: str) -> None:
    """The configured one, or one that can be reached from other machines if the process listens for them."""
    settings = settings_from(with_section("scheduler", {"address": configured}))

    assert advertised_address(settings.scheduler, host, settings.scheduler.port, "pod-1") == address


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("60s", 60_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("90 s", 90_000),
        ("90", 90_000),
        (90, 90_000),
        ("250ms", 250),
        (0.25, 250),
        ("0.5m", 30_000),
        (0, 0),
        (1.5, 1_500),
    ],
)
def test_durations(written: object, milliseconds: int) -> None:
    """A duration is a number with a unit, or seconds."""
    assert settings_from(with_clock(max_future=written)).clock_specs()["checkins"].max_future_ms == milliseconds


@pytest.mark.parametrize(
    "written",
    ["soon", "", "1w", "-1s", -1, True, [], {}, "1e3", "0.0001s", float("nan"), float("inf"), 10**30, "1h30m", "１s"],
)
def test_invalid_durations_are_rejected(written: object) -> None:
    """Anything else is rejected, with its path."""
    (problem,) = problems_of(with_clock(max_future=written))

    assert problem.startswith("clocks.checkins.max_future: ")


def test_heartbeats_are_on_unless_null() -> None:
    """Absent or empty: one a minute. `null` disables them."""
    specs = settings_from(
        {
            "clocks": {
                "absent": CLOCK,
                "empty": {**CLOCK, "heartbeat": {}},
                "off": {**CLOCK, "heartbeat": None},
            }
        }
    ).clock_specs()

    assert [spec.heartbeat for spec in specs.values()] == [
        HeartbeatSpec(60_000),
        HeartbeatSpec(60_000, offset_ms=20),
        None,
    ]


def test_a_short_interval_alone_is_valid() -> None:
    """A clock with an interval of one second needs no field for heartbeats, and has them."""
    assert settings_from(with_clock(interval="1s")).clock_specs()["checkins"].heartbeat is not None


def test_where_the_file_comes_from(tmp_path: Path) -> None:
    """From the path, else CLOCKSVC_CONFIG, else the environment alone; a file that can't be read is an error."""
    one, other, binary = tmp_path / "one.yaml", tmp_path / "other.yaml", tmp_path / "binary"
    one.write_text("clocks: {one: {topics: [a], group: g}}")
    other.write_text("clocks: {other: {topics: [a], group: g}}")
    binary.write_bytes(b"\xff\xfe\xff")
    environ = {"CLOCKSVC_CONFIG": str(other)}

    assert list(load(str(one), environ).clocks) == ["one"]
    assert list(load(None, environ).clocks) == ["other"]
    alone = {"CLOCKSVC_CLOCKS__ALONE__TOPICS": "a", "CLOCKSVC_CLOCKS__ALONE__GROUP": "g"}
    assert list(load(None, alone).clocks) == ["alone"]
    with pytest.raises(SettingsError, match=r"gone\) is not valid:\n  can't be read: No such file"):
        load(str(tmp_path / "gone"), {})
    with pytest.raises(SettingsError, match=r"can't be read: it is not UTF-8 text"):
        load(str(binary), {})


def test_settings_are_immutable() -> None:
    """Values that were validated can't change."""
    settings = settings_from(MINIMAL)

    with pytest.raises(ValueError, match="frozen"):
        settings.redis.prefix = "x"


def test_heartbeats_of_many_clocks_are_spread() -> None:
    """In the order of names, 20 ms apart, each interval for itself. Clocks without heartbeats take no place."""
    clocks = {
        "d": CLOCK,
        "c": {**CLOCK, "heartbeat": {"every": "30s"}},
        "b": {**CLOCK, "heartbeat": None},
        "a": {**CLOCK, "heartbeat": {"every": "60s"}},
        "e": {**CLOCK, "heartbeat": {"every": "30s"}},
    }
    settings = settings_from({"clocks": clocks})
    offsets = {name: spec.heartbeat.offset_ms for name, spec in settings.clock_specs().items() if spec.heartbeat}

    assert offsets == {"a": 0, "d": 20, "c": 0, "e": 20}
    assert settings.clock_spec("e") == settings.clock_specs()["e"]


def test_a_problem_of_many_clocks_is_one_line() -> None:
    """With the number and the names of the first clocks; up to five are separate lines."""
    wrong = {f"shop-{number:04}": {**CLOCK, "intervall": "5s"} for number in range(2_000)}
    with pytest.raises(SettingsError) as many:
        settings_from({"clocks": {**wrong, "other": {**CLOCK, "group": 5}}})
    with pytest.raises(SettingsError) as few:
        settings_from({"clocks": dict(list(wrong.items())[:5])})

    assert many.value.problems == (
        "clocks.shop-0000.intervall: unknown field: did you mean 'interval'? (the same in 1,999 more clocks: "
        "shop-0001, shop-0002, shop-0003, shop-0004, shop-0005 and 1,994 more)",
        "clocks.other.group: 5 is not valid: wanted text: put it in quotes",
    )
    assert len(few.value.problems) == 5
