"""Encodes the arguments of the scripts of a clock and decodes their results. No I/O.

A consumer's Redis user can write anything into the keys of reports. Such values never raise an error: they are left
out, or limited.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clocksvc.clock.holds import Hold
from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire, overrides_to_wire
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.request import (
    Request,
    RequestResult,
    encode_request,
    encode_result,
)
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick, first_chain_break
from clocksvc.errors import ChainBroken, InvalidValue
from clocksvc.interfaces.clock_reads import StreamTail
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.hold_history import (
    HoldHistory,
    KeptChange,
    make_page,
)
from clocksvc.interfaces.progress import (
    FORMAT,
    ClockParameters,
    ForeignReports,
    PartitionClock,
    Report,
    ReportAnswer,
    Snapshot,
    StoreIdentity,
)
from clocksvc.interfaces.requests import MAX_PENDING_REQUESTS, REQUEST_RETENTION_MS
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.redis.observation_encoding import read_observation, read_partition_observation
from clocksvc.redis.scripts import Argument

_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
NO_HOLD = "-"
_LAST_TIME_MS = 253_402_300_799_999
"""The end of the year 9999, the last time that RFC 3339 can express."""
_LONGEST_NAME, _LONGEST_COUNT = 255, 20
_REPORTS, _HEARTBEATS, _TASKS = "reports:", "heartbeats:", "tasks:"


def report_arguments(report: Report) -> list[Argument]:
    """The arguments of report.lua."""
    arguments: list[Argument] = [
        FORMAT,
        report.group,
        report.late_records,
        int(bool(report.create_time_topics)),
        json.dumps(dict(report.topic_ids)) if report.topic_ids else "",
        len(report.timestamps),
    ]
    for (topic, number), timestamp_ms in report.timestamps:
        arguments += (f"{topic}:{number}", timestamp_ms)
    for ((topic, number), _), outcome in report.rejected:
        arguments += (f"{topic}:{number}", outcome.value)
    return arguments


def read_report_answer(report: Report, answer: Sequence[str]) -> ReportAnswer:
    """Decode the result of report.lua."""
    outcomes, *found, last_tick_ms, lowest_ms = answer
    parameters = read_parameters(found)
    if parameters is None:
        return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, optional_time(last_tick_ms))
    return ReportAnswer(
        tuple(_OUTCOMES[word] for word in outcomes.split()),
        parameters,
        optional_time(last_tick_ms),
        optional_time(lowest_ms),
    )


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
        optional_ms(parameters.max_drift_ms),
    ]


def read_parameters(answer: Sequence[str]) -> ClockParameters | None:
    """Decode group, topics, interval, out-of-orderness, max future and max drift; None if they are empty."""
    if not answer or not answer[0]:
        return None
    group, topics, interval_ms, out_of_orderness_ms, max_future_ms, max_drift_ms = answer
    return ClockParameters(
        group,
        tuple(json.loads(topics)),
        int(interval_ms),
        int(out_of_orderness_ms),
        int(max_future_ms),
        optional_time(max_drift_ms),
    )


def roster_arguments(
    roster: Roster, generation: int, exclusions: Sequence[Exclusion], pause: Pause | None
) -> list[Argument]:
    """The arguments of write_roster.lua, after the token."""
    topics = [[topic, metadata.id, metadata.partitions] for topic, metadata in sorted(roster.topics.items())]
    overrides = json.dumps(overrides_to_wire(exclusions, pause))
    return [generation, json.dumps(topics), overrides, *map(str, roster.present_exclusions())]


def read_roster_topics(text: str | None) -> dict[str, TopicMetadata]:
    """Decode the field `roster` of the key `state`; {} if it is missing."""
    return {topic: TopicMetadata(topic_id, partitions) for topic, topic_id, partitions in json.loads(text or "[]")}


def request_arguments(request: Request) -> list[Argument]:
    """The arguments of submit_request.lua."""
    return [request.id, request.expires_ms, encode_request(request), MAX_PENDING_REQUESTS, REQUEST_RETENTION_MS]


def request_result_arguments(results: Mapping[str, RequestResult]) -> Iterator[Argument]:
    """The arguments of write_request_results.lua, after token and TTL."""
    for request_id, result in results.items():
        yield request_id
        yield encode_result(result)


def read_hold_history(answer: Sequence[Any], limit: int) -> HoldHistory:
    """Decode the result of hold_history.lua."""
    now_ms, oldest_ms, lasts, changes = answer
    return make_page(
        [_read_kept_change(change) for change in changes],
        limit,
        now_ms=int(now_ms),
        oldest_ms=optional_time(oldest_ms),
        lasts=_read_kept_change(lasts) if lasts else None,
    )


def _read_kept_change(text: str) -> KeptChange:
    began_ms, until_ms, reason, hold = text.split(" ", 3)
    return KeptChange(int(began_ms), int(until_ms), None if reason == NO_HOLD else Hold.from_wire(json.loads(hold)))


def read_snapshot(answer: Sequence[Any]) -> Snapshot:
    """Decode the result of snapshot.lua."""
    (
        now_ms,
        last_tick_ms,
        replica,
        leader_status,
        started_ms,
        required,
        unknown,
        excluded,
        rejected,
        parameters,
        slowest,
        overrides,
        leader_lacks_clock,
        observation,
    ) = answer
    exclusions, pause = _read_overrides(overrides)
    return Snapshot(
        now_ms=int(now_ms),
        parameters=read_parameters(parameters),
        leader_status=leader_status or None,
        leader=replica.partition(" ")[0] or None,
        started_ms=optional_time(started_ms),
        last_tick_ms=optional_time(last_tick_ms),
        known=int(required) - int(unknown),
        unknown=int(unknown),
        excluded=int(excluded),
        rejected=int(rejected),
        slowest=tuple(read_partition_clocks(slowest)),
        exclusions=exclusions,
        pause=pause,
        leader_lacks_clock=bool(leader_lacks_clock),
        observation=read_observation(observation),
    )


def _read_overrides(text: str) -> tuple[tuple[Exclusion, ...], Pause | None]:
    try:
        return overrides_from_wire(json.loads(text))
    except (LookupError, TypeError, ValueError):
        return (), None  # not written yet


def read_partition_clocks(answer: Sequence[str]) -> list[PartitionClock]:
    """Decode the items of partition_lines.lua."""
    items = (_read_partition_clock(*answer[at : at + 6]) for at in range(0, len(answer), 6))
    return [item for item in items if item is not None]


def _read_partition_clock(
    member: str, score: str, reported: str, rejected: str, excluded: str, observed: str
) -> PartitionClock | None:
    try:
        partition = Partition.parse(member)
    except InvalidValue:
        return None
    raw_ms = None if score in ("", "-inf") else int(max(0.0, min(float(score), _LAST_TIME_MS)))
    return PartitionClock(
        partition,
        raw_ms,
        None if raw_ms is None else _reported_time(reported),
        bool(excluded),
        _OUTCOMES.get(rejected),
        read_partition_observation(observed),
    )


def _reported_time(text: str | None) -> int | None:
    """Decode a time in ms that a report has written; None if it is missing or no time."""
    return time_ms if (time_ms := _count(text)) is not None and time_ms <= _LAST_TIME_MS else None


def _count(text: str | None) -> int | None:
    """Decode a count; None if it is missing or no count."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < _LONGEST_COUNT else None


def _printable(name: str) -> str:
    """Return a name that a report has written, without control characters, at most 255 characters."""
    return "".join(char if char.isprintable() else "?" for char in name[:_LONGEST_NAME])


def read_foreign_reports(group: str | None, topic: str | None) -> ForeignReports:
    """Decode the fields `foreign_group` and `foreign_topic` of the key `signals`: a time in ms, a space and a name."""
    (group_ms, _, group_name), (topic_ms, _, topic_name) = ((text or "").partition(" ") for text in (group, topic))
    return ForeignReports(
        _printable(group_name) or None,
        _reported_time(group_ms) or 0,
        _printable(topic_name) or None,
        _reported_time(topic_ms) or 0,
    )


def tick_arguments(ticks: Sequence[Tick]) -> Iterator[Argument]:
    """The arguments of append.lua."""
    for tick in ticks:
        yield f"{tick.at_ms // 1000}-0"
        yield optional_ms(tick.previous_ms)
        yield tick.interval_ms // 1000
        yield tick.emitted_at_ms
        yield ",".join(map(str, tick.excluded))


def publish_arguments(clock: str, ticks: Sequence[Tick], recent_ticks_ms: int) -> Iterator[Argument]:
    """The arguments of publish.lua for one clock.

    Raises:
        ChainBroken: the ticks do not follow one another.
    """
    previous_ms = ticks[0].previous_ms if ticks else None
    broken = first_chain_break(previous_ms, ticks)
    if broken is not None:
        raise ChainBroken(
            f"the ticks to publish are not one chain: the tick before {broken.at_ms} ms is not its previous tick, "
            f"{broken.previous_ms} ms, or is not earlier"
        )
    yield from (optional_ms(previous_ms), recent_ticks_ms, clock, len(ticks))
    yield from tick_arguments(ticks)


def read_bounds(clock: str, answer: Sequence[Any]) -> StreamBounds:
    """Decode the result of bounds.lua."""
    first, last, base_ms, stream, restoring = answer
    newest = _read_entry(clock, last) if last else None
    return StreamBounds(
        first=_read_entry(clock, first) if first else None,
        last=newest,
        base_ms=optional_time(base_ms),
        written=bool(stream) or newest is not None,
        restoring=bool(restoring),
    )


def read_stream_tail(clock: str, after_ms: int | None, item: Sequence[Any]) -> StreamTail:
    """Decode one item of the result of read_tails.lua."""
    entries, last_ms, base_ms, stream, restoring = item
    ticks = [_read_entry(clock, entry) for entry in entries]
    return StreamTail(
        ticks=tuple(reversed(ticks) if after_ms is None else ticks),
        last_ms=optional_time(last_ms),
        base_ms=optional_time(base_ms),
        written=bool(stream) or last_ms != "",
        restoring=bool(restoring),
    )


def _read_entry(clock: str, entry: Sequence[Any]) -> Tick:
    entry_id, fields = entry
    return _read_tick(clock, entry_id, dict(zip(fields[::2], fields[1::2], strict=True)))


def read_ticks(clock: str, entries: Sequence[tuple[str, Mapping[str, str]]]) -> list[Tick]:
    """Decode entries of the stream."""
    return [_read_tick(clock, entry_id, fields) for entry_id, fields in entries]


def _read_tick(clock: str, entry_id: str, fields: Mapping[str, str]) -> Tick:
    excluded = fields.get("x")
    return Tick(
        clock,
        int(entry_id.partition("-")[0]) * 1000,
        optional_time(fields["p"]),
        int(fields["i"]) * 1000,
        int(fields["e"]),
        tuple(map(Partition.parse, excluded.split(","))) if excluded else (),
    )


def optional_ms(at_ms: int | None) -> Argument:
    """The argument for an optional time: '' for None."""
    return "" if at_ms is None else at_ms


def optional_time(text: str | int) -> int | None:
    """Decode an optional time: None for ''."""
    return None if text == "" else int(text)


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
        reports={outcome: n for outcome, n in _with_prefix(fields, _REPORTS).items() if outcome in _OUTCOMES},
        heartbeats=_with_prefix(fields, _HEARTBEATS),
        late_records=_count(fields.get("late_records")) or 0,
        heartbeat_success_ms=_reported_time(fields.get("heartbeat_success_ms")),
        tasks=_read_tasks(fields),
        dispatcher_checkpoints_ms={
            dispatcher: at_ms for dispatcher, text in checkpoints.items() if (at_ms := _reported_time(text)) is not None
        },
        task_duplicates=_count(fields.get("task_duplicates")) or 0,
    )


def _read_tasks(fields: Mapping[str, str]) -> dict[str, dict[TaskCounterKey, int]]:
    found: dict[str, dict[TaskCounterKey, int]] = {}
    for name, count in _with_prefix(fields, _TASKS).items():
        try:
            dispatcher, namespace, queue, outcome = map(str, json.loads(name))
        except (TypeError, ValueError, RecursionError):  # consumers can write anything
            continue
        found.setdefault(dispatcher, {})[TaskCounterKey(namespace, queue, outcome)] = count
    return found


def _with_prefix(fields: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): number
        for name, text in fields.items()
        if name.startswith(prefix) and (number := _count(text)) is not None
    }
