"""One seed: a storm of faults between any two steps, a calm in which the clock must live, something that lasts and must
be named, and a calm again."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from clocksvc.clock.request import RequestKind
from clocksvc.errors import ClocksvcError
from clocksvc.memory.tick_log import CommitFault
from tests.simulation.actors import Processes
from tests.simulation.faults.of_processes import crash_leader
from tests.simulation.faults.stage import Stage
from tests.simulation.faults.table import choose
from tests.simulation.hub import Hub
from tests.simulation.oracle import Oracle
from tests.simulation.vigils.expected import Expected, start_replicas
from tests.simulation.vigils.table import VIGILS
from tests.simulation.violation import Violation
from tests.simulation.world import HOLD_AFTER_MS, World

STEPS = 520
"""At least so many of a seed's steps are in the storm."""
FAULTS = 5
CALM_MS = 60_000
LOOK_EVERY_MS = 150
VERDICT_MS = 40_000
"""Longer than a leader's word lasts in the store when it is not repeated."""
LASTS_MS = HOLD_AFTER_MS + 15_000
GOES_ON_MS = 20_000
COMES_BACK_MS = 20_000


@dataclass
class Result:
    """What one seed did."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    holds: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def ticks(self) -> int:
        return self.counts["ticks"]

    @property
    def takeovers(self) -> int:
        return self.counts["takeovers"]


class Failure(AssertionError):
    """A seed broke a promise; the message says how to replay it."""


class Simulation:
    """One world from one seed."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.hub = Hub(random.Random(seed), traced=traced)
        self.world = World(self.hub)
        self.oracle = Oracle(self.world)
        self.processes = Processes(self.hub, self.world, self.oracle)
        self.stage = Stage(self.hub, self.world, self.oracle, self.processes)
        self.result = Result(seed)
        self._phase = "beginning"
        rng = self.hub.rng
        for _ in range(rng.choice((2, 2, 3))):
            self.processes.start_replica(skew_ms=rng.choice((0, 0, -300, 300)))
        for _ in range(rng.choice((1, 2, 2))):
            self.processes.start_consumer(rng.choice((0, 0, -1_000, 1_000)))
        for _ in range(2):
            self.processes.start_subscriber()
        self.processes.start_producer()
        self.processes.start_heartbeats()

    def run(self) -> Result:
        """Storm, calm, a vigil in most worlds, calm. Raises Failure."""
        try:
            self._storm()
            self._calm()
            if self.hub.rng.random() < 0.6:
                self._vigil()
                self._calm()
            self._check_size()
        except (Violation, ClocksvcError) as error:
            raise Failure(self._words(f"{error}")) from error
        except Exception as error:
            raise Failure(self._words(f"broken: {type(error).__name__}: {error}")) from error
        finally:
            self._count()
            self.hub.end()
        return self.result

    # -- the storm ---------------------------------------------------------------------------------------------------

    def _storm(self) -> None:
        self._phase = "storm"
        rng = self.hub.rng
        due = self._plan()
        for step in range(STEPS):
            for _ in range(due.get(step, 0)):
                self._fault()
            if rng.random() < 0.006:
                self.world.take_snapshot()
            self._step()

    def _plan(self) -> dict[int, int]:
        """At which steps how many faults come: a few bursts, close together inside."""
        rng, due, planned = self.hub.rng, Counter[int](), 0
        for _ in range(rng.randrange(3, 8)):
            step = rng.randrange(40, STEPS - 60)
            for _ in range(rng.randrange(1, 5)):
                due[step] += 1
                planned += 1
                step += rng.choice((0, 1, 3, 10, 25))
        while planned < FAULTS:
            due[rng.randrange(40, STEPS)] += 1
            planned += 1
        return dict(due)

    def _fault(self) -> None:
        fault = choose(self.hub.rng)
        self.result.faults[fault.__name__] += 1
        self.hub.say(f"fault: {fault.__name__}")
        fault(self.stage)
        self.oracle.check()
        self.processes.viewer.quiet_since_ms = self.hub.now_ms

    def _step(self) -> None:
        self.hub.run_one()
        self.oracle.check()

    # -- calm --------------------------------------------------------------------------------------------------------

    def _calm(self) -> None:
        """All is healed, people do what they must: up to now within a minute."""
        self._phase = "calm"
        self._heal()
        began_ms, ticks, asked_ms, looked_ms = self.hub.now_ms, len(self.oracle.ticks), 0, 0
        while self.hub.now_ms - began_ms < CALM_MS:
            self._step()
            if self.hub.now_ms - asked_ms > 2_000:
                began_ms += self._outlive_lies()
                asked_ms = self.hub.now_ms
                self._do_what_people_do()
                began_ms += self.hub.now_ms - asked_ms
            if self.hub.now_ms - looked_ms < LOOK_EVERY_MS:
                continue
            looked_ms = self.hub.now_ms
            if not self._missing(began_ms):
                if self.processes.takeovers:
                    self.oracle.judge_history(min(self.world.recent_ms, self.world.spec.recent_ticks_ms) - 1_000)
                    return
                crash_leader(self.stage)
                began_ms = self.hub.now_ms
        raise Violation(
            f"dead: {CALM_MS} ms of calm, and {'; '.join(self._missing(began_ms))} (ticks: {ticks} before, "
            f"{len(self.oracle.ticks)} now; hold: {self.processes.viewer.hold})"
        )

    def _missing(self, began_ms: int) -> list[str]:
        """What is not yet as it should be, in words."""
        world, viewer, now_ms = self.world, self.processes.viewer, self.hub.now_ms
        late_ms = (world.out_of_orderness_ms or 0) + 2 * world.spec.interval_ms + 2_500
        last = self.oracle.ticks[-1] if self.oracle.ticks else 0
        if last < now_ms - late_ms:
            return [f"the clock stands at {last}, now is {now_ms}"]
        if last < now_ms and self.oracle.committed_at_ms <= began_ms:
            return ["no tick came"]
        low, found = min(last, now_ms - late_ms - 2_000), []
        shown = {name: feed.last for name, feed in self.processes.feeds.items()}
        found += [f"{name} shows {tick}" for name, tick in shown.items() if tick is None or tick.at_ms < low]
        behind = [each for each in self.processes.subscribers if (each.cursor_ms or 0) < low]
        found += [f"{each.name} has got no more than {each.cursor_ms}" for each in behind]
        stream = world.store._state.ticks
        if not stream or stream[-1].at_ms < low:
            found.append(f"the store's stream ends with {stream[-1:]}")
        if viewer.hold is not None or viewer.looked_at_ms < began_ms:
            found.append(f"stale: the state still names the hold {viewer.hold}")
        return found

    def _do_what_people_do(self) -> None:
        """A pause has its end, and where a tick log has lost ticks, somebody says from where on the clock goes on."""
        standing, hold = self.oracle.standing, self.processes.viewer.hold
        if self.hub.alive("asking"):
            return
        if standing.paused or hold == "paused":
            self.processes.ask(RequestKind.RESUME)
        for partition in self.world.partitions():
            if partition in standing.excluded and len(standing.excluded) >= len(self.world.partitions()):
                self.processes.ask(RequestKind.INCLUDE, partition)
        if hold == "ticklog_truncated" and not self.hub.alive("init"):
            self._run_init()

    def _run_init(self) -> None:
        """With the last tick that anybody knows, or later; sometimes with a mistake, or with a commit that fails."""
        rng, world, interval_ms = self.hub.rng, self.world, self.world.spec.interval_ms
        shown = [feed.last.at_ms for feed in self.processes.feeds.values() if feed.last is not None]
        known = [*shown, *(tick.at_ms for tick in world.store._state.ticks[-1:]), self.oracle.last or 0]
        last_ms = -(-max(known) // interval_ms) * interval_ms + rng.choice((0, 0, 5 * interval_ms))
        self._jump_to(last_ms)
        if rng.random() < 0.2:
            world.log.commit_faults += rng.choices(tuple(CommitFault), k=rng.choice((1, 1, 1, 6)))
        self.processes.init(last_ms - 20_000 if rng.random() < 0.2 else last_ms)

    def _heal(self) -> None:
        hub, world, processes = self.hub, self.world, self.processes
        hub.calm = True
        hub.ambushes.clear()
        hub.kill("later")
        for name in (*hub.alive("asking"), "network"):
            hub.kill(name)
        world.store._state.requests.clear()
        for task in hub.tasks:
            task.stopped_until_ms = 0
        world.store.broken = world.log.unavailable = world.topics.unavailable = False
        world.log.commit_faults.clear()
        world.log.end_foreign(committed=False)
        for name in world.topic_names:
            world.topics.hide(name, None)
        world.muted = set(world.partitions()) if hub.rng.random() < 0.25 else set()
        world.cut.clear()
        world.time.skew(max(world.time.now_ms() - hub.now_ms, -500))
        world.snapshot_before_publish = world.snapshot_before_roster = False
        processes.beat_link.heal()
        processes.beat_time.skew(0)
        self._heal_processes()
        self._outlive_lies()
        processes.viewer.quiet_since_ms = hub.now_ms

    def _outlive_lies(self) -> int:
        """A number ahead of its time that was taken for true is nothing to wait for: how much time this takes away."""
        state = self.world.store._state
        stands_ms = max((known_ms or 0 for known_ms in (*state.clocks.values(), *state.anew.values())), default=0)
        return self._jump_to(stands_ms)

    def _jump_to(self, at_ms: int) -> int:
        """Nobody runs until then, and nobody could have looked: how much time this takes away."""
        taken_ms = max(0, at_ms - self.hub.now_ms)
        if taken_ms:
            self.hub.now_ms = at_ms
            self.processes.viewer.quiet_since_ms = at_ms
        return taken_ms

    def _heal_processes(self) -> None:
        processes = self.processes
        for consumer in processes.consumers.values():
            consumer.link.heal()
            consumer.time.skew(0)
            consumer.postman.next.clear()
        for name in self.hub.alive("canary"):
            self.hub.kill(name)
        processes.rebalance()
        for name, replica in sorted(processes.replicas.items()):
            replica.link.heal()
            replica.time.skew(0)
            if replica.leaving or replica.spec != self.world.spec:
                processes.kill_replica(name)
        names = sorted(processes.replicas)
        if len(names) > 1 and self.hub.rng.random() < 0.3:
            spared = self.hub.rng.choice(names)  # nobody else can heal what one replica can't
            for name in names:
                if name != spared:
                    processes.kill_replica(name)
        if not processes.replicas:
            start_replicas(self.stage)

    # -- what lasts --------------------------------------------------------------------------------------------------

    def _vigil(self) -> None:
        vigil = self.hub.rng.choice(VIGILS)
        self._phase = f"vigil: {vigil.__name__}"
        self.hub.say(self._phase)
        self.world.muted.clear()
        self.world.log.commit_faults.clear()
        if self._outlive_lies():
            self._calm()
        if len(self.processes.replicas) < 2:
            self.processes.start_replica()
        self.result.faults[vigil.__name__] += 1
        expected = vigil(self.stage)
        self.processes.viewer.quiet_since_ms = self.hub.now_ms
        if expected.missing is not None:
            self._watch_it_come_back(expected, expected.missing)
        elif expected.reasons:
            self._watch_it_hold(expected)
        else:
            self._watch_it_go_on()
        expected.end()

    def _watch_it_hold(self, expected: Expected) -> None:
        """Named in time, and still named a while later, with no tick in between; one that flickers, at least once."""
        began_ms, right_since_ms, viewer = self.hub.now_ms, None, self.processes.viewer
        for_long = self.hub.rng.random() < 0.07 and not expected.flickers
        long_ms = VERDICT_MS if for_long else 0 if expected.flickers else 2_500
        while right_since_ms is None or self.hub.now_ms - right_since_ms < long_ms:
            self._step()
            if not self._is_right(expected):
                right_since_ms = None
            elif right_since_ms is None or self.oracle.committed_at_ms > right_since_ms:
                right_since_ms = self.hub.now_ms
            if self.hub.now_ms - began_ms > LASTS_MS + long_ms:
                raise Violation(
                    f"{expected.word}: after {self.hub.now_ms - began_ms} ms ({self._phase}) the state names the hold "
                    f"{viewer.hold} of {sorted(viewer.partitions)}, wanted {' or '.join(sorted(expected.reasons))} of "
                    f"{'any' if expected.partitions is None else sorted(expected.partitions)}; the last tick came "
                    f"{self.hub.now_ms - self.oracle.committed_at_ms} ms ago"
                )

    def _watch_it_come_back(self, expected: Expected, missing: Callable[[], str]) -> None:
        until_ms = self.hub.now_ms + COMES_BACK_MS
        while missing():
            self._step()
            if self.hub.now_ms > until_ms:
                raise Violation(f"{expected.word}: {COMES_BACK_MS} ms into {self._phase} {missing()}")

    def _is_right(self, expected: Expected) -> bool:
        viewer = self.processes.viewer
        named = expected.partitions is None or viewer.partitions == expected.partitions
        return viewer.hold in expected.reasons and named

    def _watch_it_go_on(self) -> None:
        until_ms = self.hub.now_ms + GOES_ON_MS
        while self.hub.now_ms < until_ms:
            self._step()
        quiet_ms = self.hub.now_ms - self.oracle.committed_at_ms
        if quiet_ms > 2 * self.world.spec.interval_ms + 2_500:
            raise Violation(f"dead: no tick for {quiet_ms} ms, {GOES_ON_MS} ms into {self._phase}")

    # -- the end -----------------------------------------------------------------------------------------------------

    def _check_size(self) -> None:
        faults, takeovers = sum(self.result.faults.values()), self.processes.takeovers
        if self.hub.steps < STEPS or faults < FAULTS or not takeovers:
            raise Violation(f"thin: {self.hub.steps} steps, {faults} faults, {takeovers} takeovers")

    def _count(self) -> None:
        processes, counts = self.processes, self.result.counts
        counts.update(
            steps=self.hub.steps,
            ticks=sum(len(shown) for shown in self.oracle.given.values()),
            takeovers=processes.takeovers,
            records=self.world.records,
            heartbeats=processes.heartbeats,
            inits=self.oracle.inits,
            repeated=self.oracle.repeated,
            requests=len(self.oracle.standing.granted),
        )
        for subscriber in processes.subscribers:
            counts.update({f"subscribers' {name}": count for name, count in subscriber.counts.items()})
        self.result.holds.update(processes.viewer.holds)
        self.result.told.update(processes.told)

    def _words(self, what: str) -> str:
        seed = self.result.seed
        return (
            f"{what}\nseed {seed}, step {self.hub.steps}, {self._phase}; faults: {dict(self.result.faults)}\n"
            f"last steps:\n{self.hub.story(40)}\nreplay: python -m tests.simulation --seed {seed} --trace"
        )
