"""A clock's configuration: name, topics, group and limits; and how the configurations of its replicas differ.

Times are milliseconds.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from heapq import nlargest
from itertools import takewhile
from operator import eq
from typing import Any

from clocksvc.clock.partition import MAX_NAMED, name_first
from clocksvc.errors import InvalidValue

SECOND_MS = 1_000
DAY_MS = 86_400_000
CREATE_TIME_OUT_OF_ORDERNESS_MS = 10_000
HEARTBEAT_SPACING_MS = 20
COMMITTED_OFFSETS = "committed offsets of "
"""The beginning of the `reporting_group` of a clock that follows committed offsets."""
MAX_UPSTREAMS = 32
LONGEST_URL = 255
"""The largest number of upstream clocks, and the longest URL of one. Each record of the tick log contains all of them:
see `ClockSpec.reporting_group`."""

_LONGEST_NAME = 63
_MAX_COMPARED = 50
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class HeartbeatSpec:
    """Heartbeats: records that are written to every partition, so that quiet partitions advance, too.

    Set `key` and `payload` for compacted topics, and for topics whose consumers require a record format. A round is due
    `offset_ms` after each multiple of `every_ms` since the epoch; see `spread_heartbeats`.
    """

    every_ms: int = 60_000
    key: bytes | None = None
    payload: bytes | None = None
    offset_ms: int = 0


class Source(StrEnum):
    """Where the reports of a clock come from: Reporters in the consumers, or the group's committed offsets."""

    REPORTS = "reports"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """An upstream clock. `url` is the address of the service that runs it; "" for this installation."""

    clock: str
    url: str = ""

    def __str__(self) -> str:
        return upstream_name(self.clock, self.url)


def upstream_name(clock: str, url: str) -> str:
    """Return an upstream clock as text: `raw`, or `raw@https://clocksvc.other` if another service runs it."""
    return f"{clock}@{url}" if url else clock


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """One configured clock.

    If `max_out_of_orderness_ms` is None, the leader uses 0 s if all topics have LogAppendTime, else 10 s. If
    `hold_after_ms` is None, see `effective_hold_after_ms`. `require_topic_ids` False accepts topics without
    ids. A topic that was deleted and created again can then not be recognized, so old progress counts for it.
    `max_past_ms` is how far the first tick may be in the past. `catch_up_pace` is how many ticks a second a clock emits
    while it catches up; None for no limit. `max_drift_ms` is how far partitions may run ahead of the global clock
    before consumers pause them; None for no limit.

    With the source `committed`, the clock follows the offsets that the group commits, and reports of consumers don't
    count. `after` are its upstream clocks. `poll_ms` is how often offsets are read, and `drain_delay_ms` is how long
    after a boundary the end of a partition is read: the skew of all clocks, plus the longest time for which an appended
    record can stay above the high watermark. Measured while a follower is stopped that was the active controller: 11 s.

    Raises:
        InvalidValue: a value is not valid. The error contains the field's name in the configuration.
    """

    name: str
    topics: tuple[str, ...]
    group: str
    interval_ms: int = 60_000
    max_out_of_orderness_ms: int | None = None
    max_future_ms: int = 60_000
    hold_after_ms: int | None = None
    recent_ticks_ms: int = 7 * DAY_MS
    heartbeat: HeartbeatSpec | None = None
    require_topic_ids: bool = True
    max_past_ms: int = 7 * DAY_MS
    catch_up_pace: float | None = None
    max_drift_ms: int | None = None
    source: Source = Source.REPORTS
    after: tuple[UpstreamSpec, ...] = ()
    poll_ms: int = 5_000
    drain_delay_ms: int = 15_000

    def __post_init__(self) -> None:
        _check_names(self)
        _check_bounds(self)
        _check_source(self)

    @property
    def reporting_group(self) -> str:
        """The group whose reports count. Parameters, roster and tick log contain it in place of `group`.

        For the source `committed`, it is a name that no Reporter has by accident, and contains the upstream clocks: so
        all partitions become unknown when the source or an upstream clock changes.
        """
        if self.source is Source.REPORTS:
            return self.group
        upstreams = ", ".join(sorted(map(str, self.after)))
        return f"{COMMITTED_OFFSETS}{self.group}" + (f" after {upstreams}" if upstreams else "")

    @property
    def effective_hold_after_ms(self) -> int:
        """The time without a tick, in ms, after which readers see every hold.

        A clock that follows committed offsets has ticks after polls only, also if its interval is shorter.
        """
        if self.hold_after_ms is not None:
            return self.hold_after_ms
        polls_ms = 2 * self.poll_ms if self.source is Source.COMMITTED else 0
        return max(2 * self.interval_ms, 10 * SECOND_MS + polls_ms)

    def digest(self) -> str:
        """Return a hash of all fields that change ticks. Replicas may run together only if their digests are equal."""
        return hashlib.sha256(json.dumps(self._agreed(), sort_keys=True).encode()).hexdigest()[:16]

    def config_json(self) -> str:
        """Return the fields from which the digest is computed, as JSON for people.

        Fields have their names in the configuration. Durations have the form `60s`.
        """
        fields = {
            name.removesuffix("_ms"): _seconds(value) if name.endswith("_ms") and value is not None else value
            for name, value in self._agreed().items()
        }
        fields["kafka.topic_ids"] = "on" if fields.pop("require_topic_ids") else "off"
        return json.dumps(fields, sort_keys=True)

    def _agreed(self) -> dict[str, Any]:
        fields = asdict(self)
        for private in ("heartbeat", "recent_ticks_ms", "hold_after_ms", "catch_up_pace", "max_drift_ms", "poll_ms"):
            del fields[private]
        fields |= {"topics": sorted(self.topics), "after": sorted(map(str, self.after))}
        if self.source is Source.REPORTS:
            for unused in ("source", "after", "drain_delay_ms"):
                del fields[unused]
        return fields


def spread_heartbeats(every_ms: Mapping[str, int]) -> dict[str, int]:
    """Return the offset in ms of each clock's heartbeats, so that not all of them are due at the same moment.

    Clocks with the same `every_ms` follow one another in the order of their names: every 20 ms, or faster if the last
    offset would be more than two thirds of `every_ms`.

    Args:
        every_ms: the time between two rounds of each clock with heartbeats, by the clock's name.
    """
    groups: dict[int, list[str]] = {}
    for name in sorted(every_ms):
        groups.setdefault(every_ms[name], []).append(name)
    offsets: dict[str, int] = {}
    for every, names in groups.items():
        last_ms = min(HEARTBEAT_SPACING_MS * (len(names) - 1), every * 2 // 3)
        offsets |= {name: last_ms * number // max(1, len(names) - 1) for number, name in enumerate(names)}
    return offsets


def check_clock_name(field: str, name: str) -> None:
    """Raise InvalidValue unless `name` is a valid clock name."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise InvalidValue(field, name, "wanted 1 to 63 of a-z, 0-9 and '-', beginning and ending with one of a-z, 0-9")


def wanted_clock(name: object, clocks: Iterable[str]) -> str:
    """Return the end of an error about an unknown clock, such as `wanted one of checkins, bills and 7 more`.

    The clocks with the most similar names come first. A comparison is slow. With many clocks, it compares only those
    names that have the most characters at their beginning and end in common with `name`.
    """
    known, given = sorted(clocks), str(name)[:_LONGEST_NAME]
    compared = known if len(known) <= _MAX_COMPARED else nlargest(_MAX_COMPARED, known, key=partial(_same_ends, given))
    similar = get_close_matches(given, compared, n=MAX_NAMED)
    return f"wanted one of {name_first([*similar, *(each for each in known if each not in similar)])}"


def _same_ends(name: str, other: str) -> int:
    """Return the number of characters that the beginnings and the ends of two names have in common."""
    begin: Iterator[bool] = takewhile(bool, map(eq, name, other))
    end: Iterator[bool] = takewhile(bool, map(eq, reversed(name), reversed(other)))
    return sum(begin) + sum(end)


def check_topic_name(field: str, name: str) -> None:
    """Raise InvalidValue unless `name` is a valid name of a Kafka topic."""
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise InvalidValue(field, name, "wanted a Kafka topic: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'")


def _check_names(spec: ClockSpec) -> None:
    check_clock_name("clocks", spec.name)
    if not spec.topics:
        raise InvalidValue("topics", list(spec.topics), "wanted at least one topic")
    if len(set(spec.topics)) < len(spec.topics):
        raise InvalidValue("topics", list(spec.topics), "wanted each topic once")
    for topic in spec.topics:
        check_topic_name("topics", topic)
    if not spec.group:
        raise InvalidValue("group", spec.group, "wanted the consumer group whose progress counts")


def _check_bounds(spec: ClockSpec) -> None:
    if spec.interval_ms % SECOND_MS or not SECOND_MS <= spec.interval_ms <= DAY_MS:
        raise InvalidValue("interval", _seconds(spec.interval_ms), "wanted whole seconds from 1s to 1d")
    for field, value, days in (
        ("max_out_of_orderness", spec.max_out_of_orderness_ms, 1),
        ("max_future", spec.max_future_ms, 1),
        ("hold_after", spec.hold_after_ms, 2),  # the default is two intervals, which can be 2d
    ):
        if value is not None and not 0 <= value <= days * DAY_MS:
            raise InvalidValue(field, _seconds(value), f"wanted 0s to {days}d")
    late_ms = spec.max_out_of_orderness_ms
    least_ms = 2 * spec.interval_ms + (CREATE_TIME_OUT_OF_ORDERNESS_MS if late_ms is None else late_ms)
    if spec.max_past_ms < least_ms:
        wanted = f"wanted at least {_seconds(least_ms)}: two intervals plus max_out_of_orderness"
        raise InvalidValue("max_past", _seconds(spec.max_past_ms), wanted)
    if spec.catch_up_pace is not None and not 2 * SECOND_MS / spec.interval_ms <= spec.catch_up_pace <= 1_000_000:
        wanted = f"wanted ticks a second, at least {2 * SECOND_MS / spec.interval_ms:.3g}: two ticks in each interval"
        raise InvalidValue("catch_up_pace", spec.catch_up_pace, wanted)
    on_time_ms = least_ms + spec.effective_hold_after_ms
    if spec.max_drift_ms is not None and spec.max_drift_ms < on_time_ms:
        wanted = f"wanted at least {_seconds(on_time_ms)}: two intervals plus max_out_of_orderness plus hold_after"
        raise InvalidValue("max_drift", _seconds(spec.max_drift_ms), wanted)
    if spec.recent_ticks_ms < 60 * SECOND_MS:
        raise InvalidValue("recent_ticks", _seconds(spec.recent_ticks_ms), "wanted at least 60s")
    every_ms = spec.interval_ms if spec.heartbeat is None else spec.heartbeat.every_ms
    if not SECOND_MS <= every_ms <= spec.interval_ms:
        wanted = f"wanted 1s to {_seconds(spec.interval_ms)}, the interval"
        raise InvalidValue("heartbeat.every", _seconds(every_ms), wanted)


def _check_source(spec: ClockSpec) -> None:
    if not SECOND_MS <= spec.poll_ms <= 60 * SECOND_MS:
        raise InvalidValue("poll", _seconds(spec.poll_ms), "wanted 1s to 60s")
    if not 0 <= spec.drain_delay_ms <= 3_600 * SECOND_MS:
        raise InvalidValue("drain_delay", _seconds(spec.drain_delay_ms), "wanted 0s to 1h")
    if spec.source is Source.REPORTS:
        if spec.after:
            wanted = "wanted source: committed, because reports of consumers don't depend on other clocks"
            raise InvalidValue("after", [str(one) for one in spec.after], wanted)
        return
    if spec.heartbeat is not None:
        wanted = "wanted null, because a clock with source: committed moves quiet partitions without heartbeats"
        raise InvalidValue("heartbeat", {"every": _seconds(spec.heartbeat.every_ms)}, wanted)
    if spec.max_drift_ms is not None:
        wanted = "wanted source: reports, because only consumers with a Reporter pause their partitions"
        raise InvalidValue("max_drift", _seconds(spec.max_drift_ms), wanted)
    _check_upstreams(spec)


def _check_upstreams(spec: ClockSpec) -> None:
    if spec.after and spec.max_out_of_orderness_ms is not None:
        wanted = "wanted null, because timestamps don't count for a clock after other clocks"
        raise InvalidValue("max_out_of_orderness", _seconds(spec.max_out_of_orderness_ms), wanted)
    if len(spec.after) > MAX_UPSTREAMS:
        raise InvalidValue("after", [str(one) for one in spec.after], f"wanted at most {MAX_UPSTREAMS} clocks")
    for position, upstream in enumerate(spec.after):
        check_clock_name(f"after.{position}.clock", upstream.clock)
        if len(upstream.url) > LONGEST_URL:
            raise InvalidValue(f"after.{position}.url", upstream.url, f"wanted at most {LONGEST_URL} characters")
        if upstream == UpstreamSpec(spec.name):
            raise InvalidValue(f"after.{position}.clock", upstream.clock, "wanted another clock than this one")
        if upstream in spec.after[:position]:
            raise InvalidValue(f"after.{position}.clock", str(upstream), "wanted each clock once")


def _seconds(value_ms: int) -> str:
    return f"{value_ms / SECOND_MS:.10g}s"


@dataclass(frozen=True, slots=True)
class Replica:
    """A live process that leads a clock, or that can become its leader.

    Attributes:
        holder: `host:pid`.
        digest: the digest of this replica's configuration of the clock.
        config_json: this configuration in the form of `ClockSpec.config_json`; empty if the replica did not publish it.
    """

    holder: str
    digest: str
    config_json: str = ""


def describe_config_conflict(replicas: Iterable[Replica]) -> str:
    """Return a sentence that lists the fields in which the replicas' configurations differ, with all values."""
    listed = sorted(replicas, key=lambda replica: (replica.digest, replica.holder))
    known = [(replica, fields) for replica in listed if (fields := _config_fields(replica.config_json))]
    names = sorted({name for _, fields in known for name in fields})
    differing = [
        _field_values(name, known) for name in names if len({_field_text(fields, name) for _, fields in known}) > 1
    ]
    if not differing or len(known) < len(listed):
        differing.append(_field_values("digest", [(replica, {"digest": replica.digest}) for replica in listed]))
    return f"live replicas have different configurations of this clock: {'; '.join(differing)}"


def _field_values(name: str, known: Iterable[tuple[Replica, Mapping[str, Any]]]) -> str:
    holders: dict[str, list[str]] = {}
    for replica, fields in known:
        holders.setdefault(_field_text(fields, name), []).append(replica.holder)
    values = (f"{text} at {name_first(found, separator=' and ')}" for text, found in sorted(holders.items()))
    return f"{name} is {', '.join(values)}"


def _field_text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)


def _config_fields(config_json: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(config_json)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
