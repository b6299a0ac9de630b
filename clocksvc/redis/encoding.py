"""Encodes the arguments of the scripts and decodes their results. No I/O."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire, overrides_to_wire
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.request import (
    Request,
    RequestResult,
    decode_request,
    decode_result,
    encode_request,
    encode_result,
    sort_requests,
)
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import Replica
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.progress import (
    FORMAT,
    ClockParameters,
    PartitionClock,
    Report,
    ReportAnswer,
    Snapshot,
    StoreIdentity,
)
from clocksvc.interfaces.requests import MAX_PENDING_REQUESTS, REQUEST_RETENTION_MS
from clocksvc.interfaces.store import ProgressReading
from clocksvc.redis.scripts import Argument

_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_REPORTS, _HEARTBEATS, _TASKS = "reports:", "heartbeats:", "tasks:"


def report_arguments(report: Report) -> list[Argument]:
    """The arguments of report.lua."""
    arguments: list[Argument] = [FORMAT, report.group, report.late_records, len(report.timestamps)]
    for (topic, number), timestamp_ms in report.timestamps:
        arguments += (f"{topic}:{number}", timestamp_ms)
    for ((topic, number), _), outcome in report.rejected:
        arguments += (f"{topic}:{number}", outcome.value)
    return arguments


def read_report_answer(report: Report, answer: Sequence[str]) -> ReportAnswer:
    """Decode the result of report.lua."""
    parameters = read_parameters(answer[1:6])
    if parameters is None:
        return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, _optional(answer[6]))
    return ReportAnswer(tuple(_OUTCOMES[word] for word in answer[0].split()), parameters, _optional(answer[6]))


def claim_arguments(identity: StoreIdentity, parameters: ClockParameters) -> list[Argument]:
    """The arguments of claim.lua, after the token."""
    return [
        identity.cluster_id,
        identity.format,
        parameters.group,
        json.dumps(parameters.topics),
        parameters.interval_ms,
        parameters.out_of_orderness_ms,
        parameters.max_future_ms,
    ]


def read_parameters(answer: Sequence[str]) -> ClockParameters | None:
    """Decode group, topics, interval, out-of-orderness and max future; None if they are empty."""
    if not answer or not answer[0]:
        return None
    return ClockParameters(answer[0], tuple(json.loads(answer[1])), int(answer[2]), int(answer[3]), int(answer[4]))


def roster_arguments(
    roster: Roster, generation: int, exclusions: Sequence[Exclusion], pause: Pause | None
) -> list[Argument]:
    """The arguments of write_roster.lua, after the token."""
    topics = [[topic, shape.id, shape.partitions] for topic, shape in sorted(roster.topics.items())]
    overrides = json.dumps(overrides_to_wire(exclusions, pause))
    return [generation, json.dumps(topics), overrides, *map(str, roster.present_exclusions())]


def request_arguments(request: Request) -> list[Argument]:
    """The arguments of submit_request.lua."""
    return [request.id, request.expires_ms, encode_request(request), MAX_PENDING_REQUESTS, REQUEST_RETENTION_MS]


def request_result_arguments(given: Mapping[str, RequestResult]) -> Iterator[Argument]:
    """The arguments of write_request_results.lua, after token and TTL."""
    for request_id, answer in given.items():
        yield request_id
        yield encode_result(answer)


def read_request_result(text: str) -> RequestResult | None:
    """Decode the result of read_request_result.lua."""
    return decode_result(text)


def read_progress(answer: Sequence[Any]) -> ProgressReading:
    """Decode the result of read_progress.lua."""
    (
        lowest_ms,
        count,
        generation,
        now_ms,
        last_tick_ms,
        boundary_crossed_at_ms,
        unknown_seen_ms,
        since_ms,
        left,
        *digests,
    ) = answer
    found = (decode_request(text) for text in left)
    return ProgressReading(
        lowest_ms=_optional(lowest_ms),
        count=int(count),
        generation=int(generation),
        now_ms=int(now_ms),
        last_tick_ms=_optional(last_tick_ms),
        boundary_crossed_at_ms=_optional(boundary_crossed_at_ms),
        unknown_seen_ms=int(unknown_seen_ms),
        digests=frozenset(digests),
        announcements_complete_since_ms=_optional(since_ms),
        requests=tuple(sort_requests(one for one in found if one is not None)),
    )


def read_replicas(answer: Sequence[str]) -> list[Replica]:
    """Decode the result of replicas.lua."""
    named = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
    return [Replica(name.partition(" ")[0], digest, config_json) for name, digest, config_json in named]


def read_snapshot(answer: Sequence[Any]) -> Snapshot:
    """Decode the result of snapshot.lua."""
    (
        now_ms,
        last_tick_ms,
        holder,
        leader_status,
        started_ms,
        required,
        unknown,
        excluded,
        parameters,
        slowest,
        overrides,
    ) = answer
    exclusions, pause = _read_overrides(overrides)
    return Snapshot(
        now_ms=int(now_ms),
        parameters=read_parameters(parameters),
        leader_status=leader_status or None,
        leader=holder or None,
        started_ms=_optional(started_ms),
        last_tick_ms=_optional(last_tick_ms),
        known=int(required) - int(unknown),
        unknown=int(unknown),
        excluded=int(excluded),
        slowest=tuple(read_partition_clocks(slowest)),
        exclusions=exclusions,
        pause=pause,
    )


def _read_overrides(text: str) -> tuple[tuple[Exclusion, ...], Pause | None]:
    try:
        return overrides_from_wire(json.loads(text))
    except (LookupError, TypeError, ValueError):
        return (), None  # not written yet


def read_partition_clocks(answer: Sequence[str]) -> list[PartitionClock]:
    """Decode the items of partition_lines.lua."""
    return [_read_partition_clock(*answer[at : at + 5]) for at in range(0, len(answer), 5)]


def _read_partition_clock(member: str, score: str, reported: str, refused: str, excluded: str) -> PartitionClock:
    raw_ms = None if score in ("", "-inf") else int(float(score))
    return PartitionClock(
        Partition.parse(member),
        raw_ms,
        None if raw_ms is None else _optional(reported),
        bool(excluded),
        _OUTCOMES.get(refused),
    )


def tick_arguments(ticks: Sequence[Tick]) -> Iterator[Argument]:
    """The arguments of append.lua."""
    for tick in ticks:
        yield f"{tick.at_ms // 1000}-0"
        yield optional_ms(tick.previous_ms)
        yield tick.interval_ms // 1000
        yield tick.emitted_at_ms
        yield ",".join(map(str, tick.excluded))


def read_ticks(clock: str, entries: Sequence[tuple[str, Mapping[str, str]]]) -> list[Tick]:
    """Decode entries of the stream."""
    return [_read_tick(clock, entry_id, fields) for entry_id, fields in entries]


def _read_tick(clock: str, entry_id: str, fields: Mapping[str, str]) -> Tick:
    excluded = fields.get("x")
    return Tick(
        clock,
        int(entry_id.partition("-")[0]) * 1000,
        _optional(fields["p"]),
        int(fields["i"]) * 1000,
        int(fields["e"]),
        tuple(map(Partition.parse, excluded.split(","))) if excluded else (),
    )


def optional_ms(at_ms: int | None) -> Argument:
    """The argument for an optional time: '' for None."""
    return "" if at_ms is None else at_ms


def after_id(after_ms: int) -> str:
    """A stream id between the last tick up to a time and the next tick."""
    return f"{max(0, after_ms // 1000)}-{2**64 - 1}"


def task_arguments(
    dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
) -> Iterator[Argument]:
    """The arguments of count_tasks.lua."""
    yield from (dispatcher, optional_ms(at_ms), ttl_ms)
    for what, count in handled.items():
        yield json.dumps([dispatcher, *what])
        yield count


def read_counters(answer: Sequence[Sequence[str]]) -> Counters:
    """Decode the result of counters.lua."""
    fields, checkpoints = (dict(zip(pairs[::2], pairs[1::2], strict=True)) for pairs in answer)
    return Counters(
        reports=_with_prefix(fields, _REPORTS),
        heartbeats=_with_prefix(fields, _HEARTBEATS),
        late_records=int(fields.get("late_records", 0)),
        heartbeat_success_ms=_optional(fields.get("heartbeat_success_ms", "")),
        tasks=_read_tasks(fields),
        dispatcher_checkpoints_ms={dispatcher: int(at_ms) for dispatcher, at_ms in checkpoints.items()},
        task_duplicates=int(fields.get("task_duplicates", 0)),
    )


def _read_tasks(fields: Mapping[str, str]) -> dict[str, dict[TaskCounterKey, int]]:
    found: dict[str, dict[TaskCounterKey, int]] = {}
    for name, count in _with_prefix(fields, _TASKS).items():
        dispatcher, *what = json.loads(name)
        found.setdefault(dispatcher, {})[TaskCounterKey(*what)] = count
    return found


def _with_prefix(fields: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(number) for name, number in fields.items() if name.startswith(prefix)}


def _optional(text: str | int) -> int | None:
    return None if text == "" else int(text)
