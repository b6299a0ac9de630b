"""One round: faults by chance, from a seed, until enough have happened, each upon a clock that runs again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.system.outages.rounds.faults import (
    KINDS,
    Kinds,
)
from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.world import (
    REPLICAS,
    World,
)

LIMIT_S = 30.0
TOGETHER = 0.15
"""How often a second fault comes before the first has healed."""


@dataclass
class Played:
    """What a round did; `stuck` says after which faults no tick came in time."""

    goals: Goals
    stuck: list[str] = field(default_factory=list)


def play(
    world: World,
    seed: int,
    enough: Callable[[Goals], bool],
    goals: Goals,
    kinds: Kinds = KINDS,
    say: Callable[[str], None] = lambda _: None,
    together: float = TOGETHER,
) -> Played:
    """Bring faults upon a world until enough have happened, and let it come to rest."""
    rng, played = random.Random(seed), Played(goals)
    while not enough(goals):
        name = _one(world, rng, goals, kinds)
        if rng.random() < together:
            name += " and " + _one(world, rng, goals, kinds)
        _until_well(world, played, name)
        say(f"{goals.seen.total()} faults, {len(world.clocks[0].follower.arrived)} ticks, last {name}")
    _rest(world, played)
    return played


def _rest(world: World, played: Played) -> None:
    """No record comes any more: clients are to reach what replicas show, but for a tick of a heartbeat on its way."""
    for watched in world.clocks:
        watched.stop_writing()
    for watched in world.clocks:
        if not world.until_followed(watched, within=LIMIT_S):
            states = [world.state(name, watched) for name in REPLICAS]
            played.stuck.append(f"the client stands at {watched.follower.ticks()[-1:]}, replicas at {states}")


def _one(world: World, rng: random.Random, goals: Goals, kinds: Kinds) -> str:
    name = goals.choose(rng)
    world.announce(name)
    kinds[name][0](world, rng)
    goals.seen[name] += 1
    return name


def _until_well(world: World, played: Played, name: str) -> None:
    """Until there are new ticks, both replicas are there, and there are ticks once more: a fault's effect may come
    later than the next tick."""
    began = time.monotonic()
    if not world.until_ticked(began, within=LIMIT_S):
        states = [world.state(REPLICAS[0], watched) for watched in world.clocks]
        played.stuck.append(f"no tick for {LIMIT_S:g} s after {name}: {states}")
        world.until_ticked(began, within=2 * LIMIT_S)
    if not world.until_ready(within=LIMIT_S):
        played.stuck.append(f"a replica was not ready within {LIMIT_S:g} s after {name}")
    world.until_ticked(time.monotonic(), within=LIMIT_S)
