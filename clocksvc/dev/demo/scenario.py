"""The demo's script: steps that become due by time, ticks and holds. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from clocksvc.dev.demo.demo_config import INTERVAL_S, NIGHT_S, QUIET, SLOW


class ScenarioAction(Enum):
    """What a step does to the demo."""

    STOP_HEARTBEATS = "stop"
    START_HEARTBEATS = "start"


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of the demo at one moment.

    Attributes:
        now_s: monotonic seconds.
        ticks: the number of ticks so far.
        holding: True if the clock reports a hold.
    """

    now_s: float
    ticks: int
    holding: bool


@dataclass(frozen=True, slots=True)
class SinceLastStep:
    """Changes since the last step."""

    seconds: float
    ticks: int
    held_s: float


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """One step, due once `due` returns True."""

    due: Callable[[SinceLastStep], bool]
    text: str
    act: ScenarioAction | None = None


WATCHED_S = 5.0
"""Seconds of hold before the heartbeats return."""
PAUSE_S = 60.0

_BEGINNING = (
    ScenarioStep(
        lambda since: since.ticks >= 1,
        f"partition {SLOW} is slow on purpose: the slowest sets the clock",
    ),
    ScenarioStep(
        lambda since: since.seconds >= 1,
        f"partition {QUIET} is quiet: only heartbeats, every {INTERVAL_S} s, move it",
    ),
    ScenarioStep(
        lambda since: since.seconds >= 1,
        f"nights last {NIGHT_S} s here: Celery beat sends the nightly job by the clock",
    ),
)
_OUTAGE = (
    ScenarioStep(
        lambda since: since.ticks >= 2,
        "heartbeats stopped. Watch the quiet partition, and the nightly job.",
        ScenarioAction.STOP_HEARTBEATS,
    ),
    ScenarioStep(
        lambda since: since.held_s >= WATCHED_S,
        "heartbeats back",
        ScenarioAction.START_HEARTBEATS,
    ),
    ScenarioStep(
        lambda since: since.ticks >= 2 and since.held_s == 0,
        f"nothing was lost. In {PAUSE_S:.0f} s heartbeats stop once more",
    ),
)
_PAUSE = ScenarioStep(lambda since: since.seconds >= PAUSE_S, "")


class Scenario:
    """The script and the current position in it. After its end it repeats the outage after a pause."""

    def __init__(self) -> None:
        self._steps = [*_BEGINNING, *_OUTAGE]
        self._since_s: float | None = None
        self._since_ticks = 0
        self._held_since_s: float | None = None

    def next(self, observation: Observation) -> ScenarioStep | None:
        """The step that is due now, else None. Each step is returned once."""
        step = self._steps[0]
        if not step.due(self._since(observation)):
            return None
        self._since_s, self._since_ticks = observation.now_s, observation.ticks
        del self._steps[0]
        if not self._steps:
            self._steps = [_PAUSE, *_OUTAGE]
        return step

    def _since(self, observation: Observation) -> SinceLastStep:
        if self._since_s is None:
            self._since_s = observation.now_s
        if not observation.holding:
            self._held_since_s = None
        elif self._held_since_s is None:
            self._held_since_s = observation.now_s
        held_s = 0.0 if self._held_since_s is None else observation.now_s - self._held_since_s
        return SinceLastStep(observation.now_s - self._since_s, observation.ticks - self._since_ticks, held_s)
