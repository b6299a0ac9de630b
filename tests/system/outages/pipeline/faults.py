"""Faults of a pipeline. Those of a stage hold the last clock, and its hold must name the stage."""

import os
import random
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

from tests.system.installation import wall_ms
from tests.system.outages.pipeline.pipeline import CLOCKS, MEMBERS, Pipeline, pause
from tests.waiting import eventually

NAMED_WITHIN_S = 30.0
"""A hold begins 2 s after the last tick. Before that, records that the stage has handled pass the stages after it."""


class Named(NamedTuple):
    """A hold of the last clock during a fault of a stage.

    Attributes:
        stage: the clock of the stage with the fault.
        seconds: how long after the beginning of the fault the hold named the stage; None if it never did.
        later: the chain of clocks that the hold named 1.5 s later; empty if the clock did not hold then.
    """

    stage: str
    seconds: float | None
    later: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the hold named the stage, and then did not name another one."""
        return self.seconds is not None and self.later[-1:] in ((), (self.stage,))


class Faults:
    """Injects faults one after the other, and waits after each until the last clock runs again.

    Attributes:
        done: how often each kind was injected.
        named: the holds.
        calm: the times in ms without a fault.
    """

    def __init__(self, pipeline: Pipeline, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self.named: list[Named] = []
        self.calm: list[range] = []
        self._pipeline, self._rng = pipeline, rng
        self._calm_since_ms = 0

    def wait_until_calm(self, seconds: float) -> None:
        """Wait until the last clock runs, and for some more seconds."""
        self._pipeline.until_running()
        begin_ms = wall_ms()
        pause(seconds)
        self.calm.append(range(begin_ms, wall_ms() - 5_000))

    def hold_a_stage(self, stage: int, kind: str) -> None:
        """Stop or kill all members of a stage until the hold of the last clock names the stage."""
        held = self._pipeline.stopped(stage) if kind == "stop" else self._pipeline.killed(stage)
        self._hold(held, stage)
        self._did(f"{kind} {CLOCKS[stage]}")

    def rebalance(self, stage: int) -> None:
        """A member of a stage leaves, another one joins."""
        member = self._rng.choice(MEMBERS)
        self._pipeline.end_member(stage, member)
        pause(1.0)
        self._pipeline.start_member(stage, member)
        self._did(f"rebalance {CLOCKS[stage]}")

    def restart_broker(self) -> None:
        """Kill the broker, and start it again."""
        self._pipeline.kafka.kill()
        pause(1.0)
        self._pipeline.kafka.start()
        self._pipeline.kafka.wait_ready()
        self._did("kill broker")

    def flush(self) -> None:
        """FLUSHALL."""
        self._pipeline.flush()
        self._did("flush")

    def kill_leader(self) -> None:
        """Kill the replica that leads the last clock, and start it again."""
        leader = self._pipeline.leader()
        self._pipeline.installation.kill(leader)
        pause(1.0)
        self._pipeline.installation.start_replica(leader)
        self._did("kill leader")

    def kill_observer(self) -> None:
        """Kill the process that observes, as librdkafka does it."""
        os.kill(self._pipeline.observer(self._pipeline.leader()), signal.SIGKILL)
        self._did("kill observer")

    def kill_observer_and_flush(self) -> None:
        """Both at the same time: the observer knows nothing of before."""
        os.kill(self._pipeline.observer(self._pipeline.leader()), signal.SIGKILL)
        self._pipeline.flush()
        self._did("kill observer, flush")

    def _hold(self, fault: AbstractContextManager[None], stage: int) -> None:
        clock, seconds = CLOCKS[stage], None
        with fault:
            began_ms = wall_ms()
            with suppress(AssertionError):
                eventually(lambda: self._chain()[-1:] == (clock,), within=NAMED_WITHIN_S)
                seconds = (wall_ms() - began_ms) / 1000
            pause(1.5)
            self.named.append(Named(clock, seconds, self._chain()))

    def _chain(self) -> tuple[str, ...]:
        state = self._pipeline.state()
        hold = state.get("hold")
        return chain_of(hold) if hold and state["status"] == "holding" else ()

    def _did(self, kind: str) -> None:
        self._pipeline.until_running()
        self.done[kind] += 1


def chain_of(hold: Mapping[str, Any]) -> tuple[str, ...]:
    """The clocks that a hold of the last clock names: itself, then its upstream clocks. The last one is to blame."""
    named, found = [CLOCKS[-1]], hold
    while (upstream := found.get("upstream")) is not None:
        named.append(upstream["clock"])
        if upstream["hold"] is None:
            break
        found = upstream["hold"]
    return tuple(named)
