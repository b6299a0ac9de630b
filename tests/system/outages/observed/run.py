"""A run: first without faults, then with faults one after the other; at the end, everything is judged."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle

import redis

from tests.process import children
from tests.system.evidence import broken_links
from tests.system.installation import wall_ms
from tests.system.outages.observed.judge import NEVER_MS, Passed, Place, describe, early
from tests.system.outages.observed.setup import (
    CREATE_TIME,
    DRAIN_DELAY_S,
    OUT_OF_ORDERNESS_MS,
    PLAIN,
    POLL_S,
    Setup,
)
from tests.waiting import eventually

COMMIT_S = 1.0
"""The longest time between two commits of the groups while nothing is wrong, on a busy machine."""
RECOVERY_S = 90.0
CALM_S = 5.0


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        calm_ms: the begin and the end of the time without faults.
        faults: how many of each kind.
        recovered_s: how long clocks took until they were at the present time again, by kind.
    """

    calm_ms: tuple[int, int] = (0, 0)
    faults: Counter[str] = field(default_factory=Counter)
    recovered_s: dict[str, list[float]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Faults:
    """Everything that is done to an installation. Each method returns when what was ended runs again."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._installation = setup, setup.installation

    def kill_consumer(self) -> None:
        """SIGKILL of a member of the plain group; another one starts after its session."""
        self._installation.kill("plain-0")
        self._setup.start_consumer("plain-0", PLAIN)

    def rebalance(self) -> None:
        """A third member joins, and leaves again."""
        self._setup.start_consumer("plain-2", PLAIN)
        time.sleep(CALM_S)
        self._installation.end("plain-2")

    def kill_java(self) -> None:
        """SIGKILL of the member of the Java group."""
        self._setup.java.pop("java-0").kill()
        self._setup.start_java("java-0")

    def rebalance_java(self) -> None:
        """A second member of the Java group joins, and leaves again."""
        self._setup.start_java("java-1")
        time.sleep(CALM_S)
        self._setup.java.pop("java-1").end()

    def kill_broker(self) -> None:
        """SIGKILL of Kafka, and a restart on its data."""
        self._setup.kafka.kill()
        self._setup.kafka.start()
        self._setup.kafka.wait_ready()

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self._setup.valkey.url) as client:
            client.flushall()

    def kill_leader(self) -> None:
        """SIGKILL of the replica that leads the plain clock."""
        leader = self._setup.clocks[PLAIN].until_led()
        self._installation.kill(leader)
        self._installation.start_replica(leader)

    def end_leader(self) -> None:
        """SIGTERM of this replica, as in a rolling change."""
        leader = self._setup.clocks[PLAIN].until_led()
        self._installation.end(leader)
        self._installation.start_replica(leader)

    def kill_observers(self) -> None:
        """SIGKILL of the processes that observe."""
        for replica in self._setup.installation.urls:
            for child in children(self._installation.processes[replica].pid):
                os.kill(child, signal.SIGKILL)

    def flush_and_kill_observers(self) -> None:
        """Both at the same time."""
        self.flush()
        self.kill_observers()

    def all(self) -> list[Callable[[], None]]:
        """Every kind, in an order in which neighbours differ."""
        return [
            self.kill_consumer,
            self.flush,
            self.kill_java,
            self.kill_leader,
            self.rebalance,
            self.kill_observers,
            self.kill_broker,
            self.rebalance_java,
            self.flush_and_kill_observers,
            self.end_leader,
        ]


def run(setup: Setup, calm_s: float, faults_s: float, progress: Callable[[str], None]) -> Outcome:
    """Run, and judge."""
    outcome = Outcome()
    _until_present(setup)
    begun_ms = wall_ms()
    time.sleep(calm_s)
    outcome.calm_ms = begun_ms, wall_ms()
    progress(f"{calm_s:.0f} s without faults are over")
    until_ms = wall_ms() + faults_s * 1000
    for fault in cycle(Faults(setup).all()):
        if wall_ms() >= until_ms:
            break
        fault()
        name, ended = fault.__name__, time.monotonic()
        _until_present(setup)
        outcome.faults[name] += 1
        outcome.recovered_s.setdefault(name, []).append(time.monotonic() - ended)
        progress(f"{name}: at the present time after {outcome.recovered_s[name][-1]:.1f} s")
        time.sleep(CALM_S)
    for producer in setup.producers:
        producer.close()
    _judge(setup, outcome)
    return outcome


def _until_present(setup: Setup) -> None:
    """Wait until all clocks have reached the present time."""
    now_s = wall_ms() // 1000
    clocks = [*setup.clocks.values(), *setup.twins.values()]

    def reached() -> bool:
        states = {state["clock"]: state["timestamp_seconds"] or 0 for state in setup.installation.states()}
        return all(states[clock.name] >= now_s for clock in clocks)

    eventually(reached, within=RECOVERY_S, what=f"all clocks to reach {now_s}")


def _judge(setup: Setup, outcome: Outcome) -> None:
    begin_ms, end_ms = outcome.calm_ms
    for name, clock in setup.clocks.items():
        timestamps = setup.timestamps(name)
        handled, ticks = _until_handled(setup, name, timestamps), setup.ticks(clock)
        outcome.wrong += [f"{name}: {text}" for text in broken_links(ticks, 1_000)]
        outcome.wrong += [f"{name}: {text}" for text in early(ticks, timestamps, handled)]
        late_ms = OUT_OF_ORDERNESS_MS if name == CREATE_TIME else 0
        passed = Passed(timestamps, handled, clock.partitions, late_ms, DRAIN_DELAY_S * 1000)
        calm = {tick.at_ms: tick.appended_ms for tick in ticks if begin_ms <= tick.at_ms and tick.appended_ms <= end_ms}
        times = passed.times(list(calm))
        delays = [appended_ms - times[at_ms] for at_ms, appended_ms in calm.items() if times[at_ms] < NEVER_MS]
        bound_ms = round((COMMIT_S + POLL_S + 2) * 1000)
        outcome.wrong += [f"{name}: a tick was {delay} ms late" for delay in delays if delay > bound_ms]
        outcome.lines.append(
            f"{name}: {len(ticks)} ticks, {len(timestamps):,} records in {clock.partitions} partitions; "
            f"{len(delays)} ticks without faults came after the group had passed them: {describe(delays)}"
        )
    for name, twin in setup.twins.items():
        _compare(name, setup, twin.name, outcome)
    for name, times_s in sorted(outcome.recovered_s.items()):
        outcome.lines.append(f"{name}: {outcome.faults[name]} times, present again after at most {max(times_s):.1f} s")


def _until_handled(setup: Setup, name: str, timestamps: Mapping[Place, int]) -> dict[Place, int]:
    """Wait until the group of a clock has handled all records."""
    what = f"the group of {name} to handle everything"
    eventually(lambda: setup.handled(name).keys() >= timestamps.keys(), within=RECOVERY_S, what=what)
    return setup.handled(name)


def _compare(name: str, setup: Setup, twin: str, outcome: Outcome) -> None:
    """The observed clock beside a clock with Reporters of the same group, without faults."""
    begin_ms, end_ms = outcome.calm_ms
    own = {tick.at_ms: tick.appended_ms for tick in setup.ticks(setup.clocks[name])}
    other = {tick.at_ms: tick.appended_ms for tick in setup.ticks(setup.twins[name])}
    behind = [
        appended_ms - other[at_ms]
        for at_ms, appended_ms in own.items()
        if begin_ms <= at_ms and appended_ms <= end_ms and at_ms in other
    ]
    bound_ms = round((COMMIT_S + POLL_S) * 1000)
    outcome.wrong += [f"{name}: ahead of {twin} by {-each} ms" for each in behind if each < 0]
    outcome.wrong += [f"{name}: behind {twin} by {each} ms" for each in behind if each > bound_ms]
    outcome.lines.append(f"{name} beside {twin}: {len(behind)} boundaries, behind by {describe(behind)}")
