"""`clocksvc init --adopt-tick-log`: confirms that an empty Redis has replaced the one that led the tick log.

A log in which another installation ticks must never be adopted: its ticks would become those of the clocks here. The
lease of the other installation is in its own Redis, and can't be read. Therefore the command looks for signs of it:
this Redis leads another log, a clock has another group or other topics in the log, or the log has a new tick.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from clocksvc.cli.console import print_json, show
from clocksvc.clock.log_owner import ADOPT, LogOwner, StoreMark, leading_logs, name_logs
from clocksvc.clock.log_record import ClockState, Message, Record, decode_message
from clocksvc.clock.log_state import LogState, read_log_state
from clocksvc.clock.logs import LOGS
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import StoreMismatch, UnreadableRecord
from clocksvc.interfaces.tick_log import TickLog, no_keep_alive

if TYPE_CHECKING:
    from clocksvc.settings import Settings

REDIS_BEFORE = "--redis-before"
TICK_LATE_MS = 5_000
"""How long after its interval the next tick of a leader that runs can be in the log: a lease of 3 s, and a commit."""
MAX_AGE_MS = 120_000
"""The longest wait for a next tick, for clocks with long intervals."""


def adopt_tick_log(settings: "Settings", redis_before: str | None, *, as_json: bool) -> int:
    """Mark the configured Redis for each log of the tick log that has an owner, and return the exit code 0.

    Nothing is marked unless all of these logs can be adopted. Blocks for as long as 16 logs take to read. The leaders
    go on within about 10 s, and write the new address to the tick log.

    Args:
        redis_before: the address of the Redis that was replaced, as the tick log names it. Then only its logs are
            adopted, and only a new tick is a sign of another installation. None for all logs.

    Raises:
        StoreMismatch: the tick log belongs to another prefix, Redis is marked with another id, or a log looks like that
            of another installation. Nothing has changed.
        StoreUnavailable, TickLogUnavailable: no answer.
    """
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.service import bootstrap

    installation, server = bootstrap.installation_of(settings), bootstrap.open_store_server(settings)
    time = SystemTime()
    states: dict[int, LogState] = {}
    for log in range(LOGS):
        ticklog = bootstrap.open_tick_log(settings, log, time)
        try:
            states[log] = _read_state(ticklog)
        finally:
            ticklog.close()
    owners = {log: state.owner for log, state in states.items() if state.owner is not None}
    if redis_before is not None:
        owners = {log: owner for log, owner in owners.items() if owner.installation.store == redis_before}
        if not owners:
            raise StoreMismatch(f"no log of {settings.tick_log.topic} belongs to the Redis {redis_before!r}")
    marks = {log: server.leases(log).read_mark() for log in range(LOGS)}
    adopted = {
        log: owner for log, owner in owners.items() if _must_adopt(log, owner, settings.redis.prefix, marks[log])
    }
    for log, owner in adopted.items():
        _check_age(log, states[log], time.now_ms())
        if redis_before is None:
            leads = leading_logs(marks, {log: state.owner for log, state in states.items()})
            _check_signs(log, states[log], owner, leads, settings.clock_specs())
    for log, owner in adopted.items():
        if not server.leases(log).adopt(StoreMark(bootstrap.new_id(), adopts=owner.store_id)):
            raise StoreMismatch(f"another process has marked this Redis for log {log} meanwhile: run the command again")
    before = sorted({owner.installation.store for owner in adopted.values()})
    if as_json:
        print_json({"logs": sorted(adopted), "redis": installation.store, "redis_before": before})
    elif adopted:
        show(f"{len(adopted)} logs of {settings.tick_log.topic}: led with {installation.store} from now on")
        show(f"before: {', '.join(before)}. Nothing may use that Redis with this tick log any more")
    else:
        show(
            f"{settings.tick_log.topic}: nothing to adopt, each log belongs to {installation.store} or to no Redis yet"
        )
    return 0


def _read_state(ticklog: TickLog) -> LogState:
    first, end = ticklog.stable_bounds(no_keep_alive)
    return read_log_state(first, end, lambda start, upto: ticklog.read(start, upto, no_keep_alive))


def _must_adopt(log: int, owner: LogOwner, prefix: str, mark: StoreMark | None) -> bool:
    """Return True if Redis has no mark of a log.

    Raises:
        StoreMismatch: the log can't be adopted.
    """
    if owner.installation.prefix != prefix:
        raise StoreMismatch(
            f"log {log} of the tick log belongs to redis.prefix {owner.installation.prefix!r}, not to {prefix!r}: set "
            "tick_log.topic to a topic of this installation alone"
        )
    if mark is not None and owner.store_id not in (mark.store_id, mark.adopts):
        raise StoreMismatch(
            f"this Redis has led log {log} before, and another Redis, {owner.installation.store}, has led it since: "
            "two installations use this tick log. Give each its own redis.prefix and tick_log.topic (runbook, "
            "ClocksvcStoreMismatch)"
        )
    return mark is None


def _check_age(log: int, state: LogState, now_ms: int) -> None:
    """Check that no clock of a log has a new tick. A leader that runs writes at least one for each interval.

    Raises:
        StoreMismatch: a clock has one.
    """
    for message in state.newest.values():
        record = _record(message)
        if record is None or record.state.last_emitted_ms is None:
            continue
        interval_ms = MAX_AGE_MS if record.tick is None else record.tick.interval_ms
        wait_ms = min(interval_ms + TICK_LATE_MS, MAX_AGE_MS)
        age_ms = now_ms - record.state.last_emitted_ms
        if age_ms < wait_ms:
            raise StoreMismatch(
                f"the newest tick of clock {record.clock!r} in log {log} of the tick log is {max(0, age_ms // 1000)} s "
                f"old: a leader with another Redis may still run. If it is another installation's, give this one its "
                "own redis.prefix and tick_log.topic. Otherwise stop everything that uses the old Redis, and run the "
                f"command again {wait_ms // 1000} s after the newest tick"
            )


def _check_signs(log: int, state: LogState, owner: LogOwner, leads: list[int], specs: Mapping[str, ClockSpec]) -> None:
    """Check that neither the store nor the clocks of a log show that the log is another installation's.

    Raises:
        StoreMismatch: they do.
    """
    signs = (
        [f"this Redis leads other logs of the tick log ({name_logs(leads)}), so it has replaced none"] if leads else []
    )
    for message in state.newest.values():
        record = _record(message)
        if record is not None and record.clock in specs:
            signs += _differences(specs[record.clock], record.state)
    if signs:
        before = owner.installation.store
        raise StoreMismatch(
            f"log {log} of the tick log looks like that of another installation, with the Redis {before}: "
            f"{'; '.join(signs)}. Give this installation its own redis.prefix and tick_log.topic (runbook, "
            "ClocksvcStoreMismatch). Only if that Redis was this installation's, and nothing uses it any more, run "
            f"{ADOPT} {REDIS_BEFORE} {before!r}"
        )


def _differences(spec: ClockSpec, state: ClockState) -> Iterator[str]:
    if state.group and state.group != spec.reporting_group:
        yield f"clock {spec.name!r} has the group {state.group!r} there, and {spec.reporting_group!r} here"
    if state.topics and set(state.topics) != set(spec.topics):
        there, here = ", ".join(sorted(state.topics)), ", ".join(sorted(spec.topics))
        yield f"clock {spec.name!r} has the topics {there} there, and {here} here"


def _record(message: Message) -> Record | None:
    """Return the record of a clock; None if this version can't read it."""
    with suppress(UnreadableRecord):
        return decode_message(message)
    return None
