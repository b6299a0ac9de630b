"""Clients of the HTTP routes: their commands run in the thread of the partition's owner."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from clocksvc.errors import Fenced, NotOwner, OutcomeUnknown, PreconditionFailed, Unavailable, UnknownSchedule
from clocksvc.interfaces.schedule_topics import partition_of
from clocksvc.scheduler import commands
from clocksvc.scheduler.commands import ALWAYS, Precondition
from clocksvc.scheduler.owned import OwnedPartition
from clocksvc.schedules.schedule import parse_schedule
from tests.scheduler_simulation.judge.command_judge import CommandJudge
from tests.scheduler_simulation.world.environment import Environment
from tests.scheduler_simulation.world.replicas import Replica
from tests.scheduler_simulation.world.schedules import random_fields

TIMEOUT_S = 15.0


class HttpClient:
    """Reads, writes and deletes a few schedules, often with conditions.

    Several clients share the keys, so they can overwrite each other's writes.
    """

    def __init__(
        self, environment: Environment, replicas: Mapping[str, Replica], judge: CommandJudge, name: str
    ) -> None:
        self._environment, self._replicas, self._judge = environment, replicas, judge
        self._scheduler = environment.scheduler
        self.name = name
        self._known: dict[str, tuple[str | None, int | None]] = {}
        self._pause_s = self._scheduler.rng.choice((0.3, 1.0, 3.0)) * max(1, environment.clock.interval_ms // 5_000)

    def run(self) -> None:
        """Send requests for ever."""
        rng = self._scheduler.rng
        while True:
            self._scheduler.wait(rng.random() * 2 * self._pause_s)
            schedule_id = f"h-{rng.randrange(5)}"
            number = partition_of(schedule_id.encode(), self._environment.spec.partitions)
            owners = [one for one in self._replicas.values() if one.owns(number)]
            if not owners:
                self._judge.counts["no owner"] += 1
                continue
            action = rng.random()
            owner = rng.choice(owners)
            if action < 0.3:
                self._get(owner, schedule_id, number)
            elif action < 0.8:
                self._put(owner, schedule_id, number)
            else:
                self._delete(owner, schedule_id, number)

    def _get(self, owner: Replica, schedule_id: str, number: int) -> None:
        since = self._moment()
        future = self._call(owner, number, lambda owned: commands.get(owned, schedule_id))
        if future is None:
            return
        try:
            found = future.result(0)
        except UnknownSchedule:
            self._known[schedule_id] = None, None
            self._judge.found(schedule_id.encode(), None, since, self._moment())
        except (NotOwner, Unavailable) as error:
            self._judge.counts[type(error).__name__] += 1
        else:
            payload = json.loads(found.json)["payload"]["n"]
            self._known[schedule_id] = found.etag, payload
            self._judge.found(schedule_id.encode(), payload, since, self._moment())

    def _put(self, owner: Replica, schedule_id: str, number: int) -> None:
        environment, scheduler = self._environment, self._scheduler
        environment.numbers += 1
        unique = environment.numbers
        clock = environment.clock
        fields = random_fields(scheduler.rng, clock.interval_ms, clock.newest_ms or clock.next_ms, unique)
        schedule = parse_schedule(fields, clock.interval_ms, scheduler.now_ms)
        precondition, instead_of, conditional = self._condition(schedule_id)
        scheduler.say(f"{self.name} puts {schedule_id} with number {unique} {fields}, {precondition}")
        future = self._call(owner, number, lambda owned: commands.put(owned, schedule_id, schedule, precondition))
        if future is None:
            return
        try:
            written = future.result(0)
        except (NotOwner, PreconditionFailed, Fenced, Unavailable) as error:
            self._judge.counts[type(error).__name__] += 1
            self._known.pop(schedule_id, None)
            self._judge.refused(unique)
        except OutcomeUnknown:
            self._judge.counts["outcome unknown"] += 1
            self._known.pop(schedule_id, None)
        else:
            self._known[schedule_id] = written.etag, unique
            self._judge.written(schedule_id.encode(), written.offset, unique, instead_of, conditional=conditional)

    def _delete(self, owner: Replica, schedule_id: str, number: int) -> None:
        precondition, instead_of, conditional = self._condition(schedule_id, deletes=True)
        future = self._call(owner, number, lambda owned: commands.delete(owned, schedule_id, precondition))
        if future is None:
            return
        self._known.pop(schedule_id, None)
        try:
            offset = future.result(0)
        except (NotOwner, PreconditionFailed, UnknownSchedule, Fenced, Unavailable) as error:
            self._judge.counts[type(error).__name__] += 1
        except OutcomeUnknown:
            self._judge.counts["outcome unknown"] += 1
        else:
            self._judge.written(schedule_id.encode(), offset, None, instead_of, conditional=conditional)

    def _condition(self, schedule_id: str, *, deletes: bool = False) -> tuple[Precondition, int | None, bool]:
        """Return a precondition by what this client knows, the number that it means, and whether there is one."""
        if schedule_id not in self._known or self._scheduler.rng.random() < 0.3:
            return ALWAYS, None, False
        etag, number = self._known[schedule_id]
        if etag is None:
            return (ALWAYS, None, False) if deletes else (Precondition(absent=True), None, True)
        return Precondition(etags=frozenset([etag])), number, True

    def _call(self, owner: Replica, number: int, command: Callable[[OwnedPartition], Any]) -> "Future[Any] | None":
        """Run a command. None without an answer: the owner died, or it takes too long."""
        partition = owner.partitions.get(number)
        if partition is None:
            return None
        future = partition.call(command)
        self._scheduler.wait(TIMEOUT_S, lambda: future.done() or owner.name not in self._replicas)
        # The answer comes a while after the end of the command.
        self._scheduler.between(f"{self.name}: answer")
        if future.done():
            return future
        self._known.clear()
        self._judge.counts["no answer"] += 1
        return None

    def _moment(self) -> int:
        self._environment.observe()
        return self._scheduler.moment()
