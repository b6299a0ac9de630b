"""Where faults act, and what several of them need."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.actors import Processes
from tests.simulation.hub import Hub
from tests.simulation.oracle import Oracle
from tests.simulation.world import World

PAUSES_S = (0.5, 2.0, 4.0, 8.0, 14.0)
WHILES_S = (0.2, 1.0, 3.0, 8.0)


@dataclass
class Stage:
    """Where faults act."""

    hub: Hub
    world: World
    oracle: Oracle
    processes: Processes

    @property
    def rng(self) -> random.Random:
        return self.hub.rng

    def some(self, of: Any) -> Any:
        """One of them; None of none."""
        among = sorted(of)
        return self.rng.choice(among) if among else None

    def leading(self) -> str | None:
        """Who leads, or might."""
        return self.processes.leads() or self.some(self.processes.replicas)


Fault = Callable[[Stage], None]


def for_a_while(stage: Stage, part: Any, switch: str) -> None:
    """Something is wrong with a part, and is mended by itself."""
    setattr(part, switch, True)
    stage.hub.later(stage.rng.choice(WHILES_S), lambda: setattr(part, switch, False))
