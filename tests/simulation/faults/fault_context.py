"""What faults act on, and what several of them need."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from tests.faulty.tick_log import FaultyLog
from tests.simulation.judge.judge import Judge
from tests.simulation.world.environment import Environment
from tests.simulation.world.intercepted import Link
from tests.simulation.world.processes import Processes
from tests.simulation.world.scheduler import Scheduler

PAUSES_S = (0.5, 2.0, 4.0, 8.0, 14.0)
WHILES_S = (0.2, 1.0, 3.0, 8.0)


@dataclass
class FaultContext:
    """What faults act on."""

    scheduler: Scheduler
    environment: Environment
    judge: Judge
    processes: Processes

    @property
    def rng(self) -> random.Random:
        return self.scheduler.rng

    def some(self, of: Any) -> Any:
        """One of them; None if there are none."""
        among = sorted(of)
        return self.rng.choice(among) if among else None

    def clock(self) -> str:
        """One of the clocks."""
        name: str = self.some(self.environment.clocks)
        return name

    def log(self) -> int:
        """The number of one of the logs; logs with more clocks come more often."""
        return log_of(self.clock())

    def faulty_log(self) -> FaultyLog:
        """One of the logs."""
        return self.environment.logs[self.log()]

    def leading(self, log: int | None = None) -> str | None:
        """The replica that leads a log, or any log; any replica if none does."""
        return self.processes.leads(log) or self.some(self.processes.replicas)

    def leaders_link(self, log: int | None = None) -> Link | None:
        """The link of the replica that leads."""
        name = self.leading(log)
        return None if name is None else self.processes.replicas[name].link

    def partition(self, clock: str | None = None) -> Partition:
        """One of the partitions, of one clock or of all."""
        among = self.environment.partitions() if clock is None else self.environment.clock_partitions(clock)
        found: Partition = self.some(among)
        return found


Fault = Callable[[FaultContext], None]


def for_a_while(context: FaultContext, part: Any, switch: str) -> None:
    """Switch a fault of a component on, and off again after a while."""
    setattr(part, switch, True)
    context.scheduler.later(context.rng.choice(WHILES_S), lambda: setattr(part, switch, False))
