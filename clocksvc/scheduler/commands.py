"""What clients do with schedules: read, list, write and delete them, in the thread of the partition's owner.

Each command runs in `SchedulePartition.call`, so it sees no change between its parts. It first reads the topic to its
end: other programs, such as the outbox relay, write to the topic as well. A command delays the partition's ticks, so a
caller reads and writes many schedules in pages.

All raise Unavailable if the topic can't be read to its end; then nothing was written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from clocksvc.errors import InvalidValue, PreconditionFailed, UnknownSchedule
from clocksvc.scheduler.owned import MissedPage, OwnedPartition
from clocksvc.schedules.entry import read_created_ms
from clocksvc.schedules.schedule import Schedule, parse_schedule
from clocksvc.schedules.schedule_json import SchedulePage, etag_of, listed, parse_fields, to_json

_MAX_AHEAD_MS = 60_000
"""How far the clock of another machine, which has set `created_at`, may be ahead."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must be true of the present schedule, so that two writers don't overwrite each other (RFC 9110).

    Attributes:
        etags: If-Match: the present schedule has one of these ETags. None for no condition.
        exists: If-Match with `*`: there is a schedule.
        absent: If-None-Match with `*`: there is no schedule.
    """

    etags: frozenset[str] | None = None
    exists: bool = False
    absent: bool = False

    def check(self, schedule_id: str, present: bytes | None) -> None:
        """Raise PreconditionFailed unless the conditions are true. Its text has what is present."""
        if present is None:
            if self.exists or self.etags is not None:
                raise PreconditionFailed(f"If-Match: there is no schedule {schedule_id!r}; nothing has changed", None)
            return
        etag = etag_of(present)
        if self.absent:
            raise PreconditionFailed(
                f"If-None-Match: there is a schedule {schedule_id!r}, with the ETag {etag}; nothing has changed", etag
            )
        if self.etags is not None and etag not in self.etags:
            raise PreconditionFailed(
                f"If-Match: the schedule {schedule_id!r} has the ETag {etag} now; nothing has changed", etag
            )


ALWAYS = Precondition()


class Found(NamedTuple):
    """A schedule. `json` is its JSON object, see `clocksvc.schedules.schedule_json`."""

    json: bytes
    etag: str


class Change(NamedTuple):
    """A schedule to be written.

    Attributes:
        schedule: None to delete it.
        may_be_missing: True if a deletion succeeds although there is no such schedule, so that it can be repeated.
    """

    schedule_id: str
    schedule: Schedule | None
    precondition: Precondition = ALWAYS
    may_be_missing: bool = False


class Written(NamedTuple):
    """A record that all in-sync replicas have.

    Attributes:
        offset: of the record in the topic of schedules.
        etag: None for a deletion.
        created_ms: when the id was first written; None for a deletion.
    """

    schedule_id: str
    offset: int
    etag: str | None
    created_ms: int | None


def parse(body: bytes, interval_ms: int, now_ms: int) -> tuple[Any, Schedule]:
    """Return the `id` (None if there is none) and the schedule of a writer's JSON object.

    `created_at` is optional. It counts only if the id is new: a schedule that was exported keeps its age.

    Args:
        interval_ms: the clock's interval.
        now_ms: the time of creation if there is no `created_at`.

    Raises:
        InvalidValue: the JSON or a field is not valid. The id was not checked.
    """
    fields = parse_fields(body)
    return fields.pop("id", None), _parse_fields(fields, interval_ms, now_ms)


def parse_change(body: bytes, interval_ms: int, now_ms: int) -> tuple[Any, Schedule | None]:
    """The same as `parse` for a line of an import. The schedule is None if the line deletes it: `"deleted": true`."""
    fields = parse_fields(body)
    schedule_id = fields.pop("id", None)
    if "deleted" not in fields:
        return schedule_id, _parse_fields(fields, interval_ms, now_ms)
    if fields != {"deleted": True}:
        raise InvalidValue("deleted", fields["deleted"], "wanted true, and no other field besides id")
    return schedule_id, None


def get(owned: OwnedPartition, schedule_id: str) -> Found:
    """Return a schedule. Raises UnknownSchedule."""
    owned.read_to_end()
    value = owned.get(schedule_id.encode())
    if value is None:
        raise _unknown(schedule_id)
    return Found(to_json(schedule_id, value), etag_of(value))


def put(owned: OwnedPartition, schedule_id: str, schedule: Schedule, precondition: Precondition = ALWAYS) -> Written:
    """Write a schedule. If the id exists, its time of creation stays, and that of `schedule` is ignored.

    Raises:
        PreconditionFailed: nothing was written.
        Others: see `OwnedPartition.write`.
    """
    return _single(write(owned, [Change(schedule_id, schedule, precondition)]))


def write_many(owned: OwnedPartition, changes: Sequence[tuple[str, Schedule | None]]) -> list[Written]:
    """Write changes in one transaction, in their order: of several with one id, the last counts. See `put`.

    None deletes a schedule. There may be none: so a repeated deletion succeeds.
    """
    all_of_them = [Change(schedule_id, schedule, may_be_missing=True) for schedule_id, schedule in changes]
    return [_single([one]) for one in write(owned, all_of_them)]


def delete(owned: OwnedPartition, schedule_id: str, precondition: Precondition = ALWAYS) -> int:
    """Delete a schedule, and return the offset of the tombstone.

    Raises:
        UnknownSchedule: there is none, and the precondition does not require one.
        PreconditionFailed: nothing was written.
        Others: see `OwnedPartition.write`.
    """
    return _single(write(owned, [Change(schedule_id, None, precondition)])).offset


def write(owned: OwnedPartition, changes: Iterable[Change]) -> list[Written | PreconditionFailed | UnknownSchedule]:
    """Write changes in one transaction. Each of them sees the ones before it.

    Returns:
        For each change what was written, or why nothing was written for it.

    Raises:
        All others: see `OwnedPartition.write`. They concern all changes.
    """
    owned.read_to_end()
    values: dict[str, bytes | None] = {}
    results: list[Written | PreconditionFailed | UnknownSchedule] = []
    records: list[tuple[bytes, bytes | None]] = []
    for change in changes:
        schedule_id, key = change.schedule_id, change.schedule_id.encode()
        present = values[schedule_id] if schedule_id in values else owned.get(key)
        try:
            change.precondition.check(schedule_id, present)
            written, value = _record(change, present)
        except (PreconditionFailed, UnknownSchedule) as error:
            results.append(error)
            continue
        values[schedule_id] = value
        records.append((key, value))
        results.append(written)
    offsets = iter(owned.write(records))
    return [one._replace(offset=next(offsets)) if isinstance(one, Written) else one for one in results]


def list_page(owned: OwnedPartition, prefix: str, after: str | None, limit: int, max_bytes: int) -> SchedulePage:
    """Return the next schedules whose ids begin with a prefix, in the order of ids.

    Args:
        after: the id to continue after.
        limit: the maximum number of schedules.
        max_bytes: the page ends with the schedule that exceeds this size.
    """
    owned.read_to_end()
    found = owned.scan(prefix.encode(), None if after is None else after.encode(), limit + 1)
    page, size = [], 0
    for key, value in found[:limit]:
        page.append(listed(key, value))
        size += len(value)
        if size > max_bytes:
            break
    return SchedulePage(page, page[-1].id if len(page) < len(found) else None)


def missed(owned: OwnedPartition, before: int | None, limit: int) -> MissedPage:
    """Return missed runs, newest first: see `OwnedPartition.missed`."""
    return owned.missed(before, limit)


def _parse_fields(fields: dict[str, Any], interval_ms: int, now_ms: int) -> Schedule:
    schedule = parse_schedule(fields, interval_ms, now_ms if fields.get("created_at") is None else None)
    if schedule.created_ms > now_ms + _MAX_AHEAD_MS:
        raise InvalidValue("created_at", fields["created_at"], "wanted a time that is not in the future")
    return schedule


def _record(change: Change, present: bytes | None) -> tuple[Written, bytes | None]:
    """Return what will be written, without its offset, and the record's value."""
    schedule = change.schedule
    if schedule is None:
        if present is None and not change.may_be_missing:
            raise _unknown(change.schedule_id)
        return Written(change.schedule_id, -1, None, None), None
    created_ms = schedule.created_ms if present is None else read_created_ms(present)
    value = replace(schedule, created_ms=created_ms).encode()
    return Written(change.schedule_id, -1, etag_of(value), created_ms), value


def _unknown(schedule_id: str) -> UnknownSchedule:
    return UnknownSchedule(f"there is no schedule {schedule_id!r}")


def _single(results: Sequence[Written | PreconditionFailed | UnknownSchedule]) -> Written:
    (result,) = results
    if isinstance(result, Written):
        return result
    raise result
