"""The report of a round: faults by kind, what was lost, twice, early or backwards, how long clocks stalled, and when
logs were led again."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.system.evidence import read_snapshot_times
from tests.system.outages.rounds.checks import Findings, check_clock
from tests.system.outages.rounds.delays import AMID_MS, amid_commits, stalls, takeovers
from tests.system.outages.rounds.faults import GROUPS
from tests.system.outages.rounds.observed_clock import ObservedTopic
from tests.system.outages.rounds.runner import LIMIT_S, Round
from tests.system.outages.rounds.sink import SINK_COUNTS, SinkFindings, judge_sink, read_letters, read_topic
from tests.system.outages.rounds.supervised_installation import REPLICAS, SupervisedInstallation

ERRORS = ("lost", "twice", "early", "backwards")
TAKEOVER_KINDS = ("kill-leader", "end-leader")
_SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """The result of a round.

    A consumer or a Celery process may end by itself when its broker is gone; a replica may not.

    Attributes:
        topics: the names of the clocks of each topic.
        findings: by clock.
        stalled: for each fault and clock, the seconds without a tick, by kind.
        takeover: for each fault, the seconds until each log of its victim was led again, by kind.
        amid_commits: how many brokers were killed during a commit, by clock.
        sinks: the sinks of BufferedConsumers, by topic.
    """

    title: str
    round: Round
    topics: dict[str, list[str]]
    findings: dict[str, Findings]
    stalled: dict[str, list[float]]
    takeover: dict[str, list[dict[int, float]]]
    amid_commits: dict[str, int]
    ended: list[tuple[str, int]]
    sinks: dict[str, SinkFindings]

    def wrong(self) -> list[str]:
        """Everything that must not happen."""
        return [
            *(f"{clock}: {text}" for clock, findings in self.findings.items() for text in findings.wrong()),
            *(f"{topic}: {text}" for topic, sink in self.sinks.items() for text in sink.wrong()),
            *self.round.stuck,
            *(f"{kind}: {s:.1f} s without a tick" for kind, own in self.stalled.items() for s in own if s > LIMIT_S),
            *(f"{name} ended by itself with {code}" for name, code in self.ended if name in REPLICAS),
        ]

    def numbers(self) -> dict[str, Any]:
        """The outcome as JSON, for a sum over several rounds."""
        findings = self.findings.values()
        return {
            "title": self.title,
            "faults": dict(self.round.goals.seen),
            "clocks": len(self.findings),
            "ticks": sum(len(one.log) for one in findings),
            "streamed": sum(len(one.streamed) for one in findings),
            "records": sum(len(self.findings[clocks[0]].notes) for clocks in self.topics.values()),
            **{error: sum(len(getattr(one, error)) for one in findings) for error in ERRORS},
            "stuck": len(self.round.stuck),
            **{name: sum(sink.counts()[name] for sink in self.sinks.values()) for name in SINK_COUNTS},
            "amid_commits": sum(self.amid_commits.values()),
            "stalled": self.stalled,
            "takeover": {kind: [sorted(one.values()) for one in each] for kind, each in self.takeover.items()},
        }


def conclude(title: str, target: SupervisedInstallation, done: Round) -> Outcome:
    """Check all clocks, after the last fault."""
    bootstrap, tick_log = target.kafka.bootstrap, target.installation.tick_log
    buffered = [topic for topic in target.topics if topic.plan.buffered is not None]
    if buffered:
        target.end_writing()
    findings = {clock.name: check_clock(bootstrap, tick_log, clock) for clock in target.clocks}
    stalled: dict[str, list[float]] = defaultdict(list)
    for clock in target.clocks:
        for kind, seconds in stalls(target.faults, [at for _, at in clock.follower.arrived]).items():
            stalled[kind] += seconds
    snapshots = {log: read_snapshot_times(bootstrap, tick_log, log) for log in {clock.log for clock in target.clocks}}
    amid = {
        name: sum(amid_commits(target.faults, own.log, kind) for kind in GROUPS["broker"])
        for name, own in findings.items()
    }
    return Outcome(
        title=title,
        round=done,
        topics={topic.plan.name: [clock.name for clock in topic.clocks] for topic in target.topics},
        findings=findings,
        stalled=dict(stalled),
        takeover={kind: takeovers(target.faults, snapshots, kind) for kind in TAKEOVER_KINDS},
        amid_commits=amid,
        ended=list(target.ended),
        sinks={topic.plan.name: _judge_sink(bootstrap, topic, findings) for topic in buffered},
    )


def _judge_sink(bootstrap: str, topic: ObservedTopic, findings: Mapping[str, Findings]) -> SinkFindings:
    assert topic.commits is not None
    records, letters = read_topic(bootstrap, topic.name), read_letters(bootstrap, topic.name)
    notes, ticks = findings[topic.clocks[0].name].notes, findings[topic.clocks[0].name].log
    return judge_sink(records, notes, letters, ticks, topic.commits.looks)


def report(outcome: Outcome) -> str:
    """The outcome as text."""
    numbers = outcome.numbers()
    lines = ["", outcome.title, *describe(numbers)]
    for topic, clocks in outcome.topics.items():
        lines += _topic(topic, [outcome.findings[clock] for clock in clocks])
    for topic, sink in outcome.sinks.items():
        lines += sink.describe(topic)
    for clock, findings in outcome.findings.items():
        for error in ERRORS:
            lines += [f"  {clock}, {error}: {text}" for text in getattr(findings, error)[:_SHOWN]]
    for (name, code), count in sorted(Counter(outcome.ended).items()):
        lines.append(f"{name} ended by itself with {code}, {count} times")
    return "\n".join([*lines, *outcome.round.stuck])


def total(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of the numbers of several rounds."""
    found: dict[str, Any] = {"faults": Counter(), "stalled": defaultdict(list), "takeover": defaultdict(list)}
    for one in rounds:
        found["faults"].update(one["faults"])
        for name in ("stalled", "takeover"):
            for kind, values in one[name].items():
                found[name][kind] += values
    for name in ("ticks", "streamed", "records", "stuck", "amid_commits", *ERRORS, *SINK_COUNTS):
        found[name] = sum(one[name] for one in rounds)
    return {**found, "clocks": min((one["clocks"] for one in rounds), default=0)}


def describe(numbers: Mapping[str, Any]) -> Iterator[str]:
    """The numbers of a round, or of several, as lines."""
    seen = Counter(numbers["faults"])
    yield f"{'fault':24}{'count':>6}{'stall p50':>12}{'longest':>12}   over all clocks"
    for kind, seconds in sorted(numbers["stalled"].items()):
        yield f"{kind:24}{seen[kind]:>6}{median(seconds):>10.1f} s{max(seconds):>10.1f} s"
    yield f"{'total':24}{seen.total():>6}   ({sum(seen[kind] for kind in GROUPS['kill'])} SIGKILLs of processes)"
    for kind, faults in numbers["takeover"].items():
        logs = [seconds for fault in faults for seconds in fault]
        if logs:
            yield f"{kind}: {_spread('a log led again', logs)}"
            yield f"{kind}: {_spread('all logs of the replica', [max(fault) for fault in faults if fault])}"
    if numbers["amid_commits"]:
        yield f"{numbers['amid_commits']} times a broker was killed within {AMID_MS / 1000:g} s after a clock's commit"
    yield (
        f"{numbers['clocks']} clocks: {numbers['ticks']} ticks in the log, {numbers['streamed']} on streams, "
        f"{numbers['records']} records noted"
    )
    yield ", ".join(f"{error} {numbers[error]}" for error in ERRORS) + f", stuck {numbers['stuck']}"
    if numbers["in_topics"]:
        yield "sinks: " + ", ".join(f"{name.replace('_', ' ')} {numbers[name]}" for name in SINK_COUNTS)


def _spread(what: str, seconds: Sequence[float]) -> str:
    return f"{what}, {len(seconds)} times: p50 {median(seconds):.1f} s, longest {max(seconds):.1f} s"


def _topic(topic: str, findings: Sequence[Findings]) -> list[str]:
    ticks, notes = [len(one.log) for one in findings], findings[0].notes
    return [
        f"topic {topic}, {len(findings)} clocks: {min(ticks)} to {max(ticks)} ticks each; {len(notes)} records noted, "
        f"{sum(note.heartbeat for note in notes)} of them heartbeats"
    ]
