"""A parser of server-sent events, as the HTML standard defines them. No I/O."""

from collections.abc import Iterator
from typing import NamedTuple

_MARK = b"\xef\xbb\xbf"  # a byte order mark, allowed at the beginning


class Event(NamedTuple):
    """One event. If it has no id of its own, `id` is the last id in the stream before it; "" if there was no id yet."""

    kind: str
    id: str
    data: str


class EventParser:
    """Parses one response body, which is received in parts. Ignores comments and an incomplete last event."""

    def __init__(self) -> None:
        self._kind, self._last_id, self._data = "", "", list[str]()
        self._rest, self._started = b"", False

    def feed(self, part: bytes) -> Iterator[Event]:
        """Yield the events that are complete with this part. Iterate to the end before the next part."""
        for line in self._lines(part):
            if not line:
                kind, data = self._kind or "message", self._data
                self._kind, self._data = "", []
                if data:
                    yield Event(kind, self._last_id, "\n".join(data))
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                self._kind = value
            elif field == "data":
                self._data.append(value)
            elif field == "id" and "\0" not in value:
                self._last_id = value

    def _lines(self, part: bytes) -> list[str]:
        """Return the lines that are complete now, without their ends (CR LF, LF or CR)."""
        rest = self._rest + part
        if not self._started:
            if _MARK.startswith(rest):
                self._rest = rest
                return []
            rest, self._started = rest.removeprefix(_MARK), True
        # A CR at the end may be the first half of a CR LF, so it is kept until the next part.
        kept = b"\r" if rest.endswith(b"\r") else b""
        complete = rest.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = complete.split(b"\n")
        self._rest = rest + kept
        return [line.decode(errors="replace") for line in lines]
