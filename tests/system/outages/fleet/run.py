"""One run: the changes one after the other, the judgement, and a report about each phase."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.evidence import read_all_ticks
from tests.system.outages.fleet.changes import Change
from tests.system.outages.fleet.fleet import Fleet, Phase, clock_names
from tests.system.outages.fleet.judge import Judgement, judge
from tests.system.outages.fleet.leaders import Move, Moved, moved
from tests.system.outages.rounds.brokers import single
from tests.waiting import eventually

_CAUGHT_UP_WITHIN_S = 30.0
_SHOWN = 10
REPLICAS = "abcdefgh"


class Outcome(NamedTuple):
    """A run that has ended."""

    replicas: int
    judgement: Judgement
    phases: list[Phase]
    moves: list[Move]

    def moved(self, phase: Phase) -> Moved:
        """How leaders changed in a phase."""
        return moved(self.moves, phase.began_ms, phase.ended_ms)

    def wrong(self) -> list[str]:
        """Everything that must not happen."""
        return [
            *(f"{error}: {text}" for error, texts in self.judgement.wrong.items() for text in texts),
            *(text for phase in self.phases for text in self._wrong_in(phase)),
        ]

    def _wrong_in(self, phase: Phase) -> Iterator[str]:
        longest, change = self.judgement.longest(phase.began_ms, phase.ended_ms), self.moved(phase)
        if longest is None:
            yield f"{phase.name}: no tick"
        elif longest.ms > 1000 * phase.limit_s:
            yield f"{phase.name}: {longest.clock} held {longest.ms / 1000:.1f} s, allowed are {phase.limit_s:g} s"
        if change.returns:
            yield f"{phase.name}: {change.returns} times a log went back to a replica that had led it before"
        if phase.still and change.times:
            yield f"{phase.name}: {change.times} logs moved, none may"

    def report(self) -> Iterator[str]:
        """The run as text."""
        head = f"{'phase':44}{'logs before':>16}{'after':>16}{'moved':>7}{'most':>6}{'back':>6}"
        yield f"{head}{'longest hold':>14}{'ticks':>8}"
        for phase in self.phases:
            longest, change = self.judgement.longest(phase.began_ms, phase.ended_ms), self.moved(phase)
            ticks = self.judgement.ticks_in(phase.began_ms, phase.ended_ms)
            yield (
                f"{phase.name:44}{_shares(phase.before):>16}{_shares(phase.after):>16}{change.logs:>7}{change.most:>6}"
                f"{change.returns:>6}{'-' if longest is None else f'{longest.ms / 1000:.2f} s':>14}{ticks:>8}"
            )
        wrong = self.judgement.wrong
        counts = ", ".join(f"{error} {len(texts)}" for error, texts in wrong.items())
        yield f"{self.replicas} replicas, {self.judgement.clocks} clocks, {self.judgement.ticks:,} ticks: {counts}"
        for text in self.wrong()[:_SHOWN]:
            yield f"  {text}"


def run(
    folder: Path, replicas: int, clocks: int, changes: Sequence[Change], valkey: ValkeyServer, *, interval_s: int = 1
) -> Outcome:
    """Start everything, make the changes, wait until the clocks have caught up, and judge."""
    names = list(REPLICAS[: replicas + 1])
    with (
        single(names) as kafka,
        Fleet(folder, kafka, valkey, names, clock_names(clocks), interval_s=interval_s) as fleet,
    ):
        for change in changes:
            change(fleet)
        fleet.load.stop()
        reported, tick_log = fleet.load.reported, fleet.installation.tick_log

        def judged() -> Judgement:
            return judge(read_all_ticks(kafka.bootstrap, tick_log), reported, interval_s, fleet.removed_ms)

        with suppress(AssertionError):  # what is lost then is in the judgement
            eventually(lambda: not judged().wrong["lost"], within=_CAUGHT_UP_WITHIN_S)
        return Outcome(replicas, judged(), fleet.phases, fleet.watch.moves)


def _shares(logs: Mapping[str, int]) -> str:
    return " ".join(f"{name} {count}" for name, count in logs.items())
