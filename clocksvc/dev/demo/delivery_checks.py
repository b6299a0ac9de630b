"""Checks what the demo promises: each tick, job and due record comes once, in order, and not early."""

import json
import threading
from dataclasses import dataclass
from pathlib import Path

from clocksvc.clock import boundary
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.dev.demo.demo_config import EVERY_S, INTERVAL_S, NIGHT_S

NIGHTLY, TICK = "nightly", "tick"
EVERY_MS = {NIGHTLY: NIGHT_S * 1000, TICK: INTERVAL_S * 1000}


@dataclass(frozen=True, slots=True)
class Job:
    """A task that was run. It was due at `due_ms`, and sent at the tick `tick_ms`.

    `sent_ms` is beat's wall clock time when it sent the task; None if this was not recorded.
    """

    kind: str
    id: str
    due_ms: int
    tick_ms: int
    sent_ms: int | None


class JobSequence:
    """The tasks of one demo, read from the file that they write.

    Attributes:
        counts: tasks by kind; a repetition with the same id is not counted again.
        problems: a sentence for each gap, repetition or early task; empty if there are none.
    """

    def __init__(self, notes: Path) -> None:
        self.counts = {NIGHTLY: 0, TICK: 0}
        self.problems: list[str] = []
        self._notes = notes
        self._read = 0
        self._ids: set[str] = set()
        self._last_ms: dict[str, int] = {}
        self._nightly: list[Job] = []

    def read_new(self) -> None:
        """Read the lines that were written since the last call."""
        if not self._notes.exists():
            return
        with self._notes.open("rb") as notes:
            notes.seek(self._read)
            written = notes.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            self.add(_parse_job(line))

    def add(self, job: Job) -> None:
        """Check and count the next task."""
        if job.id in self._ids:
            return
        expected_ms = self._last_ms.get(job.kind, job.due_ms - EVERY_MS[job.kind]) + EVERY_MS[job.kind]
        if job.due_ms != expected_ms:
            self.problems.append(f"{job.kind} task for {job.due_ms} came where {expected_ms} was due")
        if job.tick_ms < job.due_ms:
            self.problems.append(f"{job.kind} task for {job.due_ms} came early, with tick {job.tick_ms}")
        self._ids.add(job.id)
        self._last_ms[job.kind] = job.due_ms
        self.counts[job.kind] += 1
        if job.kind == NIGHTLY:
            self._nightly.append(job)

    def take_nightly(self, tick_ms: int) -> list[Job]:
        """Return the nightly jobs of ticks up to `tick_ms` that no earlier call has returned."""
        given = [job for job in self._nightly if job.tick_ms <= tick_ms]
        self._nightly = [job for job in self._nightly if job.tick_ms > tick_ms]
        return given

    @property
    def last_night_ms(self) -> int | None:
        """The due time of the last nightly job that was run; None before the first."""
        return self._last_ms.get(NIGHTLY)


def next_night_ms(tick_ms: int) -> int:
    """Return the first due time of the nightly job after a tick."""
    return boundary.next_boundary(tick_ms, EVERY_MS[NIGHTLY])


def waiting_nights(tick_ms: int, now_ms: int) -> list[int]:
    """Return the due times of the nightly job after the clock's last tick, up to the wall clock time `now_ms`."""
    return list(range(next_night_ms(tick_ms), now_ms + 1, EVERY_MS[NIGHTLY]))


def _parse_job(line: bytes) -> Job:
    found = json.loads(line)
    due_ms, tick_ms = (parse_timestamp(name, found[name]) for name in ("due", "tick"))
    return Job(found["kind"], found["id"], due_ms, tick_ms, found["sent_ms"])


@dataclass(frozen=True, slots=True)
class Due:
    """A record of a schedule that was due at `due_ms`, and was sent at the tick `tick_ms`."""

    schedule: str
    id: str
    due_ms: int
    tick_ms: int


class DueSequence:
    """Checks and counts due records. Thread-safe.

    The demo's schedules are checked for gaps and repetitions. Others belong to the user, who can change them at any
    time: their records are checked for the tick only.

    Attributes:
        count: the number of due records.
        own: how many of them are of the user's own schedules.
        last: the newest one; None before the first.
        problems: a sentence for each gap, repetition or early record; empty if there are none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.own = 0
        self.last: Due | None = None
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._last_ms: dict[str, int] = {}
        self._unshown: list[Due] = []

    def add(self, due: Due) -> None:
        """Check and count the next due record."""
        with self._lock:
            if due.schedule in EVERY_S:
                every_ms = EVERY_S[due.schedule] * 1000
                expected_ms = self._last_ms.get(due.schedule, due.due_ms - every_ms) + every_ms
                if due.due_ms != expected_ms:
                    self.problems.append(f"schedule {due.schedule} came for {due.due_ms} where {expected_ms} was due")
                self._last_ms[due.schedule] = due.due_ms
            else:
                self.own += 1
            if due.tick_ms < due.due_ms:
                self.problems.append(f"schedule {due.schedule} for {due.due_ms} came early, with tick {due.tick_ms}")
            self._unshown.append(due)
            self.count += 1
            self.last = due

    def take(self, tick_ms: int) -> list[Due]:
        """Return the records of ticks up to `tick_ms` that no earlier call has returned."""
        with self._lock:
            given = [due for due in self._unshown if due.tick_ms <= tick_ms]
            self._unshown = [due for due in self._unshown if due.tick_ms > tick_ms]
            return given


class TickSequence:
    """Checks and counts the ticks of one clock, from its first tick on."""

    def __init__(self, interval_ms: int) -> None:
        self.count = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.problems: list[str] = []
        """A sentence for each gap or repetition; empty if there are none."""
        self._interval_ms = interval_ms

    def add(self, tick: Tick) -> None:
        """Check and count the next tick."""
        expected_ms = None if self.last_ms is None else self.last_ms + self._interval_ms
        if tick.previous_ms != self.last_ms:
            self.problems.append(
                f"tick {tick.at_ms} has the previous tick {tick.previous_ms}, but the tick before it was {self.last_ms}"
            )
        elif expected_ms is not None and tick.at_ms != expected_ms:
            self.problems.append(f"tick {tick.at_ms} came where {expected_ms} was due")
        self.count += 1
        self.first_ms = tick.at_ms if self.first_ms is None else self.first_ms
        self.last_ms = tick.at_ms


class StoredRecords:
    """Checks that all records before a tick of the second stage are stored. Thread-safe.

    Attributes:
        count: the number of stored records, without repetitions.
        problems: a sentence for each tick that came too early; empty if there are none.
    """

    def __init__(self) -> None:
        self.count = 0
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._missing_ms: dict[int, int | None] = {}

    def expect(self, number: int) -> None:
        """Note a record before it is sent. Until it is delivered, it has no timestamp."""
        with self._lock:
            self._missing_ms.setdefault(number, None)

    def delivered(self, number: int, timestamp_ms: int) -> None:
        """Note the timestamp of a record. It may be stored already."""
        with self._lock:
            if number in self._missing_ms:
                self._missing_ms[number] = timestamp_ms

    def store(self, number: int) -> None:
        """Note that a record is stored. A record can be stored repeatedly."""
        with self._lock:
            if number in self._missing_ms:
                del self._missing_ms[number]
                self.count += 1

    def check(self, tick_ms: int) -> None:
        """Check a tick of the second stage, after it was received."""
        with self._lock:
            early = [number for number, at_ms in self._missing_ms.items() if at_ms is not None and at_ms < tick_ms]
        if early:
            self.problems.append(f"{len(early)} records before tick {tick_ms} are not stored, such as {early[0]}")
