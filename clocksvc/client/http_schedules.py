"""Reads and writes schedules through the HTTP service."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from clocksvc.client.exchange import Params, Request, ServiceResponse, is_connection_refused
from clocksvc.client.http import ServiceClient
from clocksvc.client.schedule_values import (
    Fields,
    Item,
    MissedRun,
    OnResult,
    OnWait,
    ScheduleResult,
    StoredSchedule,
    WrittenSchedule,
    plain_fields,
    single_line,
)
from clocksvc.errors import ClocksvcError, InvalidValue, RequestRejected, ServiceUnavailable, UnknownSchedule
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.fork import PerProcess

NDJSON = "application/x-ndjson"
_PAGE, _MISSED_PAGE = 1_000, 500
_MAX_LINES = 1_000
_MAX_BYTES = 512 * 1024
"""The maximum size of a bulk request, so that little is repeated after a lost connection."""
_ANSWER_TIMEOUT_S = 30.0
REPORTED_WAIT_S = 2.0
"""Shorter waits are not reported to `on_wait`, because a partition often has a new owner within this time."""

T = TypeVar("T")


class _Line(NamedTuple):
    """One schedule of a bulk request. `error` is set if it is not valid, and is not sent."""

    position: int
    id: str
    body: bytes
    error: ClocksvcError | None = None


class HttpSchedules:
    """The schedules of one clock, through the service. See `ScheduleDriver`. Thread-safe.

    Args:
        timeout_s: how long requests are repeated while the service is unavailable.
        on_wait: see `Schedules`.
    """

    def __init__(
        self, url: str, clock: str, token: str | None, timeout_s: float, on_wait: OnWait | None = None
    ) -> None:
        self._clients = PerProcess(lambda: ServiceClient(url, token))
        self._clients.get()  # so that a wrong URL is an error of the constructor
        self._path = f"/v1/clocks/{clock}/schedules"
        self._timeout_s, self._on_wait = timeout_s, on_wait
        self._time = SystemTime()

    def get(self, schedule_id: str) -> StoredSchedule | None:
        try:
            response = self._fetch(Request("GET", self._path_of(schedule_id)))
        except UnknownSchedule:
            return None
        return _stored(response.body, response.etag)

    def write(
        self, schedule_id: str, fields: Fields | None, if_match: str | None, if_absent: bool
    ) -> WrittenSchedule | None:
        headers = {} if if_match is None else {"If-Match": if_match}
        if if_absent:
            headers["If-None-Match"] = "*"
        method, body = ("DELETE", None) if fields is None else ("PUT", _encode(plain_fields(fields)))
        request = Request(method, self._path_of(schedule_id), body=body, headers=headers, timeout_s=_ANSWER_TIMEOUT_S)
        try:
            response = self._fetch(request, is_repeatable=not headers)
        except UnknownSchedule:
            return None
        return _written(schedule_id, response.body, response.etag)

    def write_many(self, items: Iterable[Item], on_result: OnResult) -> None:
        lines: list[_Line] = []
        ids: set[str] = set()
        size = 0
        for position, (schedule_id, fields) in enumerate(items):
            line = _to_line(position, schedule_id, fields)
            # A later schedule with the same id must not be in the same request: if only the earlier one has to be
            # repeated, it would replace the later one.
            if len(lines) == _MAX_LINES or size + len(line.body) > _MAX_BYTES or schedule_id in ids:
                self._write_lines(lines, on_result)
                lines, ids, size = [], set(), 0
            lines.append(line)
            ids.add(schedule_id)
            size += len(line.body)
        self._write_lines(lines, on_result)

    def scan(self, prefix: str, after: str | None) -> Iterator[StoredSchedule]:
        for page in self._pages(self._path, {"prefix": prefix or None, "limit": _PAGE}, after):
            found = _read(lambda page=page: [*zip(page["schedules"], page["etags"], strict=True)])  # type: ignore[misc]
            yield from (_stored(body, etag) for body, etag in found)

    def export(self, prefix: str, after: str | None) -> Iterator[bytes]:
        retries = _Retries(self._time, self._timeout_s, self._on_wait)
        while True:
            request = Request(
                "GET",
                self._path,
                {"prefix": prefix or None, "after": after},
                headers={"Accept": NDJSON},
                timeout_s=_ANSWER_TIMEOUT_S,
            )
            try:
                with self._clients.get().parts(request) as parts:
                    for line in _lines(parts):
                        after = _read(lambda line=line: str(json.loads(line)["id"]))  # type: ignore[misc]
                        yield line
                        retries.reset()
                return
            except ServiceUnavailable as error:
                retries.wait(error)

    def missed(self) -> Iterator[MissedRun]:
        for page in self._pages(f"{self._path}/missed-runs", {"limit": _MISSED_PAGE}, None):
            yield from _read(lambda page=page: [_missed(one) for one in page["missed_runs"]])  # type: ignore[misc]

    def close(self) -> None:
        client = self._clients.take()
        if client is not None:
            client.close()

    def _path_of(self, schedule_id: str) -> str:
        return f"{self._path}/{parse_id(schedule_id)}"

    def _fetch(self, request: Request, *, is_repeatable: bool = True) -> ServiceResponse:
        retries = _Retries(self._time, self._timeout_s, self._on_wait)
        while True:
            try:
                return self._clients.get().fetch(request)
            except ServiceUnavailable as error:
                if not is_repeatable and not _had_no_effect(error):
                    raise ServiceUnavailable(
                        f"{error}: the outcome is unknown. Read the schedule to see it", error.status
                    ) from error
                retries.wait(error)

    def _pages(self, path: str, params: Params, after: str | None) -> Iterator[dict[str, Any]]:
        while True:
            page = self._fetch(Request("GET", path, {**params, "after": after})).body
            yield page
            after = page.get("next")
            if after is None:
                return

    def _write_lines(self, lines: list[_Line], on_result: OnResult) -> None:
        """Send lines until each has an outcome, and pass the outcomes on in order."""
        results = {one.position: ScheduleResult(one.position, one.id, None, one.error) for one in lines if one.error}
        retries = _Retries(self._time, self._timeout_s, self._on_wait)
        try:
            while left := [one for one in lines if one.position not in results]:
                failure = self._send(left, results)
                if failure is None:
                    retries.reset()
                else:
                    retries.wait(failure)
        finally:
            for one in lines:
                if one.position not in results:
                    break  # the last call is about a line with nothing unknown before it
                on_result(results[one.position])

    def _send(self, lines: list[_Line], results: dict[int, ScheduleResult]) -> ServiceUnavailable | None:
        """Send lines in one request, and add the outcomes. Return why some of them have none and must be repeated."""
        body = b"\n".join(line.body for line in lines)
        headers = {"Content-Type": NDJSON, "Accept": NDJSON}
        request = Request("POST", self._path, body=body, headers=headers, timeout_s=_ANSWER_TIMEOUT_S)
        failure: ServiceUnavailable | None = ServiceUnavailable("the service has not answered for all lines")
        try:
            with self._clients.get().parts(request) as parts:
                for line, text in zip(lines, _lines(parts), strict=False):
                    answer = _read(lambda text=text: dict(json.loads(text)))  # type: ignore[misc]
                    error = _error(line.id, answer)
                    if isinstance(error, ServiceUnavailable):
                        failure = error
                    else:
                        written = None if error is not None else _written(line.id, answer, answer.get("etag"))
                        results[line.position] = ScheduleResult(line.position, line.id, written, error)
        except ServiceUnavailable as error:
            return error
        return None if all(line.position in results for line in lines) else failure


class _Retries:
    """Waits between the attempts of one call, until its timeout is over."""

    def __init__(self, time_source: Time, timeout_s: float, on_wait: OnWait | None) -> None:
        self._time, self._timeout_s, self._on_wait = time_source, timeout_s, on_wait
        self.reset()

    def reset(self) -> None:
        """Begin again, after a success."""
        self._began = self._time.monotonic()
        self._is_reported = False
        self._backoff = Backoff(CONNECTION)

    def wait(self, error: ServiceUnavailable) -> None:
        """Wait before the next attempt. Raises the error if the timeout would be over then."""
        delay_s = max(self._backoff.next(), error.retry_after_s)
        waited_s = self._time.monotonic() - self._began
        if waited_s + delay_s > self._timeout_s:
            raise error
        if self._on_wait is not None and not self._is_reported and waited_s + delay_s >= REPORTED_WAIT_S:
            self._is_reported = True
            self._on_wait(error, self._timeout_s - waited_s)
        time.sleep(delay_s)


def _had_no_effect(error: ServiceUnavailable) -> bool:
    return error.status in (429, 503) or is_connection_refused(error)


def _to_line(position: int, schedule_id: str, fields: Fields | bytes | None) -> _Line:
    try:
        parse_id(schedule_id)
        if fields is None:
            return _Line(position, schedule_id, _encode({"id": schedule_id, "deleted": True}))
        if isinstance(fields, bytes):
            return _Line(position, schedule_id, single_line(fields))
        return _Line(position, schedule_id, _encode({**plain_fields(fields), "id": schedule_id}))
    except InvalidValue as error:
        return _Line(position, schedule_id, b"", error)


def _encode(fields: Fields) -> bytes:
    try:
        return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue("schedule", type(fields).__name__, f"wanted what JSON can have: {error}") from None


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a response. An incomplete last line is none."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from filter(None, lines)


def _error(schedule_id: str, answer: dict[str, Any]) -> ClocksvcError | None:
    status = answer.get("status")
    if status == 200:
        return None
    message = f"{schedule_id}: {answer.get('detail') or answer.get('title')} (status {status})"
    if status in (408, 425, 429) or not isinstance(status, int) or status >= 500:
        return ServiceUnavailable(message)
    return RequestRejected(message, status)


def _stored(body: dict[str, Any], etag: str | None) -> StoredSchedule:
    fields = dict(body)
    return _read(lambda: StoredSchedule(fields.pop("id"), fields, etag or ""))


def _missed(body: dict[str, Any]) -> MissedRun:
    return MissedRun(**{name: body[name] for name in MissedRun._fields})


def _written(schedule_id: str, body: dict[str, Any], etag: str | None) -> WrittenSchedule:
    return _read(lambda: WrittenSchedule(schedule_id, int(body["partition"]), int(body["offset"]), etag))


def _read(function: Callable[[], T]) -> T:
    try:
        return function()
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"the service's answer is not valid: {error!r}") from error
