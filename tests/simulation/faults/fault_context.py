"""What faults act on, and what several of them need."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.actors import Processes
from tests.simulation.environment import Environment
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler

PAUSES_S = (0.5, 2.0, 4.0, 8.0, 14.0)
WHILES_S = (0.2, 1.0, 3.0, 8.0)


@dataclass
class FaultContext:
    """What faults act on."""

    scheduler: Scheduler
    environment: Environment
    oracle: Oracle
    processes: Processes

    @property
    def rng(self) -> random.Random:
        return self.scheduler.rng

    def some(self, of: Any) -> Any:
        """One of them; None if there are none."""
        among = sorted(of)
        return self.rng.choice(among) if among else None

    def leading(self) -> str | None:
        """The replica that leads; any replica if none does."""
        return self.processes.leads() or self.some(self.processes.replicas)


Fault = Callable[[FaultContext], None]


def for_a_while(context: FaultContext, part: Any, switch: str) -> None:
    """Switch a fault of a component on, and off again after a while."""
    setattr(part, switch, True)
    context.scheduler.later(context.rng.choice(WHILES_S), lambda: setattr(part, switch, False))
