"""The clocks of a world: how many, in which logs, with which intervals, topics and groups."""

import random
from dataclasses import dataclass, field, replace

from clocksvc.clock.spec import ClockSpec, HeartbeatSpec

MAX_FUTURE_MS = 60_000
HOLD_AFTER_MS = 3_000
JITTER_MS = 300
"""The most that an honest record arrives after its timestamp."""

NAMES = ("checkins", "invoices", "trades", "mail")
"""The first three have the same log, `mail` has another one."""
_COUNTS = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)
_SHARED = "shared"


@dataclass
class ClockPlan:
    """One clock of the world.

    Attributes:
        spec: the present configuration.
        groups: the consumer groups that ever read for this clock; the last one is the newest.
        append_time: brokers set the timestamps of its topics in the beginning.
        backlog_ms: how far the oldest record of its topics is in the past in the beginning.
        late: only new replicas know this clock. A fault or the end of the storm starts them.
    """

    spec: ClockSpec
    append_time: bool
    backlog_ms: int = 0
    late: bool = False
    groups: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.spec.name

    def out_of_orderness_ms(self, *, append_time: bool) -> int:
        """Return what the configuration resolves to."""
        configured = self.spec.max_out_of_orderness_ms
        return configured if configured is not None else 0 if append_time else 10_000

    def change_group(self) -> str:
        """Configure another group: a new one, or one that read for this clock before."""
        others = [group for group in self.groups if group != self.spec.group]
        group = others[0] if others else f"{self.name}-{len(self.groups) + 1}"
        self.spec = replace(self.spec, group=group)
        if group not in self.groups:
            self.groups.append(group)
        return group


def plan_clocks(rng: random.Random) -> list[ClockPlan]:
    """Return the clocks of a world: one to four."""
    count = rng.choice(_COUNTS)
    names = list(NAMES[:3])
    rng.shuffle(names)
    chosen = [*names[: min(count, 3)], NAMES[3]][:count] if count == 4 or rng.random() < 0.8 else names[:count]
    if count in (2, 3) and rng.random() < 0.25:
        chosen[-1] = NAMES[3]
    shares = count > 1 and rng.random() < 0.7
    shared_append_time = rng.random() < 0.4
    plans = []
    for index, name in enumerate(chosen):
        append_time = shared_append_time if shares else rng.random() < 0.4
        plans.append(_plan(rng, name, append_time=append_time, shares=shares and (index < 2 or rng.random() < 0.5)))
    if count > 1 and rng.random() < 0.25:
        plans[-1].late = True
    if rng.random() < 0.05:
        plan = rng.choice(plans)
        plan.backlog_ms = rng.choice((120_000, 700_000, 1_500_000))
        limits = {"max_past_ms": 200_000} if plan.backlog_ms > 700_000 else {"catch_up_pace": rng.choice((None, 40.0))}
        plan.spec = replace(plan.spec, **limits)
    return plans


def _plan(rng: random.Random, name: str, *, append_time: bool, shares: bool) -> ClockPlan:
    own = [f"{name}-{letter}" for letter in ("a", "b")[: rng.choice((1, 1, 2))]]
    topics = [*own[: 1 if shares else 2], *([_SHARED] if shares else [])]
    automatic = append_time or rng.random() < 0.05
    spec = ClockSpec(
        name,
        tuple(topics),
        f"{name}-1",
        interval_ms=rng.choice((1_000, 1_000, 2_000, 5_000)),
        max_out_of_orderness_ms=None if automatic else JITTER_MS,
        max_future_ms=MAX_FUTURE_MS,
        hold_after_ms=HOLD_AFTER_MS,
        recent_ticks_ms=60_000 if rng.random() < 0.5 else 86_400_000,
        heartbeat=HeartbeatSpec(every_ms=1_000),
    )
    return ClockPlan(spec, append_time, groups=[spec.group])
