"""Judges what readers of committed records find in the topic of due records.

The owner of a partition reads the schedules to their end after it knows a tick. So what was readable before the tick
counts, and what became readable between the tick and the append of its records may count: for each due time, each of
these versions of the schedule is allowed, and no other one. Nothing else is excused.
"""

import json
import uuid
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.scheduler_simulation.judge.definition import Definition, read_definition, time_ms
from tests.scheduler_simulation.judge.violation import Violation

POSITION_KEY = b"_position"
EXPIRED, SUPERSEDED = "expired", "superseded"


class Version(NamedTuple):
    """One record of a schedule.

    Attributes:
        moment: when readers of committed records could read it at the earliest.
        known: when they could read it at the latest.
    """

    offset: int
    moment: int
    known: int
    definition: Definition | None
    value: bytes | None = None


class Tick(NamedTuple):
    """A tick of the clock, and when it was committed."""

    at_ms: int
    previous_ms: int
    interval_ms: int
    moment: int
    wall_ms: int
    skipped: bool
    changed: bool


class Found(NamedTuple):
    """A committed record of the topic of due records, and when it was appended."""

    offset: int
    key: bytes
    value: bytes
    headers: Mapping[str, str]
    moment: int
    wall_ms: int


class Covered(NamedTuple):
    """Due times that were recorded as missed at a tick.

    Attributes:
        instants: by version (its offset) that allows the record: the first and the last instant.
    """

    first_ms: int
    last_ms: int
    reason: str
    tick_ms: int
    offset: int
    instants: Mapping[int, tuple[int, int]]
    moment: int

    def has(self, version: Version, instant_ms: int) -> bool:
        """True if the instant of a version is covered."""
        first_ms, last_ms = self.instants.get(version.offset, (0, -1))
        return first_ms <= instant_ms <= last_ms


class DueJudge:
    """The judge of one clock's due records, all partitions.

    Args:
        skew_ms: how far the clocks of schedulers may be from the true time.

    Attributes:
        counts: what was judged, by name.
        longest_delay_ms: the longest time from a tick to the append of one of its due records. It can be set to 0.
    """

    def __init__(self, clock: str, partitions: int, skew_ms: int = 0) -> None:
        self._clock, self._skew_ms = clock, skew_ms
        self._ticks: list[Tick] = []
        self._times: list[int] = []
        self._partitions = [_Partition(number) for number in range(partitions)]
        self.counts: Counter[str] = Counter()
        self.longest_delay_ms = 0

    # -- facts --------------------------------------------------------------------------------------------------------

    def ticked(self, at_ms: int, previous_ms: int, interval_ms: int, moment: int, wall_ms: int) -> None:
        """A tick was committed. What is due between the tick before it and `previous_ms` was skipped by `init`."""
        last = self._ticks[-1] if self._ticks else None
        skipped = last is not None and previous_ms != last.at_ms
        changed = last is not None and interval_ms != last.interval_ms
        self._ticks.append(Tick(at_ms, previous_ms, interval_ms, moment, wall_ms, skipped, changed))
        self._times.append(at_ms)

    def wrote(
        self, partition: int, offset: int, key: bytes, value: bytes | None, moment: int, known: int | None = None
    ) -> None:
        """A record of a schedule can be read by readers of committed records. Called in the order of offsets.

        Args:
            moment: when they could read it at the earliest.
            known: when they could read it at the latest; None if this is the same moment.
        """
        version = Version(offset, moment, moment if known is None else known, read_definition(key, value), value)
        self._partitions[partition].versions[key].append(version)

    def began(self, partition: int) -> None:
        """A partition has an owner for the first time. Everything due after the newest tick must be sent."""
        found = self._partitions[partition]
        if found.begins_ms is None:
            found.begins_ms = self._times[-1] if self._ticks else 0

    def fenced(self, partition: int, moment: int, wall_ms: int, known_ms: int) -> None:
        """A new writer of due records has fenced those before it. It knows the ticks up to `known_ms`."""
        self._partitions[partition].fences.append((moment, wall_ms, known_ms))

    def forgot(self, partition: int, upto_ms: int) -> None:
        """The retention has removed the newest position. What was due up to a time may be lost."""
        self._partitions[partition].forgiven_ms = upto_ms

    # -- records ------------------------------------------------------------------------------------------------------

    def read(self, partition: int, found: Found) -> None:
        """Judge the next committed record of a partition."""
        kind = found.headers.get("clocksvc-type")
        if kind == "position":
            self._judge_position(self._partitions[partition], found)
        elif kind == "missed":
            self._judge_missed(self._partitions[partition], found)
        elif kind is None:
            self._judge_due(self._partitions[partition], found)
        else:
            raise Violation(f"header: a record of the type {kind!r} at offset {found.offset}")

    def behind(self, tick_ms: int) -> list[str]:
        """Return which partitions have no position at a tick or later."""
        return [
            f"partition {one.number} has the position {one.position_ms}, wanted {tick_ms}"
            for one in self._partitions
            if one.position_ms is None or one.position_ms < tick_ms
        ]

    def keys(self, partition: int) -> list[bytes]:
        """Return all keys that a partition has ever had."""
        return list(self._partitions[partition].versions)

    def present(self, partition: int, key: bytes, since: int) -> list[bytes | None]:
        """Return the values that a key has had since a moment; None for no readable record."""
        versions = self._partitions[partition].candidates(key, since, 2**62)
        return [None if one.definition is None else one.value for one in versions]

    def missed(self, partition: int) -> list[tuple[int, bytes, int, int, str]]:
        """Return all records of missed runs of a partition, in order: offset, key, first and last due time, reason."""
        found = self._partitions[partition]
        return sorted(
            (one.offset, key, one.first_ms, one.last_ms, one.reason)
            for key, covered in found.covered.items()
            for one in covered
        )

    # -- due records --------------------------------------------------------------------------------------------------

    def _judge_due(self, partition: "_Partition", found: Found) -> None:
        tick, due_ms = self._tick_of(partition, found), time_ms(found.headers["clocksvc-due"])
        name = f"{found.key.decode()} at {due_ms} (tick {tick.at_ms})"
        self._judge_names(partition, found)
        if not tick.previous_ms < due_ms <= tick.at_ms:
            raise Violation(f"tick: {name} is due in {tick.previous_ms}..{tick.at_ms}")
        key_due = (found.key, due_ms)
        if key_due in partition.sent:
            raise Violation(f"twice: {name} at offsets {partition.sent[key_due][0]} and {found.offset}")
        if due_ms < partition.last_due.get(found.key, 0):
            raise Violation(f"order: {name} after {partition.last_due[found.key]}")
        partition.sent[key_due] = found.offset, found.moment
        partition.last_due[found.key] = due_ms
        self._judge_id(partition, found, f"{found.key.decode()} {due_ms}")
        self._justify(partition, found, tick, due_ms, name)
        self.counts["sent"] += 1
        self.counts["sent after ticks that were skipped"] += tick.skipped
        self.counts["sent after a change of the interval"] += tick.changed
        self.longest_delay_ms = max(self.longest_delay_ms, found.wall_ms - tick.wall_ms)

    def _justify(self, partition: "_Partition", found: Found, tick: Tick, due_ms: int, name: str) -> None:
        """One of the versions that count wants exactly this record."""
        reasons: list[str] = []
        versions = partition.candidates(found.key, tick.moment, found.moment)
        self.counts["sent, changed between tick and append"] += len(versions) > 1
        for version in versions:
            reason = self._against(partition, version, found, tick, due_ms)
            if reason is None:
                return
            reasons.append(reason)
        raise Violation(f"{'; '.join(reasons) or 'unknown: no such schedule'}: {name}, offset {found.offset}")

    def _against(self, partition: "_Partition", version: Version, found: Found, tick: Tick, due_ms: int) -> str | None:
        """Return why a version does not want a due record; None if it does."""
        definition = version.definition
        if definition is None:
            return f"deleted: by the record at offset {version.offset}"
        if due_ms <= definition.created_ms:
            return "creation: due at or before its creation"
        runs = _instants(definition, tick)
        if due_ms not in runs:
            return f"not due: by the record at offset {version.offset}"
        if found.headers.get("clocksvc-task") != definition.task or json.loads(found.value) != definition.payload:
            return "content: task or payload is another one"
        wall_ms, known_ms = partition.earliest_decision(tick, found.moment)
        if definition.max_age_ms is not None and due_ms < wall_ms - self._skew_ms - definition.max_age_ms:
            return "expired: older than max_age"
        if definition.last_only and definition.due_times(due_ms, known_ms, tick.interval_ms):
            return f"superseded: a later one is due up to {known_ms}"
        for one in partition.covered[found.key]:
            if not one.has(version, runs[due_ms]):
                continue
            if not partition.fenced_between(one.moment, found.moment):
                return f"missed: it was recorded as {one.reason} at offset {one.offset}"
            # Another owner decides with another wall clock, and can know fewer ticks.
            self.counts["sent by the next owner after it was recorded as missed"] += 1
        return None

    # -- missed runs --------------------------------------------------------------------------------------------------

    def _judge_missed(self, partition: "_Partition", found: Found) -> None:
        tick, value = self._tick_of(partition, found), json.loads(found.value)
        first_ms, last_ms, reason = time_ms(value["first_due"]), time_ms(value["last_due"]), value["reason"]
        name = f"the missed runs of {found.key.decode()} from {first_ms} to {last_ms} ({reason}, tick {tick.at_ms})"
        self._judge_names(partition, found)
        identity = f"{found.key.decode()} {first_ms} {last_ms} {reason}"
        if identity in partition.names:
            raise Violation(f"twice: {name} at offset {found.offset}")
        self._judge_id(partition, found, identity)
        if value["schedule"] != found.key.decode() or not tick.previous_ms < first_ms <= tick.at_ms:
            raise Violation(f"tick: {name}")
        reasons: list[str] = []
        instants: dict[int, tuple[int, int]] = {}
        for version in partition.candidates(found.key, tick.moment, found.moment):
            span = (first_ms, last_ms)
            against = self._against_missed(partition, version, found, tick, span, value["runs"], reason)
            if isinstance(against, str):
                reasons.append(against)
            else:
                instants[version.offset] = against
        if not instants:
            raise Violation(f"{'; '.join(reasons) or 'unknown: no such schedule'}: {name}")
        covered = Covered(first_ms, last_ms, reason, tick.at_ms, found.offset, instants, found.moment)
        partition.covered[found.key].append(covered)
        self.counts[reason] += int(value["runs"])

    def _against_missed(
        self,
        partition: "_Partition",
        version: Version,
        found: Found,
        tick: Tick,
        span: tuple[int, int],
        runs: int,
        reason: str,
    ) -> tuple[int, int] | str:
        """Return the first and the last instant that a record covers, or why a version does not allow it."""
        definition, (first_ms, last_ms) = version.definition, span
        if definition is None:
            return f"deleted: by the record at offset {version.offset}"
        newest_ms = self._newest_before(found.moment)
        times = definition.runs(tick.previous_ms, max(newest_ms, tick.at_ms), tick.interval_ms)
        inside = [(instant_ms, due_ms) for instant_ms, due_ms in times if first_ms <= due_ms <= last_ms]
        if not inside or inside[0][1] != first_ms or inside[-1][1] != last_ms or len(inside) != runs:
            return f"missed: {len(inside)} runs are due in this time, {runs} were recorded"
        for _, due_ms in inside:
            offset, moment = partition.sent.get((found.key, due_ms), (-1, -1))
            if offset >= 0 and not partition.fenced_between(moment, found.moment):
                return f"missed: {due_ms} was sent at offset {offset}"
            self.counts["recorded as missed by the next owner after it was sent"] += offset >= 0
        if reason == EXPIRED:
            age_ms = definition.max_age_ms
            if age_ms is None or last_ms >= found.wall_ms + self._skew_ms - age_ms:
                return "missed: recorded as expired, and it is younger than max_age"
        elif reason == SUPERSEDED:
            if not definition.last_only or times[-1][1] <= last_ms:
                return "missed: recorded as superseded, and no later one is due"
        else:
            return f"missed: no such reason as {reason!r}"
        return inside[0][0], inside[-1][0]

    # -- positions ----------------------------------------------------------------------------------------------------

    def _judge_position(self, partition: "_Partition", found: Found) -> None:
        tick = json.loads(found.value)["tick"]
        if found.key != POSITION_KEY or found.headers.get("clocksvc-clock") != self._clock:
            raise Violation(f"header: the position at offset {found.offset}")
        before_ms = partition.position_ms
        if tick is None:
            if before_ms is not None:
                raise Violation(f"back: the position before the first tick at offset {found.offset}")
            partition.begins_ms = 0
            self.counts["positions before the first tick"] += 1
            return
        position_ms = time_ms(tick)
        if before_ms is not None and position_ms < before_ms:
            raise Violation(f"back: position {position_ms} after {before_ms}")
        if self._ticks and position_ms >= self._times[0] and self._newest_before(found.moment) < position_ms:
            raise Violation(f"early: the position {position_ms} at offset {found.offset} is ahead of the clock")
        partition.position_ms = position_ms
        self.counts["positions"] += 1
        if partition.begins_ms is None:
            partition.begins_ms = position_ms
        after_ms = partition.begins_ms if before_ms is None else before_ms
        covered = list(self._between(after_ms, position_ms))
        self.counts["positions, same as before"] += not covered and before_ms is not None
        self.counts["positions of several ticks"] += len(covered) > 1
        self.counts["positions of 50 ticks"] += len(covered) >= 50
        for tick in covered:
            if tick.at_ms > partition.forgiven_ms:
                self._judge_complete(partition, tick, found.moment)

    def _judge_complete(self, partition: "_Partition", tick: Tick, moment: int) -> None:
        """Everything due at a tick was sent, or recorded as missed."""
        for key in partition.versions:
            versions = partition.candidates(key, tick.moment, moment)
            runs = [_instants(one.definition, tick) for one in versions]
            for due_ms in runs[0]:
                if (key, due_ms) in partition.sent or any(due_ms not in each for each in runs):
                    continue
                if not any(
                    one.has(version, each[due_ms])
                    for one in partition.covered[key]
                    for version, each in zip(versions, runs, strict=True)
                ):
                    raise Violation(f"lost: {key.decode()} at {due_ms} (tick {tick.at_ms})")

    # -- helpers ------------------------------------------------------------------------------------------------------

    def _tick_of(self, partition: "_Partition", found: Found) -> Tick:
        tick_ms = time_ms(found.headers["clocksvc-tick"])
        index = bisect_left(self._times, tick_ms)
        if index == len(self._times) or self._times[index] != tick_ms:
            raise Violation(f"early: the record at offset {found.offset} is of the tick {tick_ms}, which never came")
        tick = self._ticks[index]
        if tick.moment > found.moment:
            raise Violation(f"early: the record at offset {found.offset} was appended before its tick {tick_ms}")
        if partition.position_ms is not None and tick_ms <= partition.position_ms:
            raise Violation(f"order: a record of tick {tick_ms} behind the position {partition.position_ms}")
        if tick_ms < partition.last_tick_ms:
            raise Violation(f"order: a record of tick {tick_ms} behind one of tick {partition.last_tick_ms}")
        partition.last_tick_ms = tick_ms
        return tick

    def _judge_names(self, partition: "_Partition", found: Found) -> None:
        headers = found.headers
        if headers.get("clocksvc-schedule") != found.key.decode() or headers.get("clocksvc-clock") != self._clock:
            raise Violation(f"header: the record at offset {found.offset} has {dict(headers)}")
        if zlib.crc32(found.key) % len(self._partitions) != partition.number:
            raise Violation(f"partition: {found.key.decode()} is in partition {partition.number}")

    def _judge_id(self, partition: "_Partition", found: Found, name: str) -> None:
        text = found.headers.get("clocksvc-id", "")
        if str(uuid.UUID(text)) != text:
            raise Violation(f"header: the id {text!r}")
        if partition.ids.setdefault(text, name) != name or partition.names.setdefault(name, text) != text:
            raise Violation(f"header: the id {text} is that of {partition.ids[text]} and {name}")

    def _newest_before(self, moment: int) -> int:
        """Return the newest tick at a moment."""
        count = bisect_right(self._ticks, moment, key=lambda tick: tick.moment)
        return self._times[count - 1] if count else 0

    def _between(self, after_ms: int, upto_ms: int) -> Iterator[Tick]:
        yield from self._ticks[bisect_right(self._times, after_ms) : bisect_right(self._times, upto_ms)]


def _instants(definition: Definition | None, tick: Tick) -> dict[int, int]:
    """Return the instants of the due times that a definition has at a tick."""
    if definition is None:
        return {}
    runs = definition.runs(tick.previous_ms, tick.at_ms, tick.interval_ms)
    return {due_ms: instant_ms for instant_ms, due_ms in runs}


class _Partition:
    """What is known of one partition."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.versions: dict[bytes, list[Version]] = defaultdict(list)
        self.covered: dict[bytes, list[Covered]] = defaultdict(list)
        self.sent: dict[tuple[bytes, int], tuple[int, int]] = {}
        self.last_due: dict[bytes, int] = {}
        self.ids: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.fences: list[tuple[int, int, int]] = []
        self.position_ms: int | None = None
        self.begins_ms: int | None = None
        self.last_tick_ms = 0
        self.forgiven_ms = -1

    def candidates(self, key: bytes, since: int, until: int) -> list[Version]:
        """Return the version that could be read at a moment, and those that became readable until another one."""
        versions = self.versions.get(key, [])
        last = bisect_left(versions, until, key=lambda version: version.moment)
        first = bisect_left(versions, since, key=lambda version: version.known)
        before = [versions[first - 1]] if first else [Version(-1, 0, 0, None)]
        return [*before, *versions[first:last]]

    def earliest_decision(self, tick: Tick, appended: int) -> tuple[int, int]:
        """Return when the owner can have decided at the earliest, in ms, and a tick that it knew then."""
        number = bisect_left(self.fences, (appended, 0, 0))
        if not number:
            return tick.wall_ms, tick.at_ms
        _, wall_ms, known_ms = self.fences[number - 1]
        return max(tick.wall_ms, wall_ms), max(tick.at_ms, known_ms)

    def fenced_between(self, since: int, until: int) -> bool:
        """True if another owner has begun between two moments."""
        return bisect_left(self.fences, (since, 0, 0)) < bisect_left(self.fences, (until, 0, 0))
