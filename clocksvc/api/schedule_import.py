"""Imports schedules as NDJSON: a result for each line, in their order.

The body is read in parts of bounded size, and each part is written before the next one is read. Most HTTP clients read
nothing until they have sent their whole request, so the results are kept, compressed, until the body has ended.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

from clocksvc.api import problems
from clocksvc.api.problems import Problem
from clocksvc.api.schedule_access import LineResult, ScheduleAccess, ScheduleLine, failed_line
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.schedules.schedule_json import id_of_line

MAX_LINE_BYTES = 128 * 1024
PART_LINES = 2_000
PART_BYTES = 1024 * 1024
MAX_RESULT_BYTES = 64 * 1024 * 1024
"""The maximum size of the compressed results. Results of a million lines have about 15 MiB."""
MAX_STALLED_PARTS = 3
"""An import ends after this many parts in a row in which Kafka or an owner did not answer. Each one took seconds."""
_SENT_BYTES = 64 * 1024


class Line(NamedTuple):
    """A line of the body that is not blank. `text` is None if it is too long."""

    number: int
    text: bytes | None


class LineReader:
    """Splits a body into lines, in parts with bounded memory."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._number = 0
        self._too_long = False

    def feed(self, data: bytes, *, end: bool = False) -> Iterator[Line]:
        """Yield the lines that are complete. With `end`, the last line needs no line feed."""
        self._rest += data
        if b"\n" in data or end:
            *complete, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            if end:
                complete.append(rest)
            for text in complete:
                self._number += 1
                if self._too_long or len(text) > MAX_LINE_BYTES:
                    yield Line(self._number, None)
                elif text := text.strip():
                    yield Line(self._number, text)
                self._too_long = False
        if len(self._rest) > MAX_LINE_BYTES:
            self._too_long = True
            self._rest.clear()


class Results:
    """The results of all lines as NDJSON, compressed."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1)
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, number: int, result: LineResult) -> None:
        """Add the result of a line."""
        part = self._compressor.compress(b'{"line":%d,%b}\n' % (number, result.members))
        if part:  # the compressor keeps what it gets, and returns it now and then
            self._parts.append(part)
            self.size += len(part)

    def read(self) -> Iterator[bytes]:
        """Yield the NDJSON in parts. Only once."""
        decompressor = zlib.decompressobj()
        self._parts.append(self._compressor.flush())
        for part in self._parts:
            rest = part
            while rest:
                yield decompressor.decompress(rest, _SENT_BYTES)
                rest = decompressor.unconsumed_tail
        yield decompressor.flush()


async def parts_of(body: AsyncIterator[bytes]) -> AsyncIterator[tuple[list[Line], bool]]:
    """Yield the lines of a body in parts, and whether the part is the last one."""
    reader, lines, size = LineReader(), list[Line](), 0
    async for data in body:
        for line in reader.feed(data):
            if lines and (len(lines) >= PART_LINES or size > PART_BYTES):
                yield lines, False
                lines, size = [], 0
            lines.append(line)
            size += len(line.text or b"")
    lines += reader.feed(b"", end=True)
    yield lines, True


async def write_part(access: ScheduleAccess, lines: list[Line], credentials: str | None, results: Results) -> bool:
    """Write the schedules of some lines, and add their results. Return False if some of them have stalled."""
    found: list[LineResult | ScheduleLine] = [_read_line(line) for line in lines]
    written = await access.write([one for one in found if isinstance(one, ScheduleLine)], credentials)
    following = iter(written)
    for line, one in zip(lines, found, strict=True):
        results.add(line.number, next(following) if isinstance(one, ScheduleLine) else one)
    return not any(one.stalled for one in written)


async def import_schedules(
    access: ScheduleAccess,
    parts: AsyncIterator[tuple[list[Line], bool]],
    credentials: str | None,
    closing: Callable[[], bool],
) -> Results:
    """Write the schedules of all lines.

    Args:
        closing: returns True if the server shuts down. The import then ends after the present part.

    Returns:
        The results. If the import ended early, the last one says from which line on nothing was read.
    """
    results, stalled_parts = Results(), 0
    async for lines, last in parts:
        stalled_parts = 0 if await write_part(access, lines, credentials, results) else stalled_parts + 1
        if last:
            break
        following = lines[-1].number + 1
        if closing():
            results.add(following, _unread(problems.SHUTTING_DOWN, "this replica shuts down"))
            break
        if stalled_parts == MAX_STALLED_PARTS:
            results.add(following, _unread(problems.SCHEDULES_UNAVAILABLE, "a partition does not answer"))
            break
        if results.size > MAX_RESULT_BYTES:
            results.add(following, _unread(problems.BODY_TOO_LARGE, "the request has too many lines"))
            break
    return results


def _read_line(line: Line) -> LineResult | ScheduleLine:
    if line.text is None:
        return failed_line(None, problems.invalid("body", None, f"wanted at most {MAX_LINE_BYTES} bytes in a line"))
    schedule_id = None
    try:
        schedule_id = id_of_line(line.text)
        return ScheduleLine(parse_id(schedule_id), line.text)
    except InvalidValue as error:
        return failed_line(schedule_id, problems.invalid(error.field, error.value, error.wanted))


def _unread(kind: problems.Kind, why: str) -> LineResult:
    return failed_line(None, Problem(kind, f"{why}: this line and all after it were not read; send them again"))
