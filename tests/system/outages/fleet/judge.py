"""Judges the tick log of each clock: which ticks were lost, twice or early, and how long the clock held.

Shares no code with the service: raw Kafka, and the reports as they were sent.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.system.evidence import Note, TickWithOffset
from tests.system.outages.fleet.load import PARTITIONS, Reported
from tests.system.outages.rounds.checks import check
from tests.system.outages.rounds.report import ERRORS


class Delay(NamedTuple):
    """How late a tick was: since when it could be given, when it came, and the difference, in ms."""

    since_ms: int
    came_ms: int
    clock: str

    @property
    def ms(self) -> int:
        """By how many ms the tick was late."""
        return self.came_ms - self.since_ms


@dataclass(frozen=True)
class Judgement:
    """The judged ticks, and the errors: texts by kind of error."""

    ticks: int
    clocks: int
    delays: list[Delay]
    wrong: dict[str, list[str]] = field(default_factory=lambda: {error: [] for error in ERRORS})

    def longest(self, began_ms: int, ended_ms: int) -> Delay | None:
        """The longest delay of a tick that came between two times; None without one."""
        own = (delay for delay in self.delays if began_ms <= delay.came_ms < ended_ms)
        return max(own, key=lambda delay: delay.ms, default=None)

    def ticks_in(self, began_ms: int, ended_ms: int) -> int:
        """How many ticks came between two times."""
        return sum(began_ms <= delay.came_ms < ended_ms for delay in self.delays)


def judge(
    logs: Mapping[str, Sequence[TickWithOffset]],
    reported: Mapping[str, Sequence[Reported]],
    interval_s: int,
    until_ms: Mapping[str, int],
) -> Judgement:
    """Judge all clocks that were reported.

    Args:
        logs: the ticks of each clock, in the order of the tick log.
        until_ms: the time that the last tick of a clock must have reached; of other clocks, the last report must have
            been answered by a tick.
    """
    delays: list[Delay] = []
    found = Judgement(sum(map(len, logs.values())), len(reported), delays)
    for clock, reports in reported.items():
        ticks = list(logs.get(clock, ()))
        errors = check(ticks, [], {}, list(_notes(reports)), PARTITIONS, interval_s)
        for error, texts in found.wrong.items():
            texts.extend(f"{clock}: {text}" for text in getattr(errors, error))
        last_ms, wanted_ms = ticks[-1].at_ms if ticks else 0, until_ms.get(clock, reports[-1].sent_ms)
        if last_ms < wanted_ms - wanted_ms % (interval_s * 1000):
            found.wrong["lost"].append(f"{clock}: the last tick is {last_ms}, reported was {wanted_ms}")
        delays.extend(_delays(clock, ticks, reports))
    return found


def _notes(reports: Sequence[Reported]) -> Iterator[Note]:
    """Each report as records, one in each partition, that were processed when the report was sent."""
    for offset, report in enumerate(reports):
        for partition in range(PARTITIONS):
            yield Note(partition, offset, report.sent_ms, report.sent_ms, False)


def _delays(clock: str, ticks: Sequence[TickWithOffset], reports: Sequence[Reported]) -> Iterator[Delay]:
    """A tick could be given as soon as the first report at its time or later was answered."""
    answered = [report for report in reports if report.answered_ms is not None]
    for tick in ticks:
        place = bisect_left(answered, tick.at_ms, key=lambda report: report.sent_ms)
        if place < len(answered) and (since_ms := answered[place].answered_ms) is not None:
            yield Delay(since_ms, tick.appended_ms, clock)
