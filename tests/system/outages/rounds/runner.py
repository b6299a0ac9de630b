"""One round: random faults from a seed until enough have happened, each injected once the clocks run again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.system.outages.rounds.faults import KINDS, Kinds
from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.supervised_installation import SupervisedInstallation

LIMIT_S = 30.0
TOGETHER = 0.15
"""How often a second fault is injected before the clocks have recovered from the first."""


@dataclass
class Round:
    """What a round did. `stuck`: after which faults no tick came in time."""

    goals: Goals
    stuck: list[str] = field(default_factory=list)


def run_round(
    target: SupervisedInstallation,
    seed: int,
    enough: Callable[[Goals], bool],
    goals: Goals,
    kinds: Kinds = KINDS,
    progress: Callable[[str], None] = lambda _: None,
    together: float = TOGETHER,
) -> Round:
    """Inject faults until enough have happened, then wait until the clocks have come to rest."""
    rng, done = random.Random(seed), Round(goals)
    while not enough(goals):
        name = _one(target, rng, goals, kinds)
        if rng.random() < together:
            name += " and " + _one(target, rng, goals, kinds)
        _until_recovered(target, done, name)
        progress(f"{goals.seen.total()} faults, {len(target.clocks[0].follower.arrived)} ticks, last {name}")
    _rest(target, done)
    return done


def _rest(target: SupervisedInstallation, done: Round) -> None:
    """Stop writing: clients must reach what replicas show, but for one tick in flight."""
    for topic in target.topics:
        topic.stop_writing()
    done.stuck += target.until_followed(within=LIMIT_S)


def _one(target: SupervisedInstallation, rng: random.Random, goals: Goals, kinds: Kinds) -> str:
    name = goals.choose(rng)
    target.announce(name)
    kinds[name][0](target, rng)
    goals.seen[name] += 1
    return name


def _until_recovered(target: SupervisedInstallation, done: Round, name: str) -> None:
    """Wait for new ticks, for both replicas, and for new ticks again: a fault's effect may come after the next tick."""
    began = time.monotonic()
    waiting = target.until_ticked(began, within=LIMIT_S)
    if waiting:
        done.stuck += [
            f"{clock.name}: no tick for {LIMIT_S:g} s after {name}: {target.hold_of(clock)}" for clock in waiting
        ]
        target.until_ticked(began, within=2 * LIMIT_S)
    if not target.until_ready(within=LIMIT_S):
        done.stuck.append(f"a replica was not ready within {LIMIT_S:g} s after {name}")
    target.until_ticked(time.monotonic(), within=LIMIT_S)
