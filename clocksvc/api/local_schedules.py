"""The schedules of the partitions that this process owns."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from starlette.responses import JSONResponse, Response

from clocksvc.api import problems
from clocksvc.api.missed_runs import MissedCursor, MissedPage, MissedRun, newest_runs
from clocksvc.api.problems import Problem
from clocksvc.api.schedule_access import (
    KAFKA,
    MAX_PAGE_BYTES,
    NOT_OWNER,
    LineResult,
    MissedQuery,
    PageQuery,
    ScheduleLine,
    ScheduleRequest,
    as_problem,
    checked_partitions,
    failed_line,
    outcome_unknown,
    partition_of_id,
    unavailable,
)
from clocksvc.api.schedule_merge import merged_page
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError, InvalidValue
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.time import Time
from clocksvc.scheduler import commands
from clocksvc.scheduler.commands import Change, Written
from clocksvc.scheduler.grouped_writes import CallablePartition, GroupedWrites
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.schedules.schedule import Schedule
from clocksvc.schedules.schedule_json import SchedulePage

T = TypeVar("T")

CALL_TIMEOUT_S = 20.0
"""How long a command may take. The ticks of its partition come first."""


class LocalSchedules:
    """`ScheduleAccess` to the partitions of this process.

    Args:
        interval_ms: the clock's interval.
        partitions: returns the partitions that this process has at present.
    """

    def __init__(
        self,
        spec: SchedulesSpec,
        interval_ms: int,
        partitions: Callable[[], Mapping[int, CallablePartition]],
        time: Time,
    ) -> None:
        self.spec = spec
        self._groups: dict[int, GroupedWrites] = {}
        self._interval_ms, self._partitions, self._time = interval_ms, partitions, time

    async def one(self, request: ScheduleRequest) -> Response:
        schedule_id, precondition = request.schedule_id, request.precondition
        partition = partition_of_id(self.spec, schedule_id)
        if request.method == "GET":
            found = await self._call(partition, lambda owned: commands.get(owned, schedule_id))
            return Response(found.json, headers={"ETag": found.etag}, media_type="application/json")
        where = {"clock": self.spec.clock, "id": schedule_id, "partition": partition}
        schedule = None if request.method == "DELETE" else self._parse(schedule_id, request.body or b"")
        group = self._groups.setdefault(partition, GroupedWrites())
        future = group.write(self._owned(partition), Change(schedule_id, schedule, precondition))
        written = await self._result(partition, future, writes=True)
        if written.etag is None or written.created_ms is None:
            return JSONResponse({**where, "offset": written.offset})
        more = {"offset": written.offset, "etag": written.etag, "created_at": to_rfc3339(written.created_ms)}
        return JSONResponse({**where, **more}, headers={"ETag": written.etag})

    async def page(self, query: PageQuery, credentials: str | None) -> SchedulePage:
        async def fetch(partition: int, after: str | None, limit: int) -> SchedulePage:
            command = partial(
                commands.list_page, prefix=query.prefix, after=after, limit=limit, max_bytes=MAX_PAGE_BYTES
            )
            return await self._call(partition, command)

        sources = [partial(fetch, one) for one in checked_partitions(self.spec, query.partitions)]
        return await merged_page(sources, query.after, query.limit, MAX_PAGE_BYTES)

    async def write(self, lines: Sequence[ScheduleLine], credentials: str | None) -> list[LineResult]:
        parsed = await asyncio.to_thread(self._parse_all, lines)
        of_partition: defaultdict[int, list[int]] = defaultdict(list)
        for number, one in enumerate(parsed):
            if not isinstance(one, Problem):
                of_partition[partition_of_id(self.spec, lines[number].schedule_id)].append(number)
        results = [
            failed_line(line.schedule_id, one) if isinstance(one, Problem) else LineResult(b"")
            for line, one in zip(lines, parsed, strict=True)
        ]

        async def write(partition: int, numbers: list[int]) -> None:
            chunk = [(lines[number].schedule_id, parsed[number]) for number in numbers]
            written = await self._written(partition, chunk)  # type: ignore[arg-type]
            for number, result in zip(numbers, written, strict=True):
                results[number] = result

        await asyncio.gather(*(write(*one) for one in of_partition.items()))
        return results

    async def missed(self, query: MissedQuery, credentials: str | None) -> MissedPage:
        partitions = checked_partitions(self.spec, query.partitions)
        found = await asyncio.gather(*(self._missed_of(one, query.cursor, query.limit) for one in partitions))
        return newest_runs(found, query.limit)

    async def _missed_of(self, partition: int, cursor: MissedCursor | None, limit: int) -> MissedPage:
        """Return the missed runs of one partition after a cursor."""
        before = None if cursor is None else cursor.pages.get(partition)
        runs: list[MissedRun] = []
        while len(runs) <= limit:
            try:
                page = await self._call(partition, partial(commands.missed, before=before, limit=limit + 1))
            except Problem as problem:
                if problem.kind is problems.INVALID and cursor is not None:
                    raise problems.invalid("after", str(cursor), "wanted the `next` of another page") from problem
                raise
            read = [MissedRun.of(partition, run, before) for run in page.runs]
            runs += [run for run in read if cursor is None or run.key > cursor.key]
            before = page.next
            if before is None:
                break
        return MissedPage(runs[:limit], len(runs) > limit or before is not None)

    async def _written(self, partition: int, chunk: list[tuple[str, Schedule | None]]) -> list[LineResult]:
        """Write and delete schedules of one partition in one transaction."""
        try:
            written = await self._call(partition, lambda owned: commands.write_many(owned, chunk), writes=True)
        except Problem as problem:
            return [failed_line(schedule_id, problem) for schedule_id, _ in chunk]
        return [LineResult(_written_line(partition, one)) for one in written]

    def _parse(self, schedule_id: str, body: bytes) -> Schedule:
        found_id, schedule = commands.parse(body, self._interval_ms, self._time.now_ms())
        self._check_id(schedule_id, found_id)
        return schedule

    def _parse_all(self, lines: Sequence[ScheduleLine]) -> list[Schedule | Problem | None]:
        return [self._parse_line(line) for line in lines]

    def _parse_line(self, line: ScheduleLine) -> Schedule | Problem | None:
        try:
            found_id, schedule = commands.parse_change(line.text, self._interval_ms, self._time.now_ms())
            self._check_id(line.schedule_id, found_id)
        except InvalidValue as error:
            return as_problem(self.spec, 0, error)
        return schedule

    @staticmethod
    def _check_id(schedule_id: str, found_id: object) -> None:
        if found_id not in (None, schedule_id):
            raise InvalidValue("id", found_id, f"wanted {schedule_id!r}, as in the path, or no id")

    async def _call(self, partition: int, command: Callable[[OwnedPartition], T], *, writes: bool = False) -> T:
        """Run a command in the thread of a partition.

        Raises:
            Problem: it failed, or did not end in time.
        """
        return await self._result(partition, self._owned(partition).call(command), writes=writes)

    def _owned(self, partition: int) -> CallablePartition:
        found = self._partitions().get(partition)
        if found is None:
            raise unavailable(self.spec, partition, "is not owned by this process", NOT_OWNER)
        return found

    async def _result(self, partition: int, future: "Future[T]", *, writes: bool) -> T:
        """Wait for the result of a command.

        Raises:
            Problem: it failed, or did not end in time.
        """
        done, _ = await asyncio.wait({waiting := asyncio.wrap_future(future)}, timeout=CALL_TIMEOUT_S)
        if not done:
            waiting.add_done_callback(lambda late: late.cancelled() or late.exception())  # an error is not logged
            if future.cancel() or not writes:
                raise unavailable(self.spec, partition, f"has not answered within {CALL_TIMEOUT_S:g} s", KAFKA)
            raise outcome_unknown(self.spec, partition, f"no answer within {CALL_TIMEOUT_S:g} s")
        try:
            return waiting.result()
        except ClocksvcError as error:
            raise as_problem(self.spec, partition, error) from error


def _written_line(partition: int, written: Written) -> bytes:
    members = {"id": written.schedule_id, "status": 200, "partition": partition, "offset": written.offset}
    if written.etag is not None:
        members["etag"] = written.etag
    return json.dumps(members, separators=(",", ":"))[1:-1].encode()
