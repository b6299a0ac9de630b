"""The value of a schedule: what writers may give, what is written, and what is read."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clocksvc.client.consumer.table_partition import TablePartition
from clocksvc.errors import InvalidValue, UnreadableRecord
from clocksvc.interfaces.compacted_topic import OffsetBounds
from clocksvc.interfaces.schedule_topics import parse_id, partition_of
from clocksvc.schedules.entry import Entry, read_entry, read_task
from clocksvc.schedules.recurrence import AtCron, Every
from clocksvc.schedules.schedule import FIELDS, parse_schedule
from tests.repository import ROOT
from tests.unit.schedules.records import Record

pytestmark = pytest.mark.core

SCHEMA = json.loads((ROOT / "docs" / "schedule.schema.json").read_text(encoding="utf-8"))
VALID = Draft202012Validator(SCHEMA)
MINUTE_MS, NOW_MS = 60_000, 1_795_348_800_000
CREATED = "2026-11-22T12:00:00Z"
LEAST = {"interval": "60s", "task": "uptime.check"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
DEFINITIONS = st.fixed_dictionaries(
    {"task": st.sampled_from(["uptime.check", "billing.invoices.cut"])},
    optional={
        "payload": JSON,
        "starts_at": st.sampled_from(["2026-11-22T12:00:00+01:00", 1_795_348_800, "2026-11-22T12:00:00.250Z"]),
        "ends_at": st.sampled_from(["2027-01-01T00:00:00Z", None]),
        "catch_up": st.sampled_from(["all", "last"]),
        "max_age": st.sampled_from(["1h", "1500ms", 90]),
        "paused": st.booleans(),
    },
)
WHEN: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"interval": 300},
        {"interval": "1h"},
        {"cron": "0 2 * * mon-fri", "timezone": "Europe/Berlin"},
        {"cron": "* * * * *"},
    ]
)


def stored(**fields: Any) -> bytes:
    return json.dumps({"format": 1, "created_at": CREATED} | fields).encode()


def nested(levels: int) -> Any:
    """Arrays and objects in each other."""
    found: Any = None
    for level in range(levels):
        found = [found] if level % 2 else {"a": found}
    return found


def test_a_payload_can_be_nested_and_have_any_text() -> None:
    """Brackets in texts, and those next to each other, are no levels."""
    for payload in (nested(256), ['{["\\"[{' * 300, *({} for _ in range(300))]):
        value = parse_schedule({**LEAST, "payload": payload}, MINUTE_MS, NOW_MS).encode()
        assert json.loads(read_task(read_entry(b"m", value)).payload) == payload


@settings(max_examples=60)
@given(WHEN, DEFINITIONS)
def test_what_is_written_follows_the_schema_and_is_read_again(when: dict[str, Any], fields: dict[str, Any]) -> None:
    """The scheduler reads the same schedule, and so does a writer who imports what was exported."""
    schedule = parse_schedule(when | fields, MINUTE_MS, NOW_MS)
    value = schedule.encode()
    VALID.validate(json.loads(value))

    entry = read_entry(b"id-1", value)
    task = read_task(entry)
    assert (task.task, task.created_ms) == (schedule.task, NOW_MS)
    assert json.loads(task.payload) == fields.get("payload")
    assert isinstance(entry.recurrence, AtCron if schedule.cron else Every)
    limits = entry.limits
    expected = (
        *(schedule.starts_ms, schedule.ends_ms, schedule.catch_up.value == "last", schedule.max_age_ms),
        schedule.paused,
    )
    found: tuple[Any, ...] = (None, None, False, None, False)
    if limits is not None:
        found = (limits.starts_ms, limits.ends_ms, limits.only_last, limits.max_age_ms, limits.paused)
    assert found == expected
    assert parse_schedule(json.loads(value), MINUTE_MS) == schedule


def test_the_schema_has_the_fields_that_the_code_has() -> None:
    """A new field belongs into both."""
    assert set(SCHEMA["properties"]) == set(FIELDS)


@pytest.mark.parametrize(
    ("fields", "field", "wanted"),
    [
        ({"interval": "90s"}, "interval", "'90s' is not valid: wanted a multiple of the clock's interval, 60 s"),
        ({"interval": "0s"}, "interval", "wanted a multiple"),
        ({"interval": "1.5s"}, "interval", "wanted whole seconds"),
        ({"interval": True}, "interval", "wanted a duration"),
        ({"interval": None}, "interval", "interval: missing: wanted either interval or cron"),
        ({"task": None}, "task", "task: missing: wanted a namespace and a name"),
        ({"cron": "0 2 * * *"}, "interval", "wanted either interval or cron"),
        ({"interval": None, "cron": "0 2 * *"}, "cron", "wanted five fields"),
        ({"interval": None, "cron": 5}, "cron", "wanted text"),
        ({"interval": None, "cron": ["0 2 * * *"]}, "cron", "wanted text"),
        ({"interval": None, "cron": "0 2 * * *", "timezone": {}}, "timezone", "wanted text"),
        ({"interval": None, "cron": "0 2 * * *", "timezone": "Mars"}, "timezone", "of the IANA database"),
        ({"timezone": "UTC"}, "timezone", "wanted only with cron"),
        ({"task": None}, "task", "wanted a namespace and a name such as uptime.check"),
        ({"task": "check"}, "task", "wanted a namespace and a name"),
        ({"task": "a." + "b" * 200}, "task", "at most 200 characters"),
        ({"payload": "x" * 65_535}, "payload", "'65,537 bytes' is not valid: wanted at most 65,536 bytes"),
        ({"payload": {1, 2}.__iter__()}, "payload", "wanted what JSON can have"),
        ({"payload": nested(257)}, "payload", "wanted at most 256 levels of arrays and objects"),
        ({"payload": [1.0, float("inf")]}, "payload", "wanted what JSON can have"),
        ({"starts_at": "tomorrow"}, "starts_at", "wanted RFC 3339 with an offset"),
        ({"starts_at": True}, "starts_at", "wanted RFC 3339 with an offset"),
        ({"starts_at": 1_795_348_800_000}, "starts_at", "looks like milliseconds"),
        ({"ends_at": "9999-01-01T00:00:00Z"}, "ends_at", "wanted a time before the year 9000"),
        ({"starts_at": CREATED, "ends_at": CREATED}, "ends_at", f"wanted a time after starts_at, {CREATED}"),
        ({"catch_up": "first"}, "catch_up", "wanted 'all' or 'last'"),
        ({"catch_up": []}, "catch_up", "wanted 'all' or 'last'"),
        ({"max_age": "old"}, "max_age", "wanted a duration"),
        ({"paused": "yes"}, "paused", "wanted true or false"),
        ({"timezome": "UTC"}, "timezome", "there is no such field; there are format, created_at, interval"),
        ({"format": 2}, "format", "wanted 1"),
    ],
)
def test_errors_name_the_field_and_what_is_wanted(fields: dict[str, Any], field: str, wanted: str) -> None:
    """In each case, one field is changed in a valid schedule."""
    with pytest.raises(InvalidValue) as raised:
        parse_schedule(LEAST | fields, MINUTE_MS, NOW_MS)

    assert raised.value.field == field
    assert wanted in str(raised.value)


def test_the_time_of_creation_is_needed() -> None:
    """From the writer, or from the fields."""
    with pytest.raises(InvalidValue, match="created_at"):
        parse_schedule(LEAST, MINUTE_MS)

    assert parse_schedule(LEAST | {"created_at": CREATED}, MINUTE_MS).created_ms == NOW_MS


@pytest.mark.parametrize(
    "schedule_id", ["", "x" * 65, "a b", "a/b", "é", "_position", ".", "..", "missed-runs", None, 7]
)
def test_an_id_has_1_to_64_characters_of_a_small_set(schedule_id: object) -> None:
    """The key of position records is no id."""
    with pytest.raises(InvalidValue, match="id: "):
        parse_id(schedule_id)
    if isinstance(schedule_id, str):
        with pytest.raises(UnreadableRecord, match="id: "):
            read_entry(schedule_id.encode(), stored(**LEAST))


def test_the_partition_is_the_crc_of_the_id() -> None:
    """As with librdkafka's partitioner `consistent`."""
    assert parse_id("Aa0._:-") == "Aa0._:-"
    assert partition_of(b"monitor-17", 8) == zlib.crc32(b"monitor-17") % 8


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "truncated"),
        (b"\xff\x00", "malformed"),
        (b"[1]", "Expected `object`"),
        (stored(interval="60s"), "`task`"),
        (json.dumps(LEAST | {"format": 1}).encode(), "`created_at`"),
        (stored(**LEAST | {"format": 2}), "format"),
        (stored(**LEAST | {"created_at": "2026-11-22T12:00:00"}), "created_at"),
        (stored(task="a.b"), "wanted either interval or cron"),
        (stored(**LEAST, cron="* * * * *"), "wanted either interval or cron"),
        (stored(task="a.b", interval="0s"), "wanted at least a second"),
        (stored(task="a.b", interval="1y"), "wanted a duration"),
        (stored(task="a.b", cron="61 * * * *"), "'61' is no minute"),
        (stored(**LEAST, timezone="UTC"), "wanted only with cron"),
        (stored(**LEAST, catch_up="first"), "catch_up"),
        (stored(**LEAST, max_age="old"), "max_age: 'old' is not valid"),
        (stored(**LEAST, ends_at="9999-01-01T00:00:00Z"), "ends_at"),
        (stored(**LEAST, paused="yes"), "paused"),
        (stored(**LEAST, payload="x" * 65_535), "payload: '65,537 bytes' is not valid"),
        (stored(**LEAST, payload=nested(257)), "payload: 'nested' is not valid"),
    ],
)
def test_a_record_that_cannot_be_read_is_counted_and_kept_out(value: bytes, reason: str) -> None:
    """The table names its offset and the reason, and reads on."""
    table: TablePartition[Entry] = TablePartition(0, lambda one: read_entry(one.key(), one.value()), None)
    table.load(OffsetBounds(0, 3))

    table.apply([Record(b"a", stored(**LEAST), 0), Record(b"b", value, 1), Record(b"c", stored(**LEAST), 2)])

    assert table.loaded
    assert set(table.contents) == {b"a", b"c"}
    [unreadable] = table.newest_unreadable.values()
    assert (unreadable.offset, unreadable.key) == (1, b"b")
    assert reason in unreadable.reason


def test_a_check_config_of_uptime_checker_is_a_payload() -> None:
    """A reader of a newer version may have added fields."""
    config = {"subscription_id": "d7629c6c82be4f679ee78a0d977856d2", "interval_seconds": 300, "url": "http://sentry.io"}
    value = stored(task="uptime.check", interval=config["interval_seconds"], payload=config, colour="green")

    entry = read_entry(config["subscription_id"].encode(), value)  # type: ignore[attr-defined]

    assert json.loads(read_task(entry).payload) == config
    VALID.validate(json.loads(value))
