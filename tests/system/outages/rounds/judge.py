"""What was lost, twice, early or backwards, by the observers alone: raw Kafka, raw events, the consumers' own notes."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.outages.rounds.watched import Watched
from tests.system.path.notes import (
    Note,
    TickWithOffset,
    early_ticks,
    late_first_records,
    read_tick_log,
)


@dataclass(frozen=True)
class Verdict:
    """What was wrong with one clock, in words, and how much happened."""

    log: list[TickWithOffset]
    streamed: list[int]
    notes: list[Note]
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """Everything that was wrong."""
        return [*self.lost, *self.twice, *self.early, *self.backwards]


def judge(bootstrap: str, watched: Watched) -> Verdict:
    """Judge a clock, which may still run: what was shown is read before the log, and that before the notes."""
    shown = {name: tuple(seconds) for name, seconds in watched.shown.items()}
    streamed = watched.follower.ticks()
    log = read_tick_log(bootstrap, watched.tick_log)
    return verdict(log, streamed, shown, read_notes(watched.notes), watched.plan.partitions)


def verdict(
    log: list[TickWithOffset],
    streamed: list[int],
    shown: Mapping[str, Sequence[int]],
    notes: list[Note],
    partitions: int,
) -> Verdict:
    """What is wrong with a clock of 1 s.

    Args:
        streamed: what the client of the stream was given, epoch seconds.
        shown: for each replica, the global clocks that it showed, epoch seconds.
    """
    found = Verdict(log, streamed, notes)
    logged = [tick.at_ms // 1000 for tick in log]
    _chain(logged, "the log", found)
    _chain(streamed, "the stream", found)
    for before, tick in itertools.pairwise(log):
        if tick.previous_ms != before.at_ms:
            found.lost.append(f"the log: {tick.at_ms} names {tick.previous_ms}, {before.at_ms} stands before it")
    for name, seconds in shown.items():
        found.backwards.extend(f"{name} showed {b} after {a}" for a, b in itertools.pairwise(seconds) if b < a)
    found.early.extend(early_ticks(log, notes, partitions, 0))
    found.early.extend(late_first_records(log, notes))
    known = set(logged)
    for where, seconds in {"the stream": streamed, **shown}.items():
        found.early.extend(f"{where} showed {at_s}, not in the log" for at_s in sorted(set(seconds) - known))
    return found


def _chain(seconds: list[int], where: str, found: Verdict) -> None:
    """A boundary that comes a second time, in a row or not, is twice; one that was never there, and lower, is back."""
    seen: set[int] = set()
    for before, after in itertools.pairwise([*seconds[:1], *seconds]):
        if after in seen:
            found.twice.append(f"{where}: {after} once more, after {before}")
        elif after > before + 1:
            found.lost.append(f"{where}: {after} stands after {before}")
        elif after < before:
            found.backwards.append(f"{where}: {after} after {before}")
        seen.add(after)


def read_notes(files: Iterable[Path]) -> list[Note]:
    """All notes, in order of time. A consumer that was killed may have left half a line as its last."""
    notes = []
    for file in files:
        text = file.read_text() if file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            partition, offset, timestamp_ms, wall_ms, heartbeat = (int(word) for word in line.split())
            notes.append(Note(partition, offset, timestamp_ms, wall_ms, bool(heartbeat)))
    return sorted(notes, key=lambda note: note.wall_ms)
