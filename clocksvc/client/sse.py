"""Server-sent events, read as the HTML standard says. No I/O of its own."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

_MARK = b"\xef\xbb\xbf"  # a byte order mark, that may stand first


class Event(NamedTuple):
    """One event. `id` is the last one given, by this event or an earlier one; "" before the first."""

    kind: str
    id: str
    data: str


def read_events(parts: Iterable[bytes]) -> Iterator[Event]:
    """Events from the parts of a body, cut anywhere. Comments are passed over, an unfinished last event dropped."""
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
    """Whole lines; each ends with CR LF, LF or CR."""
    rest, begun = b"", False
    for part in parts:
        rest += part
        if not begun:
            if _MARK.startswith(rest):
                continue
            rest, begun = rest.removeprefix(_MARK), True
        # A CR at the end may be half of a CR LF: it waits for the next part.
        held = b"\r" if rest.endswith(b"\r") else b""
        whole = rest.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        for line in lines:
            yield line.decode(errors="replace")
