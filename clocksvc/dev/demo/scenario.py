"""The steps of the demo. Time, ticks and holds determine when a step is due. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from clocksvc.dev.demo.demo_config import INTERVAL_S, NIGHT_S, QUIET, SECOND_CLOCK, SLOW


class ScenarioAction(Enum):
    """A change of the demo that a step makes."""

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
    """What has happened since the last step."""

    seconds: float
    ticks: int
    held_s: float


@dataclass(frozen=True, slots=True)
class ScenarioStep:
    """One step. It is due when `due` returns True."""

    due: Callable[[SinceLastStep], bool]
    text: str
    act: ScenarioAction | None = None


WATCHED_S = 5.0
"""How many seconds a hold lasts before the heartbeats start again."""
PAUSE_S = 60.0

_BEGINNING = (
    ScenarioStep(
        lambda since: since.ticks >= 1,
        f"partition {SLOW} is slow on purpose; the clock follows the slowest partition",
    ),
    ScenarioStep(
        lambda since: since.seconds >= 1,
        f"partition {QUIET} is quiet; it gets only heartbeats, every {INTERVAL_S} s",
    ),
    ScenarioStep(
        lambda since: since.seconds >= 1,
        f"nights last {NIGHT_S} s here: Celery beat sends the nightly job by the clock",
    ),
    ScenarioStep(
        lambda since: since.seconds >= 1,
        "a second group stores what the first one hands on. It knows nothing of clocksvc: its commits make the clock "
        f'"{SECOND_CLOCK}"',
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
    """The steps, and the current position in them. After the last step, the outage is repeated after each pause."""

    def __init__(self) -> None:
        self._steps = [*_BEGINNING, *_OUTAGE]
        self._since_s: float | None = None
        self._since_ticks = 0
        self._held_since_s: float | None = None

    def next(self, observation: Observation) -> ScenarioStep | None:
        """Return the step that is due now; None if no step is due. Each step is returned only once."""
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
