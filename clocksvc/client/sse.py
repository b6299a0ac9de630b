"""A parser of server-sent events, as the HTML standard defines them. No I/O."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

_MARK = b"\xef\xbb\xbf"  # a byte order mark, allowed at the beginning


class Event(NamedTuple):
    """One event. If it has no id of its own, `id` is the last id in the stream before it; "" if there was no id yet."""

    kind: str
    id: str
    data: str


def read_events(parts: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a response body that is received in parts. Ignores comments and an incomplete last event."""
    kind, last_id, data = "", "", list[str]()
    for line in _lines(parts):
        if not line:
            if data:
                yield Event(kind or "message", last_id, "\n".join(data))
            kind, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value


def _lines(parts: Iterable[bytes]) -> Iterator[str]:
    """Yield complete lines, without their ends (CR LF, LF or CR)."""
    rest, started = b"", False
    for part in parts:
        rest += part
        if not started:
            if _MARK.startswith(rest):
                continue
            rest, started = rest.removeprefix(_MARK), True
        # A CR at the end may be the first half of a CR LF, so it is kept until the next part.
        kept = b"\r" if rest.endswith(b"\r") else b""
        complete = rest.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = complete.split(b"\n")
        rest += kept
        for line in lines:
            yield line.decode(errors="replace")
