"""A schedule as JSON: what is read can be written again, and the payload is the writer's text."""

import json

import pytest

from clocksvc.errors import InvalidValue
from clocksvc.schedules.schedule import parse_schedule
from clocksvc.schedules.schedule_json import (
    ListedSchedule,
    SchedulePage,
    etag_of,
    id_of_line,
    listed,
    page_from_json,
    page_to_json,
    parse_fields,
    to_json,
    to_lines,
)

CREATED_MS = 1_795_348_800_000
NOT_JSON = [b"", b"[]", b"7", b'{"a":', b'{"interval": "\xff"}', b'{"payload": "\\x"}', b'{"payload": NaN}']
NOT_JSON += [b'{"payload": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", b'{"payload": "\xff"}']


def encoded(text: str) -> bytes:
    """The record's value of a writer's JSON."""
    return parse_schedule(parse_fields(text.encode()), 60_000, CREATED_MS).encode()


def test_numbers_keep_their_text() -> None:
    """A decoded and encoded payload would lose digits, and have null for a number that no float can have."""
    payload = '{"a":1.10,"big":123456789012345678901234567890,"huge":1e400,"text":"\\u00e9"}'

    value = encoded(f'{{"interval": "60s", "task": "a.b", "payload": {payload}}}')

    assert f'"payload":{payload}'.encode() in value
    assert f'"payload":{payload}'.encode() in to_json("x", value)


def test_blanks_of_the_payload_are_dropped() -> None:
    """Blanks between the parts of a payload take no memory; those in texts stay."""
    value = encoded('{"interval": "60s", "task": "a.b", "payload": {"a" : [1 , "b c"]}}')

    assert b'"payload":{"a":[1,"b c"]}' in value


def test_what_is_read_can_be_written() -> None:
    """The JSON of a schedule gives the same record again; it has no `format` and no fields that are null."""
    value = encoded('{"cron": "0 2 * * *", "timezone": "Europe/Berlin", "task": "a.b", "paused": true}')

    text = to_json("x:1", value)

    fields = parse_fields(text)
    assert fields.pop("id") == "x:1"
    assert parse_schedule(fields, 60_000).encode() == value
    assert set(fields) == {"created_at", "cron", "timezone", "task", "paused"}
    assert to_json("x", b'{"format":1,"created_at":"2026-11-22T12:00:00Z","task":"a.b","cron":null}') == (
        b'{"id":"x","created_at":"2026-11-22T12:00:00Z","task":"a.b"}'
    )


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:20]))
def test_what_is_no_json_object_is_named(body: bytes) -> None:
    """An InvalidValue for the body, with what is wrong, and never a value that is not JSON."""
    with pytest.raises(InvalidValue, match=r"^body: None is not valid: wanted a JSON object in UTF-8"):
        parse_fields(body)


def test_the_id_of_a_line() -> None:
    """It is found without a look at other fields; the last one counts, as for `parse_fields`."""
    assert id_of_line(b'{"payload": {"id": 1}, "id": "a", "id": "b"}') == "b"
    assert parse_fields(b'{"id": "a", "id": "b"}')["id"] == "b"
    assert id_of_line(b'{"payload": 1}') is None
    with pytest.raises(InvalidValue, match=r"^body"):
        id_of_line(b'{"id": "a"')


def test_an_etag_identifies_a_value() -> None:
    """It depends on nothing but the value."""
    assert etag_of(b"a") == etag_of(b"a") != etag_of(b"b")
    assert json.loads(etag_of(b"a"))


def test_pages() -> None:
    """A page can be encoded and decoded; other JSON is an error."""
    value = encoded('{"interval": "60s", "task": "a.b", "payload": 1.10}')
    page = SchedulePage([listed(b"a", value), listed(b"b", value)], "b")

    assert page_from_json(page_to_json(page)) == page
    assert json.loads(page_to_json(page))["etags"] == [etag_of(value)] * 2
    assert [json.loads(line)["id"] for line in to_lines(page.schedules).splitlines()] == ["a", "b"]
    assert page.schedules[0] == ListedSchedule("a", to_json("a", value), etag_of(value))
    for other in (b"{}", b"[]", b'{"schedules": [{}], "etags": [], "next": null}'):
        with pytest.raises(ValueError, match=r"."):
            page_from_json(other)
