"""What happens in the demo, and when: a script of scenes. Pure: it is shown what there is, and says what to do."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from clocksvc.dev.demo.place import INTERVAL_S, NIGHT_S, QUIET, SLOW


class Act(Enum):
    """What the story has done to the demo."""

    STOP_HEARTBEATS = "stop"
    START_HEARTBEATS = "start"


@dataclass(frozen=True, slots=True)
class HoldInputs:
    """What the story sees at one moment.

    Attributes:
        now_s: monotonic seconds.
        ticks: how many have come so far.
        holding: the clock holds, and says so.
    """

    now_s: float
    ticks: int
    holding: bool


@dataclass(frozen=True, slots=True)
class Since:
    """What has happened since the last scene."""

    seconds: float
    ticks: int
    held_s: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens, once `due` is true."""

    due: Callable[[Since], bool]
    text: str
    act: Act | None = None


WATCHED_S = 5.0
"""How long the hold can be watched before the heartbeats come back."""
PAUSE_S = 60.0

_BEGINNING = (
    Scene(
        lambda since: since.ticks >= 1,
        f"partition {SLOW} is slow on purpose: the slowest sets the clock",
    ),
    Scene(
        lambda since: since.seconds >= 1,
        f"partition {QUIET} is quiet: only heartbeats, every {INTERVAL_S} s, move it",
    ),
    Scene(
        lambda since: since.seconds >= 1,
        f"nights last {NIGHT_S} s here: Celery beat sends the nightly job by the clock",
    ),
)
_OUTAGE = (
    Scene(
        lambda since: since.ticks >= 2,
        "heartbeats stopped. Watch the quiet partition, and the nightly job.",
        Act.STOP_HEARTBEATS,
    ),
    Scene(
        lambda since: since.held_s >= WATCHED_S,
        "heartbeats back",
        Act.START_HEARTBEATS,
    ),
    Scene(
        lambda since: since.ticks >= 2 and since.held_s == 0,
        f"nothing was lost. In {PAUSE_S:.0f} s heartbeats stop once more",
    ),
)
_PAUSE = Scene(lambda since: since.seconds >= PAUSE_S, "")


class Story:
    """The script at one point. After its end it goes on with the outage again, after a pause."""

    def __init__(self) -> None:
        self._to_come = [*_BEGINNING, *_OUTAGE]
        self._since_s: float | None = None
        self._since_ticks = 0
        self._held_since_s: float | None = None

    def next(self, sight: HoldInputs) -> Scene | None:
        """The scene that is due now, if one is. Each is given once."""
        scene = self._to_come[0]
        if not scene.due(self._since(sight)):
            return None
        self._since_s, self._since_ticks = sight.now_s, sight.ticks
        del self._to_come[0]
        if not self._to_come:
            self._to_come = [_PAUSE, *_OUTAGE]
        return scene

    def _since(self, sight: HoldInputs) -> Since:
        if self._since_s is None:
            self._since_s = sight.now_s
        if not sight.holding:
            self._held_since_s = None
        elif self._held_since_s is None:
            self._held_since_s = sight.now_s
        held_s = 0.0 if self._held_since_s is None else sight.now_s - self._held_since_s
        return Since(sight.now_s - self._since_s, sight.ticks - self._since_ticks, held_s)
