"""A round's outcome in words: faults by kind, what was lost, twice, early or backwards, and how long clocks stood."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median

from tests.system.outages.rounds.delays import (
    AMID_MS,
    amid_commits,
    stalls,
    takeovers,
)
from tests.system.outages.rounds.faults import GROUPS
from tests.system.outages.rounds.judge import (
    Verdict,
    judge,
)
from tests.system.outages.rounds.play import (
    LIMIT_S,
    Played,
)
from tests.system.outages.rounds.world import (
    REPLICAS,
    World,
)

_WORDS = ("lost", "twice", "early", "backwards")
_SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """What came of a round in one world. `stood`: seconds without a tick, for each fault, by kind.

    A consumer or a Celery process may end by itself when its broker is gone, a replica may not.
    """

    title: str
    played: Played
    verdicts: dict[str, Verdict]
    stood: dict[str, list[float]]
    takeover: dict[str, list[float]]
    amid_commits: dict[str, int]
    ended: list[tuple[str, int]]

    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return [
            *(f"{clock}: {text}" for clock, verdict in self.verdicts.items() for text in verdict.wrong()),
            *self.played.stuck,
            *(f"{kind}: {s:.1f} s without a tick" for kind, own in self.stood.items() for s in own if s > LIMIT_S),
            *(f"{name} ended by itself with {code}" for name, code in self.ended if name in REPLICAS),
        ]


def conclude(title: str, world: World, played: Played) -> Outcome:
    """Judge a world, in which no fault comes any more."""
    verdicts = {watched.plan.name: judge(world.kafka.bootstrap, watched) for watched in world.clocks}
    stood: dict[str, list[float]] = defaultdict(list)
    for watched in world.clocks:
        for kind, seconds in stalls(world.faults, [at for _, at in watched.follower.arrived]).items():
            stood[kind] += seconds
    first = verdicts[world.clocks[0].plan.name].log
    takeover = {kind: takeovers(world.faults, first, kind) for kind in ("kill-leader", "end-leader")}
    amid = {
        clock: sum(amid_commits(world.faults, verdict.log, kind) for kind in GROUPS["broker"])
        for clock, verdict in verdicts.items()
    }
    return Outcome(title, played, verdicts, dict(stood), takeover, amid, list(world.ended))


def tell(outcome: Outcome) -> str:
    """The outcome, for people."""
    seen = outcome.played.goals.seen
    lines = ["", outcome.title, f"{'fault':24}{'count':>6}{'stall p50':>12}{'longest':>12}"]
    for kind, seconds in sorted(outcome.stood.items()):
        lines.append(f"{kind:24}{seen[kind]:>6}{median(seconds):>10.1f} s{max(seconds):>10.1f} s")
    killed = sum(seen[kind] for kind in GROUPS["kill"])
    lines.append(f"{'in all':24}{seen.total():>6}   ({killed} SIGKILLs of processes)")
    for kind, seconds in outcome.takeover.items():
        if seconds:
            text = f"from the last tick to the next: p50 {median(seconds):.1f} s, longest {max(seconds):.1f} s"
            lines.append(f"{kind}, {len(seconds)} times alone upon a running clock: {text}")
    for clock, verdict in outcome.verdicts.items():
        lines += _clock(clock, verdict, outcome.amid_commits[clock])
    for (name, code), count in sorted(Counter(outcome.ended).items()):
        lines.append(f"{name} ended by itself with {code}, {count} times")
    lines += outcome.played.stuck
    return "\n".join(lines)


def _clock(clock: str, verdict: Verdict, amid: int) -> list[str]:
    beats = sum(note.heartbeat for note in verdict.notes)
    lines = [
        f"clock {clock}: {len(verdict.log)} ticks in the log, {len(verdict.streamed)} on the stream; "
        f"{len(verdict.notes)} records noted, {beats} of them heartbeats",
        "  " + ", ".join(f"{word} {len(getattr(verdict, word))}" for word in _WORDS),
    ]
    if amid:
        lines.append(f"  {amid} brokers killed within {AMID_MS / 1000:g} s after a commit of this clock")
    for word in _WORDS:
        lines += [f"  {word}: {text}" for text in getattr(verdict, word)[:_SHOWN]]
    return lines
