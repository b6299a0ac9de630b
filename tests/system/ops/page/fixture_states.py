"""States of clocks for the page, in each status and for each cause of a hold, encoded as the service encodes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.interfaces.observations import PartitionObservation
from clocksvc.service.public_state import HeartbeatState, PartitionCounts, PublicPartition, PublicState, state_to_wire
from clocksvc.service.schedules_state import SchedulesState
from tests.unit.test_hold_causes import CAUSES, NAMES, SITUATIONS

NOW_MS = parse_timestamp("now", "2026-11-30T10:20:05.400Z")
TOPIC, GROUP = NAMES["topic"], NAMES["group"]
LONG = "eu-west-1.production.ingest.checkins.enriched-by-region.v3.compacted"
"""A topic whose name does not fit into a line of a phone."""
PARTITIONS = 12
_INTERVAL_MS = 60_000


def partition(
    number: int,
    behind_s: float | None = 12.0,
    reported_s: float | None = 3.0,
    rejected: Outcome | None = None,
    topic: str = TOPIC,
    observed: PartitionObservation | None = None,
) -> PublicPartition:
    """A partition that is `behind_s` behind, and was last reported `reported_s` ago; None: unknown, and never."""
    at_ms = None if behind_s is None else round(NOW_MS - behind_s * 1000)
    return PublicPartition(
        partition=Partition(topic, number),
        clock_ms=at_ms,
        behind_ms=None if at_ms is None else NOW_MS - at_ms,
        reported_at_ms=None if reported_s is None else round(NOW_MS - reported_s * 1000),
        reported_timestamp_ms=at_ms,
        excluded=False,
        rejected=rejected,
        observed=observed,
    )


def clock_state(
    status: Status = Status.RUNNING,
    *,
    name: str = "checkins",
    behind_s: int | None = 65,
    hold: Hold | None = None,
    held_s: float = 245.0,
    slowest: Sequence[PublicPartition] = (),
    heartbeat_s: float | None = 4.0,
    heartbeats_every_s: float | None = 5.0,
    leader: str | None = "clocksvc-7c9f8d6b54-x2x8q:1",
    exclusions: Sequence[Exclusion] = (),
    pause: Pause | None = None,
    store: bool = True,
    due_ticks: int | None = 0,
    schedules: SchedulesState | None = None,
    **observed: Any,
) -> dict[str, Any]:
    """The JSON of a clock's state. `behind_s` None: no tick yet. `heartbeat_s`: the age of the last heartbeat.
    `observed` are the fields of a clock from committed offsets."""
    emitted_ms = round(NOW_MS - (held_s if hold else 5.4) * 1000)
    at_ms = None if behind_s is None else (NOW_MS - behind_s * 1000) // _INTERVAL_MS * _INTERVAL_MS
    lines = list(slowest) or [partition(number) for number in range(10)]
    unknown = sum(line.clock_ms is None for line in lines)
    rejected = sum(line.rejected is not None for line in lines)
    return state_to_wire(
        PublicState(
            clock=name,
            last_tick=None if at_ms is None else Tick(name, at_ms, at_ms - _INTERVAL_MS, _INTERVAL_MS, emitted_ms),
            interval_ms=_INTERVAL_MS,
            hold_after_ms=120_000,
            max_out_of_orderness_ms=10_000,
            behind_ms=None if at_ms is None else NOW_MS - at_ms,
            status=status,
            hold=hold,
            hold_since_ms=emitted_ms,
            partitions=PartitionCounts(PARTITIONS - unknown, unknown, len(exclusions), rejected) if store else None,
            exclusions=tuple(exclusions),
            pause=pause,
            slowest=tuple(lines) if store else (),
            leader=leader,
            topics=(TOPIC, "billing"),
            group=GROUP,
            heartbeats=HeartbeatState(
                every_ms=None if heartbeats_every_s is None else round(heartbeats_every_s * 1000),
                last_success_ms=None if heartbeat_s is None or not store else round(NOW_MS - heartbeat_s * 1000),
                counts={"delivered": 480, "failed": 0, "expired": 0} if store else None,
            ),
            due_ticks=due_ticks if store else None,
            schedules=schedules,
            **observed,
        )
    )


def _held(hold: Hold, **other: Any) -> dict[str, Any]:
    return clock_state(Status.HOLDING, hold=hold, behind_s=300, **other)


def _behind(lines: Sequence[PublicPartition], detail: str = "", **other: Any) -> dict[str, Any]:
    named = tuple(line.partition for line in lines)
    rest = [partition(number) for number in range(PARTITIONS) if Partition(TOPIC, number) not in named]
    hold = Hold(Reason.PARTITION_BEHIND, named, f"the slowest partition has not reached the next boundary{detail}")
    return _held(hold, slowest=[*lines, *rest][:10], **other)


def _of_cause(name: str, reason: Reason, outcome: Outcome | None) -> dict[str, Any]:
    """The state of a cause in `tests/hold_causes.json`, with the detail that the leader or the service makes."""
    hold = SITUATIONS[name]() if name in SITUATIONS else Hold(reason, detail=_ERRORS[name])
    assert hold is not None
    line = partition(0)
    if name.startswith("behind"):
        line = partition(0, 275, 51 if name == "behind-silent" else 4)
    elif name.startswith(("unreported", "rejected")):
        line = partition(0, None, 3 if outcome else None, outcome)
    return clock_state(
        Status.PAUSED if reason is Reason.PAUSED else Status.HOLDING,
        hold=hold,
        behind_s=None if name in ("unreported", "too-far-back") else 300,
        heartbeats_every_s=None if name.endswith("heartbeats-off") else 5.0,
        due_ticks=4 if reason is Reason.PAUSED else 0,
        slowest=[line, *map(partition, range(1, 10))],
        pause=Pause("ada", NOW_MS - 240_000, "a migration") if reason is Reason.PAUSED else None,
        leader=None if reason in (Reason.NO_LEADER, Reason.STORE_UNAVAILABLE) else "clocksvc-7c9f8d6b54-x2x8q:1",
        store=reason is not Reason.STORE_UNAVAILABLE,
    )


_ERRORS = {
    "store-unavailable": "Error 111 connecting to redis.prod.internal:6379. Connection refused.",
    "ticklog-unavailable": "can't write to clocksvc-ticks: NOT_ENOUGH_REPLICAS",
    "ticklog-open-transaction": "a transaction is open in partition 7 of clocksvc-ticks",
}
"""Details that are errors of Kafka or Redis."""


def causes() -> dict[str, dict[str, Any]]:
    """The state of each cause in `tests/hold_causes.json`, by its name, which is the clock's name, too."""
    return {
        name: _of_cause(name, Reason(cause["reason"]), cause.get("outcome")) | {"clock": name}
        for name, cause in CAUSES.items()
    }


def states() -> dict[str, dict[str, Any]]:
    """Further states, by their names, which are the clocks' names, too: each status without a hold, and what the page
    concludes from heartbeats and from rejected reports while partitions are behind."""
    excluded = Exclusion(Partition(LONG, 3), "ops", NOW_MS - 3_600_000, "disk of broker 3 died, INC-4711")
    made = {
        "running": clock_state(behind_s=5, schedules=scheduled()),
        "running-without": clock_state(
            behind_s=5,
            exclusions=[excluded],
            slowest=[partition(3, 9, topic=LONG), partition(4, 8, topic=LONG), partition(1)],
        ),
        "catching-up": clock_state(Status.CATCHING_UP, behind_s=259_205, due_ticks=4_319),
        "starting": clock_state(Status.STARTING, behind_s=None, slowest=[partition(n, None, None) for n in range(10)]),
        "rebuilding": clock_state(Status.REBUILDING),
        "behind-no-heartbeats": _behind([partition(3, 275, 4)], heartbeat_s=16),
        "behind-heartbeats-off": _behind([partition(3, 275, 4)], heartbeats_every_s=None, heartbeat_s=None),
        "behind-long-name": _behind(
            [
                partition(1024, 275, 51, topic=LONG),
                partition(17, 275, 3, Outcome.TOO_FAR_AHEAD, topic=LONG),
                *(partition(number, 275, 51) for number in range(14)),
            ],
            f"; not reported for more than 30 s: {LONG}:1024",
        ),
        "schedules-loading": clock_state(behind_s=5, schedules=scheduled(owned=5, loading=3, loaded_ratio=0.634)),
        "schedules-without-scheduler": clock_state(
            Status.CATCHING_UP,
            behind_s=3_600,
            due_ticks=60,
            schedules=SchedulesState(8, owned=0, replicas=0, loading=0),
        ),
        "schedules-late": clock_state(
            behind_s=5,
            schedules=scheduled(late_s=300, missed=3, unreadable=2, problems=(f"{_PROBLEM} (7 more times)",)),
        ),
    }
    return {name: state | {"clock": name} for name, state in made.items()}


_PROBLEM = "partition 3 at clocksvc-scheduler-6b8f7c5d9-q7x2m:1: can't write to checkins-due: NOT_ENOUGH_REPLICAS"


def scheduled(late_s: int = 0, **other: Any) -> SchedulesState:
    """A million schedules in 8 partitions. `late_s`: how far they are behind a clock that is 5 s behind."""
    position_ms = (NOW_MS - 5_000) // _INTERVAL_MS * _INTERVAL_MS - late_s * 1000
    known: dict[str, Any] = {"owned": 8, "replicas": 2, "loading": 0, "unreadable": 0}
    if other.get("owned", 8) == 8:
        known |= {"schedules": 1_000_000, "due_per_minute": 16_666.7, "missed": 0, "position_ms": position_ms}
    return SchedulesState(8, **(known | other))


def past_hold(reason: str, began_s: float, ended_s: float | None) -> dict[str, Any]:
    """One hold of the history, from `began_s` ago to `ended_s` ago; None: it lasts."""
    return {
        "reason": reason,
        "began_at": to_rfc3339(round(NOW_MS - began_s * 1000)),
        "ended_at": None if ended_s is None else to_rfc3339(round(NOW_MS - ended_s * 1000)),
        "partitions": [{"topic": TOPIC, "partition": 3}],
        "detail": "the slowest partition has not reached the next boundary",
    }


_DETAILED = 100
_API = """
window.api = %s;
window.poll = () => {};  // what the page does 5 s after an answer
{
  const json = (body, status = body === undefined ? 404 : 200) => new Response(JSON.stringify(body ?? {}), {
    status,
    headers: { "Content-Type": "application/json", Date: new Date(api.now_ms).toUTCString() },
  });
  const brief = ({ hold, slowest, exclusions, pause, topics, group, heartbeats, last_tick, ...rest }) => ({
    ...rest,
    hold: hold && { ...hold, partitions: hold.partitions.slice(0, 1), partition_count: hold.partitions.length },
  });
  const list = (query) => {
    const found = api.clocks.filter(({ clock }) => clock.includes(query.get("search") ?? ""));
    const counts = {};
    for (const { status } of found) counts[status] = (counts[status] ?? 0) + 1;
    const matching = found.filter(({ status }) => [null, status].includes(query.get("status")));
    const [begin, limit] = [Number(query.get("after")), Number(query.get("limit"))];
    const next = begin + limit < matching.length ? String(begin + limit) : null;
    return { clocks: matching.slice(begin, begin + limit).map(brief), next, counts };
  };
  const file = window.fetch.bind(window);
  window.asked = [];  // the requests to the API, by path and query
  window.fetch = async (path, options) => {
    const asked = path.split("?")[0].match(/^v1\\/clocks(?:\\/([^/]+)(?:\\/(.+))?)?$/);
    if (asked === null) return file(path, options);
    window.asked.push(path);
    const [, name, resource] = asked;
    if (name === undefined) return json(list(new URLSearchParams(path.split("?")[1])));
    if (resource === undefined) return json(api.clocks.find((clock) => clock.clock === name));
    if (resource === "ticks/stream") return new Promise(() => {});
    if (resource === "holds") return json(api.holds);
    if (resource === "pipeline") return json(api.pipelines[name] ?? { clock: name, stages: [], more: 0 });
    return json(api[resource][name]);
  };
  const [later, now] = [window.setTimeout.bind(window), performance.now.bind(performance)];
  let draw = () => {}, passedMs = 0;
  window.setTimeout = (call, ms) => (ms === 5000 ? ((window.poll = call), 0) : later(call, ms));
  window.setInterval = (call) => ((draw = call), 0);
  performance.now = () => now() + passedMs;
  window.pass = (ms) => ((passedMs += ms), draw());
}
"""


def fixture_script(
    clocks: Sequence[Mapping[str, Any]],
    holds: Sequence[Mapping[str, Any]] = (),
    pipelines: Mapping[str, Mapping[str, Any]] = {},
) -> str:
    """A script that answers the page's requests to the API with these clocks. The stream of ticks has no event.

    `window.api.clocks` is the next answer, in the service's order, and `window.poll()` requests it. `window.pass(ms)`
    lets time pass. Only the first clocks have ticks and partitions.
    """
    first = clocks[:_DETAILED]
    answers = {
        "now_ms": NOW_MS,
        "clocks": clocks,
        "pipelines": pipelines,
        "holds": {"holds": holds, "next": None, "kept_since": to_rfc3339(NOW_MS - 7 * 86_400_000)},
        "ticks": {one["clock"]: {"ticks": _ticks(one), "next": None} for one in first},
        "partitions/brief": {one["clock"]: _compact_page(one) for one in first},
    }
    return _API % json.dumps(answers)


def _compact_page(state: Mapping[str, Any]) -> dict[str, Any]:
    """Two topics. The slowest partitions have the values of the state."""
    runs = []
    lines = {(one["topic"], one["partition"]): one for one in state["slowest"]}
    for topic in (TOPIC, "billing"):
        found = [lines.get((topic, number)) for number in range(PARTITIONS)]
        behind = [11_000 if one is None else one["behind_seconds"] and one["behind_seconds"] * 1000 for one in found]
        marks = "".join(
            "!" if one and one["refused"] else "?" if ms is None else "." for one, ms in zip(found, behind, strict=True)
        )
        runs.append({"topic": topic, "first": 0, "behind_ms": behind, "marks": marks})
    return {"now_ms": NOW_MS, "runs": runs, "next": None}


def _ticks(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    if state["last_tick"] is None:
        return []
    last, made = Tick.from_wire(state["last_tick"]), []
    for ago_ms in range(11 * _INTERVAL_MS, -1, -_INTERVAL_MS):
        at_ms = last.at_ms - ago_ms
        made.append(Tick(last.clock, at_ms, at_ms - _INTERVAL_MS, _INTERVAL_MS, last.emitted_at_ms - ago_ms).to_wire())
    return made
