"""A schedule as JSON of the HTTP API: the same object is read, written, imported and exported.

It has the fields of docs/schedule.schema.json except `format`, and the `id`. The payload is copied as JSON text, so
that its numbers keep all of their digits.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from clocksvc.errors import InvalidValue

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NULL = b"null"


class _Id(msgspec.Struct, gc=False):
    id: Any = None


_decode_id = msgspec.json.Decoder(_Id).decode


class ListedSchedule(NamedTuple):
    """A schedule of a page. `json` is its JSON object."""

    id: str
    json: bytes
    etag: str


class SchedulePage(NamedTuple):
    """Schedules in the order of their ids. `next` is the id to continue after; None if there are no more."""

    schedules: list[ListedSchedule]
    next: str | None


class _Page(msgspec.Struct, gc=False):
    schedules: list[msgspec.Raw]
    etags: list[str]
    next: str | None


_decode_page = msgspec.json.Decoder(_Page).decode


def parse_fields(body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON object, for `parse_schedule`. `payload` is JSON text without blanks.

    Raises:
        InvalidValue: it is not a JSON object in UTF-8. The error's field is `body`.
    """
    try:
        body.decode()  # the decoder does not check the encoding of a text that it only copies
        fields = _decode_fields(body)
        return {name: _compact(raw) if name == "payload" else _decode(raw) for name, raw in fields.items()}
    except (ValueError, RecursionError) as error:
        raise InvalidValue("body", None, f"wanted a JSON object in UTF-8: {error}") from None


def id_of_line(line: bytes) -> Any:
    """Return the value of `id` of a JSON object; None if it has none. Reads no other field.

    Raises:
        InvalidValue: it is not a JSON object in UTF-8. The error's field is `body`.
    """
    try:
        return _decode_id(line).id
    except (ValueError, RecursionError) as error:
        raise InvalidValue("body", None, f"wanted a JSON object in UTF-8: {error}") from None


def to_json(schedule_id: str, value: bytes) -> bytes:
    """Return the JSON object of a valid record, in one line that begins with `{"id":"…"`."""
    fields = {name: raw for name, raw in _decode_fields(value).items() if bytes(raw) != _NULL}
    fields.pop("format")
    return _encode({"id": schedule_id, **fields})


def listed(key: bytes, value: bytes) -> ListedSchedule:
    """Return a valid record as a schedule of a page."""
    schedule_id = key.decode()
    return ListedSchedule(schedule_id, to_json(schedule_id, value), etag_of(value))


def page_to_json(page: SchedulePage) -> bytes:
    """Return a page as a JSON object."""
    schedules = [msgspec.Raw(one.json) for one in page.schedules]
    return _encode(_Page(schedules, [one.etag for one in page.schedules], page.next))


def page_from_json(data: bytes) -> SchedulePage:
    """Return a page that `page_to_json` has written. Raises ValueError for anything else."""
    page = _decode_page(data)
    found = zip(page.schedules, page.etags, strict=True)
    return SchedulePage([ListedSchedule(_decode_id(raw).id, bytes(raw), etag) for raw, etag in found], page.next)


def to_lines(schedules: Iterable[ListedSchedule]) -> bytes:
    """Return NDJSON: the JSON object of each schedule in a line."""
    return b"".join(one.json + b"\n" for one in schedules)


def etag_of(value: bytes) -> str:
    """Return the strong ETag of a record's value, with its quotation marks.

    It is a hash, so it stays the same after a restart or a compaction, which change or hide offsets.
    """
    return f'"{hashlib.blake2b(value, digest_size=8).hexdigest()}"'


def _compact(raw: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.format(bytes(raw), indent=-1))
