"""The calm after a storm: all faults are healed, and everything due must be sent in time."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from clocksvc.scheduler.owned import MissedPage, OwnedPartition
from tests.scheduler_simulation.faults import World
from tests.scheduler_simulation.judge.violation import Violation
from tests.scheduler_simulation.world.replicas import Replica

CALM_MS = 45_000
"""Everything due is sent within this time after the end of all faults, and after the death of an owner."""
ANSWER_MS = 20_000
ROLLING_MS = 60_000
MOST_DELAY_MS = 2_000
"""How late due records may be in a rolling restart."""

T = TypeVar("T")


def _read_all(owned: OwnedPartition) -> list[tuple[bytes, bytes]]:
    owned.read_to_end()
    return owned.scan(b"", None, 10_000)


def _missed(owned: OwnedPartition, before: int | None) -> MissedPage:
    return owned.missed(before, 10)


class Calm:
    """Heals everything, and checks that the replicas go on.

    Attributes:
        longest_delay_ms: of due records in a rolling restart.
    """

    def __init__(self, world: World, step: Callable[[], None]) -> None:
        self._world, self._step = world, step
        self._scheduler, self._environment = world.scheduler, world.environment
        self.longest_delay_ms = 0

    def run(self) -> None:
        """Raises Violation."""
        self._heal()
        self._wait_for_progress("after the storm")
        victim = next((one for one in self._world.replicas.values() if self._owned(one)), None)
        if victim is not None:
            self._world.kill(victim.name)
            self._start_unless_alive()
        self._wait_for_progress("after the death of an owner")
        self._check_contents()
        if self._environment.clock.interval_ms <= 2_000 and self._scheduler.rng.random() < 0.3:
            self._restart_all()

    def _heal(self) -> None:
        environment, world, scheduler = self._environment, self._world, self._scheduler
        scheduler.calm = True
        scheduler.traps.clear()
        for task in scheduler.tasks:
            task.stopped_until_ms = 0
        environment.store_broken = False
        environment.paused_until_ms = 0
        for log in environment.logs:
            log.unavailable = False
            log.commit_faults.clear()
            log.torn.clear()
            log.stale_ends.clear()
        for writer in environment.writers:
            writer.commit_faults.clear()
            writer.torn = 0
        if scheduler.rng.random() < 0.5:
            for client in scheduler.alive("http"):
                scheduler.kill(client)
        world.collect()
        for replica in world.replicas.values():
            replica.link.heal()
        self._start_unless_alive()

    def _start_unless_alive(self) -> None:
        if all(one.leaving for one in self._world.replicas.values()):
            self._world.start_replica()

    def _owned(self, replica: Replica) -> list[int]:
        return [log.number for log in self._environment.logs if replica.owns(log.number)]

    def _wait_for_progress(self, when: str) -> None:
        """All partitions reach the newest tick, and then one more."""
        environment, scheduler = self._environment, self._scheduler
        for _ in range(2):
            if environment.clock.lag_ms < 0:
                scheduler.now_ms += -environment.clock.lag_ms
            environment.tick(20)
            target_ms, limit_ms = environment.clock.newest_ms, scheduler.now_ms + CALM_MS
            while behind := environment.judge.behind(target_ms):
                self._step()
                if scheduler.now_ms > limit_ms:
                    raise Violation(f"dead: {CALM_MS} ms {when}, {'; '.join(behind)}; {self._states()}")
        self._world.collect()

    def _states(self) -> str:
        return "; ".join(
            f"{name}: {[(number, one.state.value, one.stats.problem) for number, one in replica.partitions.items()]}"
            for name, replica in self._world.replicas.items()
        )

    # -- contents -----------------------------------------------------------------------------------------------------

    def _check_contents(self) -> None:
        """Each owner has exactly the schedules of the topic, and finds all missed runs."""
        environment = self._environment
        for log in environment.logs:
            environment.observe()
            since = self._scheduler.moment()
            present = dict(self._ask(log.number, _read_all))
            environment.observe()
            keys = {*present, *environment.judge.keys(log.number)}
            wrong = [key for key in keys if present.get(key) not in environment.judge.present(log.number, key, since)]
            if wrong:
                raise Violation(f"contents: partition {log.number} differs in {sorted(wrong)}")
            self._check_missed(log.number)

    def _check_missed(self, number: int) -> None:
        wanted = [
            one
            for one in self._environment.judge.missed(number)
            if one[0] >= self._environment.logs[number].first_offset
        ]
        found: list[tuple[int, bytes, int, int, str]] = []
        before: int | None = None
        for _ in range(1_000):
            page = self._ask(number, partial(_missed, before=before))
            found += [
                (run.offset, run.missed.key, run.missed.first_ms, run.missed.last_ms, run.missed.reason.value)
                for run in page.runs
            ]
            before = page.next
            if before is None:
                break
        later = self._environment.judge.missed(number)
        found.reverse()
        if found[: len(wanted)] != wanted or any(one not in later for one in found):
            raise Violation(f"missed: partition {number} has {len(wanted)} missed runs, the owner finds {len(found)}")

    def _ask(self, number: int, function: Callable[[OwnedPartition], T]) -> T:
        """Run a function in the thread of a partition's owner."""
        limit_ms = self._scheduler.now_ms + ANSWER_MS
        while self._scheduler.now_ms < limit_ms:
            owner = next((one for one in self._world.replicas.values() if one.owns(number)), None)
            if owner is None:
                self._step()
                continue
            future = owner.partitions[number].call(function)
            while not future.done() and self._scheduler.now_ms < limit_ms:
                self._step()
            if future.done() and future.exception() is None:
                return future.result()
        raise Violation(f"dead: partition {number} answered nothing for {ANSWER_MS} ms; {self._states()}")

    # -- rolling restart ----------------------------------------------------------------------------------------------

    def _restart_all(self) -> None:
        """A rolling restart: each replica leaves once its successor is ready. Due records are hardly late."""
        environment, scheduler, world = self._environment, self._scheduler, self._world
        while environment.judge.behind(environment.clock.newest_ms):
            self._step()
        environment.judge.longest_delay_ms = 0
        for old in list(world.replicas.values()):
            new = world.start_replica()
            limit_ms = scheduler.now_ms + ROLLING_MS
            while not new.product.settled or scheduler.runs(old.name):
                if new.product.settled and not old.leaving:
                    old.leave()
                self._step()
                if scheduler.now_ms > limit_ms:
                    raise Violation(f"dead: {old.name} has not left after {ROLLING_MS} ms; {self._states()}")
            world.collect()
        for _ in range(300):
            self._step()
        delay_ms = environment.judge.longest_delay_ms
        environment.judge.counts["rolling restarts"] += 1
        self.longest_delay_ms = delay_ms
        if delay_ms > MOST_DELAY_MS:
            raise Violation(f"late: due records were {delay_ms} ms late in a rolling restart")
