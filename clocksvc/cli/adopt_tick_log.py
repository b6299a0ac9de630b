"""`clocksvc init --adopt-tick-log`: confirms that an empty Redis has replaced the one that led the tick log."""

from typing import TYPE_CHECKING

from clocksvc.cli.console import print_json, show
from clocksvc.clock.log_owner import LogOwner, StoreMark
from clocksvc.clock.log_state import read_log_state
from clocksvc.clock.logs import LOGS
from clocksvc.errors import StoreMismatch

if TYPE_CHECKING:
    from clocksvc.interfaces.leases import Leases
    from clocksvc.interfaces.tick_log import TickLog
    from clocksvc.settings import Settings


def adopt_tick_log(settings: "Settings", *, as_json: bool) -> int:
    """Mark the configured Redis for each log of the tick log that has an owner, and return the exit code 0.

    Nothing is marked unless all of these logs can be adopted. Blocks for as long as 16 logs take to read. The leaders
    go on within about 10 s, and write the new address to the tick log.

    Raises:
        StoreMismatch: the tick log belongs to another prefix, or Redis is marked with another id. Nothing has changed.
        StoreUnavailable, TickLogUnavailable: no answer.
    """
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.service import bootstrap

    installation, server = bootstrap.installation_of(settings), bootstrap.open_store_server(settings)
    adopted: dict[int, LogOwner] = {}
    for log in range(LOGS):
        ticklog = bootstrap.open_tick_log(settings, log, SystemTime())
        try:
            owner = _read_owner(ticklog)
        finally:
            ticklog.close()
        if owner is not None and _must_adopt(log, owner, settings.redis.prefix, server.leases(log)):
            adopted[log] = owner
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


def _read_owner(ticklog: "TickLog") -> LogOwner | None:
    first, end = ticklog.stable_bounds(_no_keep_alive)
    return read_log_state(first, end, lambda start, upto: ticklog.read(start, upto, _no_keep_alive)).owner


def _must_adopt(log: int, owner: LogOwner, prefix: str, leases: "Leases") -> bool:
    """Return True if Redis has no mark of a log.

    Raises:
        StoreMismatch: the log can't be adopted.
    """
    if owner.installation.prefix != prefix:
        raise StoreMismatch(
            f"log {log} of the tick log belongs to redis.prefix {owner.installation.prefix!r}, not to {prefix!r}: set "
            "tick_log.topic to a topic of this installation alone"
        )
    mark = leases.read_mark()
    if mark is not None and owner.store_id not in (mark.store_id, mark.adopts):
        raise StoreMismatch(
            f"this Redis has led log {log} before, and another Redis, {owner.installation.store}, has led it since: "
            "two installations use this tick log. Give each its own redis.prefix and tick_log.topic (runbook, "
            "ClocksvcStoreMismatch)"
        )
    return mark is None


def _no_keep_alive() -> None:
    return None
