"""The pipeline around a clock: its stages in order, what each one waits for, and the stage to blame.

A stage is a clock. Stages of this installation come from the states of its clocks, those of others from what observers
have read of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.spec import ClockSpec, UpstreamSpec
from clocksvc.clock.tick import partition_to_wire
from clocksvc.clock.time_format import time_from_wire, time_to_wire
from clocksvc.service.public_state import PublicState

MAX_STAGES = 100
MAX_PARTITIONS = 10
HIDDEN = "this token may not see this clock"
_LATE = frozenset({Status.HOLDING, Status.PAUSED, Status.CATCHING_UP})


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline. Times and durations are milliseconds; None if unknown.

    Attributes:
        number: 1 without a stage before it; otherwise one more than the highest number of those before it.
        after: the stages before it.
        last_tick_ms: its last tick.
        behind_ms: how far it is behind the wall clock.
        stage_behind_ms: how far it is behind the stages before it: behind the earliest of their last ticks. None for a
            first stage.
        status: its status; "" if unknown.
        hold: its hold as JSON, without the hold of the stage for which it waits.
        waits_for: the stage before it whose tick it needs for its next boundary; None if it needs none.
        to_blame: True if it is late, or its state is not known, and it waits for no other stage.
        waiting: the number of its partitions that have not passed the next boundary, for each reason.
        problem: why its state is not known; "" if it is.
    """

    name: UpstreamSpec
    after: tuple[UpstreamSpec, ...] = ()
    number: int = 1
    last_tick_ms: int | None = None
    behind_ms: int | None = None
    stage_behind_ms: int | None = None
    status: str = ""
    hold: Mapping[str, Any] | None = None
    waits_for: UpstreamSpec | None = None
    to_blame: bool = False
    waiting: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages before and after a clock, in order. `more` is the number of stages that are left out."""

    clock: str
    stages: tuple[Stage, ...]
    more: int = 0


def read_pipeline(
    clock: str,
    specs: Mapping[str, ClockSpec],
    states: Callable[[Collection[str]], Iterable[PublicState]],
    sees: Callable[[str], bool] = lambda _: True,
) -> Pipeline:
    """Return the pipeline around a clock of this installation. Blocks as `states` does.

    Args:
        specs: all clocks of this installation, by name.
        states: returns the states of some clocks.
        sees: whether the caller may see a clock.
    """
    related = list(_related(clock, specs))
    chosen = related[:MAX_STAGES]
    found = {state.clock: state for state in states([name for name in chosen if sees(name)])}
    stages = {UpstreamSpec(name): Stage(UpstreamSpec(name), problem=HIDDEN) for name in chosen if name not in found}
    now_ms = next(
        (one.last_tick.at_ms + one.behind_ms for one in found.values() if one.last_tick and one.behind_ms is not None),
        None,
    )
    for state in found.values():
        for upstream in state.after:
            if upstream.url:
                last_ms, hold = upstream.last_tick_ms, upstream.hold
                _add_remote(stages, _name(upstream), last_ms, upstream.status, hold, upstream.problem, now_ms)
        stages[UpstreamSpec(state.clock)] = _local(state)
    known = {
        name: replace(one, after=tuple(each for each in one.after if each in stages)) for name, one in stages.items()
    }
    numbers = _numbers(known)
    placed = [
        replace(
            one,
            number=numbers[name],
            stage_behind_ms=_stage_behind(one, known),
            waits_for=_waits_for(one, known, found),
        )
        for name, one in known.items()
    ]
    blamed = _blamed(clock, placed)
    ordered = sorted(placed, key=lambda one: (one.number, one.name.clock, one.name.url))
    return Pipeline(
        clock, tuple(replace(one, to_blame=one.name in blamed) for one in ordered), len(related) - len(chosen)
    )


def _related(clock: str, specs: Mapping[str, ClockSpec]) -> Iterator[str]:
    """Yield a clock, the clocks before it, and the clocks after it with all clocks before them."""
    after: dict[str, list[str]] = {}
    for spec in specs.values():
        for upstream in spec.after:
            if not upstream.url:
                after.setdefault(upstream.clock, []).append(spec.name)
    seen: set[str] = set()
    for name in _reach(clock, lambda one: sorted(after.get(one, ()))):
        before = _reach(name, lambda one: [each.clock for each in specs[one].after if not each.url])
        for each in before:
            if each not in seen:
                seen.add(each)
                yield each


def _reach(first: str, following: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield a clock and all that can be reached from it, the nearest first."""
    seen, left = {first}, [first]
    for one in left:
        yield one
        more = [each for each in following(one) if each not in seen]
        seen.update(more)
        left += more


def _name(upstream: Any) -> UpstreamSpec:
    return UpstreamSpec(upstream.clock, upstream.url)


def _local(state: PublicState) -> Stage:
    hold = None
    if state.hold is not None:
        hold = {
            "reason": str(state.hold.reason),
            "since": time_to_wire(state.hold_since_ms),
            "partitions": [partition_to_wire(one) for one in state.hold.partitions[:MAX_PARTITIONS]],
            "detail": state.hold.detail,
        }
    return Stage(
        name=UpstreamSpec(state.clock),
        after=tuple(map(_name, state.after)),
        last_tick_ms=None if state.last_tick is None else state.last_tick.at_ms,
        behind_ms=state.behind_ms,
        status=str(state.status),
        hold=hold,
        waiting={} if state.observer is None else state.observer.waiting,
    )


def _add_remote(
    stages: dict[UpstreamSpec, Stage],
    name: UpstreamSpec,
    last_ms: int | None,
    status: str,
    hold: Mapping[str, Any] | None,
    problem: str,
    now_ms: int | None,
) -> None:
    """Add a stage of another installation, and those for which it waits."""
    if name in stages:
        return
    upstream = None if hold is None else hold.get("upstream")
    before = None if upstream is None else UpstreamSpec(upstream["clock"], upstream["url"] or name.url)
    stages[name] = Stage(
        name=name,
        after=() if before is None else (before,),
        last_tick_ms=last_ms,
        behind_ms=None if last_ms is None or now_ms is None else now_ms - last_ms,
        status=status,
        hold=None if hold is None else {key: hold.get(key) for key in ("reason", "since", "partitions", "detail")},
        waits_for=before,
        problem=problem,
    )
    if upstream is not None and before is not None:
        reached_ms = time_from_wire("time", upstream["time"])
        _add_remote(stages, before, reached_ms, upstream["status"] or "", upstream["hold"], "", now_ms)


def _numbers(stages: Mapping[UpstreamSpec, Stage]) -> dict[UpstreamSpec, int]:
    """Return the number of each stage. Clocks of several installations can form a cycle, so the rounds are bounded."""
    numbers = dict.fromkeys(stages, 1)
    for _ in stages:
        raised = {name: 1 + max((numbers[each] for each in one.after), default=0) for name, one in stages.items()}
        if raised == numbers:
            break
        numbers = raised
    return numbers


def _stage_behind(stage: Stage, stages: Mapping[UpstreamSpec, Stage]) -> int | None:
    times = [stages[name].last_tick_ms for name in stage.after]
    known = [at_ms for at_ms in times if at_ms is not None]
    if not known or len(known) < len(times) or stage.last_tick_ms is None:
        return None
    return max(0, min(known) - stage.last_tick_ms)


def _waits_for(
    stage: Stage, stages: Mapping[UpstreamSpec, Stage], states: Mapping[str, PublicState]
) -> UpstreamSpec | None:
    state = None if stage.name.url else states.get(stage.name.clock)
    if state is None:
        return stage.waits_for
    if state.hold is not None:
        if state.hold.reason is not Reason.UPSTREAM_BEHIND or state.hold.upstream is None:
            return None
        name = UpstreamSpec(state.hold.upstream["clock"], state.hold.upstream["url"])
        return name if name in stages else None
    # Without a tick, the clock waits for the first one of each upstream clock.
    next_ms = 0 if stage.last_tick_ms is None else stage.last_tick_ms + state.interval_ms
    late = [(stages[name].last_tick_ms or -1, name) for name in stage.after]
    late = [(at_ms, name) for at_ms, name in late if at_ms < next_ms]
    return min(late, key=lambda one: one[0], default=(0, None))[1]


def _blamed(clock: str, stages: Sequence[Stage]) -> set[UpstreamSpec]:
    """Return the stages to blame.

    From the clock, and from each last stage, follow `waits_for` to the stage that waits for no other one. It is to
    blame if it is late or can't be read.
    """
    by_name = {one.name: one for one in stages}
    before = {name for one in stages for name in one.after}
    found = set()
    for first in (UpstreamSpec(clock), *(one.name for one in stages if one.name not in before)):
        seen, name = {first}, first
        while (following := by_name[name].waits_for) is not None and following in by_name and following not in seen:
            seen.add(following)
            name = following
        if by_name[name].status in _LATE or (by_name[name].problem and by_name[name].problem != HIDDEN):
            found.add(name)
    return found


def pipeline_to_wire(pipeline: Pipeline) -> dict[str, Any]:
    """Return the JSON of `GET /v1/clocks/{clock}/pipeline`."""
    return {
        "clock": pipeline.clock,
        "stages": [_stage_to_wire(stage) for stage in pipeline.stages],
        "more": pipeline.more,
    }


def pipeline_from_wire(wire: Mapping[str, Any]) -> Pipeline:
    """The reverse of `pipeline_to_wire`; unknown fields are ignored.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not a pipeline.
    """
    return Pipeline(wire["clock"], tuple(_stage_from_wire(stage) for stage in wire["stages"]), int(wire["more"]))


def _stage_to_wire(stage: Stage) -> dict[str, Any]:
    last_ms = stage.last_tick_ms
    return {
        "clock": stage.name.clock,
        "url": stage.name.url,
        "number": stage.number,
        "after": [_name_to_wire(name) for name in stage.after],
        "time": time_to_wire(last_ms),
        "timestamp_seconds": None if last_ms is None else last_ms // 1000,
        "behind_seconds": None if stage.behind_ms is None else stage.behind_ms / 1000,
        "stage_behind_seconds": None if stage.stage_behind_ms is None else stage.stage_behind_ms / 1000,
        "status": stage.status or None,
        "hold": stage.hold,
        "waits_for": None if stage.waits_for is None else _name_to_wire(stage.waits_for),
        "to_blame": stage.to_blame,
        "waiting": dict(stage.waiting),
        "problem": stage.problem,
    }


def _stage_from_wire(wire: Mapping[str, Any]) -> Stage:
    behind, stage_behind, waits_for = wire["behind_seconds"], wire["stage_behind_seconds"], wire["waits_for"]
    return Stage(
        name=UpstreamSpec(wire["clock"], wire["url"]),
        after=tuple(UpstreamSpec(name["clock"], name["url"]) for name in wire["after"]),
        number=int(wire["number"]),
        last_tick_ms=time_from_wire("time", wire["time"]),
        behind_ms=None if behind is None else round(behind * 1000),
        stage_behind_ms=None if stage_behind is None else round(stage_behind * 1000),
        status=wire["status"] or "",
        hold=wire["hold"],
        waits_for=None if waits_for is None else UpstreamSpec(waits_for["clock"], waits_for["url"]),
        to_blame=bool(wire["to_blame"]),
        waiting=dict(wire["waiting"]),
        problem=wire["problem"],
    )


def _name_to_wire(name: UpstreamSpec) -> dict[str, str]:
    return {"clock": name.clock, "url": name.url}
