"""What was lost, twice, early or backwards, by the observers alone: raw Kafka, raw events, the consumers' notes."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.system.evidence import Note, TickWithOffset, early_ticks, late_first_records, read_notes, read_tick_log
from tests.system.outages.rounds.observed_clock import ObservedClock


@dataclass(frozen=True)
class Findings:
    """What was wrong with one clock, and what it was judged by."""

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


def check_clock(bootstrap: str, tick_log: str, clock: ObservedClock) -> Findings:
    """Check a clock, which may still run: what was shown is read before the log, and the log before the notes."""
    shown = {name: tuple(seconds) for name, seconds in clock.shown.items()}
    streamed = clock.follower.ticks()
    log = read_tick_log(bootstrap, tick_log, clock.name)
    topic, notes = clock.topic, read_notes(clock.topic.notes)
    by_notes = topic.plan.buffered is None  # otherwise the sink is judged: its notes have no heartbeats
    return check(log, streamed, shown, notes, topic.plan.partitions, clock.interval_s, by_notes=by_notes)


def check(
    log: list[TickWithOffset],
    streamed: list[int],
    shown: Mapping[str, Sequence[int]],
    notes: list[Note],
    partitions: int,
    interval_s: int = 1,
    *,
    by_notes: bool = True,
) -> Findings:
    """What is wrong with a clock.

    Args:
        by_notes: whether the notes are compared with the ticks.
        streamed: the ticks that the client of the stream got, epoch seconds.
        shown: for each replica, the global clocks that it showed, epoch seconds.
    """
    found = Findings(log, streamed, notes)
    logged = [tick.at_ms // 1000 for tick in log]
    _chain(logged, interval_s, "the log", found)
    _chain(streamed, interval_s, "the stream", found)
    for before, tick in itertools.pairwise(log):
        if tick.previous_ms != before.at_ms:
            found.lost.append(f"the log: {tick.at_ms} names {tick.previous_ms} as the previous one, not {before.at_ms}")
    for name, seconds in shown.items():
        found.backwards.extend(f"{name} showed {b} after {a}" for a, b in itertools.pairwise(seconds) if b < a)
    if by_notes:
        found.early.extend(early_ticks(log, notes, partitions, 0))
        found.early.extend(late_first_records(log, notes))
    known = set(logged)
    for where, seconds in {"the stream": streamed, **shown}.items():
        found.early.extend(f"{where} showed {at_s}, not in the log" for at_s in sorted(set(seconds) - known))
    return found


def _chain(seconds: list[int], interval_s: int, where: str, found: Findings) -> None:
    """A boundary that was there before is twice, in a row or not; one that is lower and was never there is back."""
    seen: set[int] = set()
    for before, after in itertools.pairwise([*seconds[:1], *seconds]):
        if after in seen:
            found.twice.append(f"{where}: {after} again, after {before}")
        elif after > before + interval_s:
            found.lost.append(f"{where}: {after} follows {before}")
        elif after < before:
            found.backwards.append(f"{where}: {after} after {before}")
        seen.add(after)
