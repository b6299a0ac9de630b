"""A record of the tick log: its content and its encoding.

A record is a tick or a control record. Both contain the clock's complete state, so a new leader needs only the last
record of each clock. Most records are ticks, so they are small: the state does not repeat the fields of the tick, and
fields without a value are omitted. Snapshots are verbatim copies of these last records: see clock/log_state.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire, overrides_to_wire
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, time_from_wire, time_to_wire, to_rfc3339
from clocksvc.errors import UnreadableRecord

FORMAT = 4
TYPE_HEADER = "clocksvc-type"
TICK, CONTROL, SNAPSHOT = "tick", "control", "snapshot"
"""The types of a clock's records. Readers skip types that they don't know."""
RecordType = Literal["tick", "control"]
MAX_RECORD_BYTES = 64 * 1024
"""The largest value of a record. Requests that would make a state too large are rejected: see leader/requests.py."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where `clocksvc init` has begun the chain of ticks, while no tick was emitted after it.

    Attributes:
        after_tick_ms: the last tick that was emitted before; None if the clock has emitted none. It is the limit of a
            correction, because a clock never goes back.
        latest_ms: the latest time that `init` has set. The store's stream can still begin there after a correction to
            an earlier time. This is no lost tick.
    """

    after_tick_ms: int | None
    latest_ms: int


@dataclass(frozen=True, slots=True)
class ClockState:
    """What a leader must know to continue a clock.

    Attributes:
        last_tick_ms: the time of the last tick, or the time that `clocksvc init` set. It will be `previous` in the next
            tick. None for a clock without ticks for which `clocksvc init` was not run.
        last_emitted_ms: when the last tick was emitted; None before the first.
        group: the group whose reports count, the clock's `reporting_group`. After a change of it, all partitions are
            unknown.
        topics: the topic ids and partition counts of the roster. A roster that grew is committed before it goes to the
            store, so no leader can forget a partition that an earlier leader has seen.
        former_topic_ids: earlier ids of recreated topics, oldest first, at most MAX_FORMER_IDS for each topic. A broker
            whose metadata lag can still give such an id: it must not replace the present one.
        truncated: True if the log has lost ticks of the clock after `last_tick_ms`. Only `clocksvc init` continues the
            clock. It is part of the state, so that a leader after the loss of the store knows it, too.
        beginning: from `clocksvc init` until the next tick; otherwise None.
    """

    last_tick_ms: int | None = None
    last_emitted_ms: int | None = None
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    group: str = ""
    topics: Mapping[str, TopicMetadata] = field(default_factory=dict)
    former_topic_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    truncated: bool = False
    beginning: Beginning | None = None

    def after(self, tick: Tick) -> "ClockState":
        """Return the state after the next tick."""
        return replace(self, last_tick_ms=tick.at_ms, last_emitted_ms=tick.emitted_at_ms, beginning=None)

    @property
    def emitted_tick_ms(self) -> int | None:
        """The last tick that was emitted; None before the first. Not the time that `clocksvc init` set."""
        return self.last_tick_ms if self.beginning is None else self.beginning.after_tick_ms

    def excluded(self) -> frozenset[Partition]:
        """Return the partitions that ticks don't wait for."""
        return frozenset(exclusion.partition for exclusion in self.exclusions)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a tick log; `tick` is None in a control record.

    `requests` are the operator requests that a control record executes, as JSON. People can read them in the log. A new
    leader uses them to find unanswered requests that are done.
    """

    clock: str
    state: ClockState
    tick: Tick | None = None
    requests: tuple[Mapping[str, Any], ...] = ()

    @property
    def type(self) -> RecordType:
        """The value of the `clocksvc-type` header."""
        return "control" if self.tick is None else "tick"

    @property
    def request_ids(self) -> frozenset[str]:
        """The ids of `requests`."""
        return frozenset(str(request.get("id")) for request in self.requests)


class Message(NamedTuple):
    """A record as Kafka stores it; `type` is the value of the `clocksvc-type` header."""

    key: bytes | None
    value: bytes | None
    type: str | None

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The record's headers."""
        return [] if self.type is None else [(TYPE_HEADER, self.type.encode())]


class LogEntry(NamedTuple):
    """One committed record of a log with its offset."""

    offset: int
    message: Message


def encode_message(record: Record) -> Message:
    """Return the Kafka message of a record. Its key is the clock's name, so that compaction keeps the last record."""
    if record.tick is not None:
        (message,) = encode_ticks([record.tick], record.state)
        return message
    return Message(record.clock.encode(), encode_record(record), CONTROL)


def encode_ticks(ticks: Sequence[Tick], state: ClockState) -> list[Message]:
    """Return the Kafka messages of consecutive ticks of one clock that are emitted together, at least one.

    Most of a record is the same in all of them. It is encoded once, because a clock that catches up emits thousands of
    ticks a second.

    Args:
        state: the state after one of these ticks. The states after the others differ only in the tick.
    """
    same = ticks[0].to_wire()
    for different in ("time", "timestamp_seconds", "previous"):
        del same[different]
    same |= {"format": FORMAT, "state": _state_to_wire(replace(state, last_tick_ms=None, last_emitted_ms=None))}
    rest, key = _to_json(same)[1:], ticks[0].clock.encode()
    made = []
    for tick in ticks:
        previous = "null" if tick.previous_ms is None else f'"{to_rfc3339(tick.previous_ms)}"'
        time, seconds = to_rfc3339(tick.at_ms), tick.at_ms // 1000
        value = f'{{"time":"{time}","timestamp_seconds":{seconds},"previous":{previous},{rest}'.encode()
        made.append(Message(key, value, TICK))
    return made


def decode_message(message: Message) -> Record:
    """The reverse of `encode_message`. It also decodes the copy of a record in a snapshot.

    Raises:
        UnreadableRecord: this version does not know the type or the format, or the record has the key of another clock.
    """
    if message.value is None:
        raise UnreadableRecord("a record of the tick log has no value (a tombstone): another program wrote it")
    record = decode_record(message.type or "", message.value)
    if message.key != record.clock.encode():
        raise UnreadableRecord(
            f"a record of the tick log has the key {message.key!r}, but belongs to clock {record.clock!r}: another "
            "program wrote it"
        )
    return record


def encode_record(record: Record) -> bytes:
    """Return the value of a control record, which is one JSON object."""
    body: dict[str, Any] = {"clock": record.clock, "format": FORMAT, "state": _state_to_wire(record.state)}
    if record.requests:
        body["requests"] = list(record.requests)
    return _to_json(body).encode()


def decode_record(record_type: str, value: bytes) -> Record:
    """The reverse of `encode_record`.

    Raises:
        UnreadableRecord: this version does not know the type or the format.
    """
    try:
        body = json.loads(value)
        if body["format"] > FORMAT or record_type not in (TICK, CONTROL, SNAPSHOT):
            raise UnreadableRecord(
                f"a record of the tick log has type {record_type!r} and format {body['format']!r}; this version reads "
                f"'tick', 'control' and 'snapshot' up to format {FORMAT}: run a newer version"
            )
        is_tick = record_type == TICK or (record_type == SNAPSHOT and "timestamp_seconds" in body)
        tick = Tick.from_wire(body) if is_tick else None
        state = _state_from_wire(body["state"])
        if tick is not None:
            state = replace(state, last_tick_ms=tick.at_ms, last_emitted_ms=tick.emitted_at_ms)
        requests = body.get("requests")
        executed = tuple(dict(request) for request in requests) if isinstance(requests, list) else ()
        return Record(body["clock"], state, tick, executed)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UnreadableRecord(f"a record of the tick log can't be read: {error!r}") from error


def _to_json(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def _state_to_wire(state: ClockState) -> dict[str, Any]:
    wire = {
        **overrides_to_wire(state.exclusions, state.pause),
        "group": state.group,
        "topics": {topic: {"id": known.id, "partitions": known.partitions} for topic, known in state.topics.items()},
    }
    optional = {
        "last_tick": time_to_wire(state.last_tick_ms),
        "last_emitted_at": time_to_wire(state.last_emitted_ms),
        "former_topic_ids": {topic: list(ids) for topic, ids in state.former_topic_ids.items()},
        "truncated": state.truncated,
        "beginning": None if state.beginning is None else _beginning_to_wire(state.beginning),
    }
    return wire | {name: value for name, value in optional.items() if value}


def _state_from_wire(wire: Mapping[str, Any]) -> ClockState:
    exclusions, pause = overrides_from_wire(wire)
    beginning = wire.get("beginning")
    return ClockState(
        last_tick_ms=time_from_wire("last_tick", wire.get("last_tick")),
        last_emitted_ms=time_from_wire("last_emitted_at", wire.get("last_emitted_at")),
        exclusions=exclusions,
        pause=pause,
        group=wire["group"],
        topics={topic: TopicMetadata(item["id"], int(item["partitions"])) for topic, item in wire["topics"].items()},
        former_topic_ids={topic: tuple(ids) for topic, ids in wire.get("former_topic_ids", {}).items()},
        truncated=wire.get("truncated") is True,
        beginning=None if beginning is None else _beginning_from_wire(beginning),
    )


def _beginning_to_wire(beginning: Beginning) -> dict[str, Any]:
    latest = to_rfc3339(beginning.latest_ms)
    return {"after_tick": time_to_wire(beginning.after_tick_ms), "latest_init": latest}


def _beginning_from_wire(wire: Mapping[str, Any]) -> Beginning:
    latest_ms = parse_timestamp("latest_init", wire["latest_init"])
    return Beginning(time_from_wire("after_tick", wire["after_tick"]), latest_ms)
