"""The report of a round: faults by kind, what was lost, twice, early or backwards, and how long clocks stalled."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median

from tests.system.outages.rounds.checks import Findings, check_clock
from tests.system.outages.rounds.delays import AMID_MS, amid_commits, stalls, takeovers
from tests.system.outages.rounds.faults import GROUPS
from tests.system.outages.rounds.runner import LIMIT_S, Round
from tests.system.outages.rounds.supervised_installation import REPLICAS, SupervisedInstallation

_WORDS = ("lost", "twice", "early", "backwards")
_SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """The result of a round. `stalled`: seconds without a tick, for each fault, by kind.

    A consumer or a Celery process may end by itself when its broker is gone; a replica may not.
    """

    title: str
    round: Round
    findings: dict[str, Findings]
    stalled: dict[str, list[float]]
    takeover: dict[str, list[float]]
    amid_commits: dict[str, int]
    ended: list[tuple[str, int]]

    def wrong(self) -> list[str]:
        """Everything that must not happen."""
        return [
            *(f"{clock}: {text}" for clock, findings in self.findings.items() for text in findings.wrong()),
            *self.round.stuck,
            *(f"{kind}: {s:.1f} s without a tick" for kind, own in self.stalled.items() for s in own if s > LIMIT_S),
            *(f"{name} ended by itself with {code}" for name, code in self.ended if name in REPLICAS),
        ]


def conclude(title: str, target: SupervisedInstallation, done: Round) -> Outcome:
    """Check all clocks, after the last fault."""
    findings = {clock.plan.name: check_clock(target.kafka.bootstrap, clock) for clock in target.clocks}
    stalled: dict[str, list[float]] = defaultdict(list)
    for clock in target.clocks:
        for kind, seconds in stalls(target.faults, [at for _, at in clock.follower.arrived]).items():
            stalled[kind] += seconds
    first = findings[target.clocks[0].plan.name].log
    takeover = {kind: takeovers(target.faults, first, kind) for kind in ("kill-leader", "end-leader")}
    amid = {
        name: sum(amid_commits(target.faults, own.log, kind) for kind in GROUPS["broker"])
        for name, own in findings.items()
    }
    return Outcome(title, done, findings, dict(stalled), takeover, amid, list(target.ended))


def report(outcome: Outcome) -> str:
    """The outcome as text."""
    seen = outcome.round.goals.seen
    lines = ["", outcome.title, f"{'fault':24}{'count':>6}{'stall p50':>12}{'longest':>12}"]
    for kind, seconds in sorted(outcome.stalled.items()):
        lines.append(f"{kind:24}{seen[kind]:>6}{median(seconds):>10.1f} s{max(seconds):>10.1f} s")
    killed = sum(seen[kind] for kind in GROUPS["kill"])
    lines.append(f"{'total':24}{seen.total():>6}   ({killed} SIGKILLs of processes)")
    for kind, seconds in outcome.takeover.items():
        if seconds:
            text = f"from the last tick to the next: p50 {median(seconds):.1f} s, longest {max(seconds):.1f} s"
            lines.append(f"{kind}, {len(seconds)} times alone while the clock ran: {text}")
    for clock, findings in outcome.findings.items():
        lines += _clock(clock, findings, outcome.amid_commits[clock])
    for (name, code), count in sorted(Counter(outcome.ended).items()):
        lines.append(f"{name} ended by itself with {code}, {count} times")
    lines += outcome.round.stuck
    return "\n".join(lines)


def _clock(clock: str, findings: Findings, amid: int) -> list[str]:
    beats = sum(note.heartbeat for note in findings.notes)
    lines = [
        f"clock {clock}: {len(findings.log)} ticks in the log, {len(findings.streamed)} on the stream; "
        f"{len(findings.notes)} records noted, {beats} of them heartbeats",
        "  " + ", ".join(f"{word} {len(getattr(findings, word))}" for word in _WORDS),
    ]
    if amid:
        lines.append(f"  {amid} brokers killed within {AMID_MS / 1000:g} s after a commit of this clock")
    for word in _WORDS:
        lines += [f"  {word}: {text}" for text in getattr(findings, word)[:_SHOWN]]
    return lines
