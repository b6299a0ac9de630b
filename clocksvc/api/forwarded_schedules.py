"""The schedules of a clock in a process that owns none of them: requests are sent to the processes that do.

Requests go only to addresses that processes of `clocksvc scheduler` announce in the store, with the credentials of the
caller, which the owner checks again. Redirects are not followed.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from starlette.responses import Response

from clocksvc.api import problems
from clocksvc.api.missed_runs import MissedPage, missed_page_from_wire, newest_runs
from clocksvc.api.problems import Problem
from clocksvc.api.schedule_access import (
    KAFKA,
    MAX_PAGE_BYTES,
    NDJSON,
    NO_OWNER,
    NOT_OWNER,
    LineResult,
    MissedQuery,
    PageQuery,
    ScheduleLine,
    ScheduleRequest,
    checked_partitions,
    failed_line,
    line_result,
    outcome_unknown,
    partition_of_id,
    unavailable,
)
from clocksvc.api.schedule_merge import merged_page
from clocksvc.api.schedule_owners import ScheduleOwners
from clocksvc.client.async_http import AsyncServiceClient, RawResponse
from clocksvc.client.exchange import Params, Request, is_connection_refused
from clocksvc.errors import InvalidValue, ServiceUnavailable
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedulers import Schedulers
from clocksvc.interfaces.time import Time
from clocksvc.schedules.schedule_json import SchedulePage, page_from_json

FORWARD_TIMEOUT_S = 30.0
"""How long an owner may take. It is more than the owner waits for Kafka."""
_MAX_CLIENTS = 64
_OWN_TYPES = frozenset({"application/json", problems.MEDIA_TYPE, NDJSON})
_COPIED_HEADERS = ("content-type", "etag", "retry-after", "www-authenticate")
_UNAVAILABLE = problems.SCHEDULES_UNAVAILABLE.type


class ForwardedSchedules:
    """`ScheduleAccess` to the owners of the partitions.

    A request is sent again, once, to another owner if the first one can't have written anything.
    """

    def __init__(self, spec: SchedulesSpec, schedulers: Schedulers, time: Time) -> None:
        self.spec = spec
        self._path = f"/v1/clocks/{spec.clock}/schedules"
        self._owners = ScheduleOwners(spec, schedulers, time)
        self._clients: dict[str, AsyncServiceClient] = {}

    async def one(self, request: ScheduleRequest) -> Response:
        number = partition_of_id(self.spec, request.schedule_id)
        forwarded = Request(
            request.method, request.path, body=request.body, headers=request.headers, timeout_s=FORWARD_TIMEOUT_S
        )
        try:
            response = await self._send([number], forwarded, fresh=False)
        except _Unowned:
            response = await self._send([number], forwarded, fresh=True)
        headers = {name: response.headers[name] for name in _COPIED_HEADERS if name in response.headers}
        return Response(response.body, response.status, headers)

    async def page(self, query: PageQuery, credentials: str | None) -> SchedulePage:
        partitions = checked_partitions(self.spec, query.partitions)
        try:
            return await self._page(query, partitions, credentials, fresh=False)
        except _Unowned:
            return await self._page(query, partitions, credentials, fresh=True)

    async def write(self, lines: Sequence[ScheduleLine], credentials: str | None) -> list[LineResult]:
        results = await self._write(lines, credentials, fresh=False)
        unowned = [number for number, result in enumerate(results) if result.unowned]
        if unowned:
            again = await self._write([lines[number] for number in unowned], credentials, fresh=True)
            for number, result in zip(unowned, again, strict=True):
                results[number] = result
        return results

    async def missed(self, query: MissedQuery, credentials: str | None) -> MissedPage:
        partitions = checked_partitions(self.spec, query.partitions)
        try:
            return await self._missed(query, partitions, credentials, fresh=False)
        except _Unowned:
            return await self._missed(query, partitions, credentials, fresh=True)

    async def _missed(
        self, query: MissedQuery, partitions: Sequence[int], credentials: str | None, *, fresh: bool
    ) -> MissedPage:
        async def fetch(address: str, numbers: list[int]) -> MissedPage:
            after = None if query.cursor is None else str(query.cursor)
            response = await self._read(
                address, numbers, "/missed-runs", {"after": after, "limit": query.limit}, credentials
            )
            try:
                return missed_page_from_wire(json.loads(response.body))
            except (KeyError, TypeError, ValueError) as error:
                raise self._not_clocksvc(address, numbers[0]) from error

        owners = await self._owners.addresses(partitions, fresh=fresh)
        return newest_runs(await asyncio.gather(*(fetch(*owner) for owner in owners.items())), query.limit)

    async def _read(
        self, address: str, numbers: Sequence[int], path: str, params: Params, credentials: str | None
    ) -> RawResponse:
        """Read from one owner what is in some of its partitions. Raises Problem unless the status is 200."""
        params = {**params, "partitions": ",".join(map(str, numbers))}
        request = Request("GET", self._path + path, params, None, _headers(credentials), FORWARD_TIMEOUT_S)
        response = await self._send_to(address, numbers, request)
        if response.status != 200:
            raise _problem_of(response)
        return response

    async def _page(
        self, query: PageQuery, partitions: Sequence[int], credentials: str | None, *, fresh: bool
    ) -> SchedulePage:
        async def fetch(address: str, numbers: list[int], after: str | None, limit: int) -> SchedulePage:
            params = {"prefix": query.prefix or None, "after": after, "limit": limit}
            response = await self._read(address, numbers, "", params, credentials)
            try:
                return page_from_json(response.body)
            except ValueError as error:
                raise self._not_clocksvc(address, numbers[0]) from error

        owners = await self._owners.addresses(partitions, fresh=fresh)
        return await merged_page(
            [partial(fetch, *owner) for owner in owners.items()], query.after, query.limit, MAX_PAGE_BYTES
        )

    async def _write(self, lines: Sequence[ScheduleLine], credentials: str | None, *, fresh: bool) -> list[LineResult]:
        """Send each owner its lines. Return the results in the order of `lines`."""
        of_partition: defaultdict[int, list[int]] = defaultdict(list)
        for number, line in enumerate(lines):
            of_partition[partition_of_id(self.spec, line.schedule_id)].append(number)
        of_address: defaultdict[str, list[int]] = defaultdict(list)
        results = [LineResult(b"")] * len(lines)
        for one, numbers in of_partition.items():
            try:
                (address,) = await self._owners.addresses([one], fresh=fresh)
            except Problem as problem:
                for number in numbers:
                    results[number] = failed_line(lines[number].schedule_id, problem)
            else:
                of_address[address] += numbers
            fresh = False  # it is read once for all

        async def write(address: str, numbers: list[int]) -> None:
            numbers.sort()
            written = await self._written(address, [lines[number] for number in numbers], credentials)
            for number, result in zip(numbers, written, strict=True):
                results[number] = result

        await asyncio.gather(*(write(*one) for one in of_address.items()))
        return results

    async def _written(self, address: str, lines: list[ScheduleLine], credentials: str | None) -> list[LineResult]:
        """Send lines to one owner."""
        body = b"".join(line.text + b"\n" for line in lines)
        headers = {**_headers(credentials), "Content-Type": NDJSON}
        request = Request("POST", self._path, {}, body, headers, FORWARD_TIMEOUT_S)
        partitions = [partition_of_id(self.spec, lines[0].schedule_id)]
        try:
            response = await self._send_to(address, partitions, request)
            if response.status != 200:
                raise _problem_of(response)
            return _results(lines, response.body)
        except (Problem, ValueError) as error:
            problem = error if isinstance(error, Problem) else self._not_clocksvc(address, partitions[0], writes=True)
            return [failed_line(line.schedule_id, problem) for line in lines]

    async def _send(self, partitions: list[int], request: Request, *, fresh: bool) -> RawResponse:
        (address,) = await self._owners.addresses(partitions, fresh=fresh)
        response = await self._send_to(address, partitions, request)
        if not fresh and response.status == problems.SCHEDULES_UNAVAILABLE.status:
            problem = _problem_of(response)
            if isinstance(problem, _Unowned):
                raise problem
        return response

    async def _send_to(self, address: str, partitions: Sequence[int], request: Request) -> RawResponse:
        """Send a request to an owner.

        Raises:
            Problem: the response is missing, or is not one of clocksvc; `_Unowned` if the request was not sent.
        """
        writes = request.method != "GET"
        try:
            response = await self._client(address).forward(request)
        except ServiceUnavailable as error:
            if is_connection_refused(error):
                raise _Unowned(
                    unavailable(self.spec, partitions[0], f"has no ready owner: {error}", NO_OWNER)
                ) from error
            if writes:
                raise outcome_unknown(self.spec, partitions[0], str(error)) from error
            raise unavailable(self.spec, partitions[0], f"can't be read: {error}", KAFKA) from error
        except InvalidValue as error:
            raise unavailable(
                self.spec, partitions[0], f"has an owner whose address is not valid: {error}", NO_OWNER
            ) from error
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if media_type not in _OWN_TYPES or 300 <= response.status < 400:
            raise self._not_clocksvc(address, partitions[0], writes=writes)
        return response

    def _client(self, address: str) -> AsyncServiceClient:
        """Return the client of an address. It is kept, because a TLS context reads files. Raises InvalidValue."""
        if address not in self._clients:
            if len(self._clients) >= _MAX_CLIENTS:
                self._clients.clear()
            self._clients[address] = AsyncServiceClient(address)
        return self._clients[address]

    def _not_clocksvc(self, address: str, partition: int, *, writes: bool = False) -> Problem:
        why = f"the response of its owner at {address} is not that of clocksvc"
        if writes:
            return outcome_unknown(self.spec, partition, why)
        return unavailable(self.spec, partition, f"can't be read: {why}", KAFKA)


class _Unowned(Problem):
    """The request has not reached the owner of a partition: it can be sent to another one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind, problem.detail, problem.members, problem.headers)


def _headers(credentials: str | None) -> dict[str, str]:
    return {} if credentials is None else {"Authorization": credentials}


def _results(lines: Sequence[ScheduleLine], body: bytes) -> list[LineResult]:
    """Return the results of an owner. Raises ValueError if they are not those of the lines."""
    found = body.splitlines()
    if len(found) != len(lines):
        raise ValueError("not a result for each line")
    results = []
    for line, text in zip(lines, found, strict=True):
        members = text[text.index(b",") + 1 : -1]
        if members.startswith(b'"id":"%s","status":200,' % line.schedule_id.encode()):
            results.append(LineResult(members))
            continue
        fields = json.loads(text)
        if not isinstance(fields, dict) or fields.get("id") != line.schedule_id or fields.get("status") == 200:
            raise ValueError("not the result of this line")
        results.append(line_result(members, fields))
    return results


def _problem_of(response: RawResponse) -> Problem:
    """Return the problem of an owner's response, as it is."""
    try:
        fields = json.loads(response.body)
    except ValueError:
        fields = {}
    own = dict(fields) if isinstance(fields, dict) else {}
    kind = problems.Kind(
        str(own.pop("type", "")).removeprefix(problems.TYPE_PREFIX),
        int(own.pop("status", response.status)),
        str(own.pop("title", "")),
        "",
    )
    problem = Problem(kind, str(own.pop("detail", "")), own, _copied(response.headers))
    return _Unowned(problem) if _is_unowned({**own, "type": kind.type}) else problem


def _copied(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in _COPIED_HEADERS if name in headers and name != "content-type"}


def _is_unowned(fields: Mapping[str, object]) -> bool:
    return fields.get("type") == _UNAVAILABLE and fields.get("reason") in (NO_OWNER, NOT_OWNER)
