"""`clocksvc init`: sets where a clock begins. The clock's leader does it; if there is none, this process leads until it
is done. `--adopt-tick-log` is in adopt_tick_log.py."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clocksvc.cli.adopt_tick_log import REDIS_BEFORE, adopt_tick_log
from clocksvc.cli.console import add_config, add_json, load_settings, note, print_json, show
from clocksvc.clock.boundary import next_boundary
from clocksvc.clock.first_tick import FIELD as REQUEST_FIELD
from clocksvc.clock.first_tick import check_first_tick
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.logs import log_of
from clocksvc.clock.request import RequestKind, ResultKind
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.time_format import describe_duration, parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue, OutcomeUnknown, RequestNotDone, StoreUnavailable

if TYPE_CHECKING:
    from clocksvc.interfaces.store import Store
    from clocksvc.settings import Settings

FIELD = "--last-tick"
_EXPIRES_MS = 60_000
"""How long a leader can execute the request. A new leader may need several seconds before it reads the request."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: the configuration file, the clock, the last tick and the output format."""
    parser.description = (
        "Set the last tick of a clock that has not ticked yet, or of a clock that holds with ticklog_truncated. The "
        "clock's next tick is the boundary after it. Until that tick, the command can be repeated with another time. "
        "With --skip-ticks, a clock with ticks continues after a later time, and the boundaries in between are never "
        "emitted. The clock's leader commits it to the tick log. If no leader knows the clock, this command leads it "
        "until that is done. With --adopt-tick-log instead of a clock, confirm that this installation's Redis was "
        "replaced by an empty one at another address."
    )
    parser.set_defaults(usage_error=parser.error)
    add_config(parser)
    parser.add_argument("clock", metavar="CLOCK", nargs="?")
    parser.add_argument(
        FIELD,
        metavar="T",
        help="a boundary of the clock, not in the future: RFC 3339 or epoch seconds. Everything before it counts as "
        "processed",
    )
    parser.add_argument(
        "--skip-ticks",
        action="store_true",
        help="continue a clock with ticks after T, which is later than its last tick, for example to end a wrong "
        "catch-up. Subscribers that have not reached T get a reset, and tasks in between are not sent",
    )
    parser.add_argument(
        "--adopt-tick-log",
        action="store_true",
        help="this installation's Redis was replaced by an empty one: lead the tick log with it. Stop everything that "
        "uses the old Redis first. Rejected if a log looks like that of another installation: this Redis leads "
        "other logs, a clock has another group or other topics there, or the newest tick is new",
    )
    parser.add_argument(
        REDIS_BEFORE,
        metavar="ADDRESS",
        help="with --adopt-tick-log: adopt only the logs of this Redis, as the error names it, although they look like "
        "those of another installation",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why; one line, which is written to the tick log")
    add_json(parser, "what was written")


def run(args: argparse.Namespace) -> int:
    """Send the request to the leader, print the next tick, and return the exit code 0. Blocks for 65 s at most.

    With --adopt-tick-log: see `adopt_tick_log`.

    Raises:
        InvalidValue: the time is not valid, or the leader rejects it. Nothing has changed.
        RequestNotDone: no leader executed the request. Nothing has changed.
        OutcomeUnknown: a leader may have executed the request.
        StoreUnavailable: the store does not answer. Nothing has changed.
    """
    from clocksvc.interfaces.time import SystemTime
    from clocksvc.service import bootstrap

    if args.adopt_tick_log:
        if args.clock is not None or args.last_tick is not None:
            args.usage_error(f"--adopt-tick-log is for all clocks: wanted neither CLOCK nor {FIELD}")
        return adopt_tick_log(load_settings(args), args.redis_before, as_json=args.json)
    if args.redis_before is not None:
        args.usage_error(f"{REDIS_BEFORE} is for --adopt-tick-log")
    if args.clock is None or args.last_tick is None:
        args.usage_error(f"wanted CLOCK and {FIELD}, or --adopt-tick-log")
    last_tick_ms = parse_timestamp(FIELD, args.last_tick)
    settings = load_settings(args)
    spec = settings.clock_spec(args.clock)
    store = bootstrap.open_store(settings, spec)
    now_ms = min(SystemTime().now_ms(), store.now_ms())
    _check(spec, now_ms, last_tick_ms)
    _note_due_ticks(spec, now_ms, last_tick_ms)
    with _led(settings, spec.name):
        skipped = _send(store, spec.name, last_tick_ms, args)
    last, first = to_rfc3339(last_tick_ms), to_rfc3339(next_boundary(last_tick_ms, spec.interval_ms))
    if args.json:
        print_json({"clock": spec.name, "last_tick": last, "next_tick": first, "skipped": skipped or None})
    else:
        show(f"{spec.name}: begins after {last}; the next tick is {first}")
        if skipped:
            show(f"{spec.name}: skipped {skipped} which are never emitted; subscribers before {last} get a reset")
    return 0


def _note_due_ticks(spec: ClockSpec, now_ms: int, last_tick_ms: int) -> None:
    """Print how many ticks follow at once if the clock begins in the past."""
    due = (now_ms - last_tick_ms) // spec.interval_ms
    if due > 1:
        note(
            f"{spec.name}: {to_rfc3339(last_tick_ms)} is {describe_duration(now_ms - last_tick_ms)} in the past: "
            f"{due:,} ticks follow at once when every partition has reached them. If that is wrong, run "
            f"`clocksvc pause {spec.name}` at once: until the next tick, init can be repeated with another time"
        )


def _check(spec: ClockSpec, now_ms: int, last_tick_ms: int) -> None:
    """Check what needs no leader."""
    with _named_as_argument():
        check_first_tick(spec, ClockState(), None, now_ms, last_tick_ms, truncated=False)


@contextmanager
def _named_as_argument() -> Iterator[None]:
    """Name the argument, and not the request's field, in an InvalidValue."""
    try:
        yield
    except InvalidValue as error:
        if error.field != REQUEST_FIELD:
            raise
        raise InvalidValue(FIELD, error.value, error.wanted) from None


@contextmanager
def _led(settings: "Settings", clock: str) -> Iterator[None]:
    """Lead the clock's log in this process if no leader knows the clock. Release the lease at the end.

    A leader that does not know the clock hands the log over about 10 s after this process has announced itself.
    """
    from clocksvc.leader.context import NoObserver
    from clocksvc.service import bootstrap

    lease = bootstrap.open_store_server(settings).leases(log_of(clock)).read_lease()
    if lease.holder is None:
        note(f"no process leads clock {clock!r}: leading it until the request is done")
    elif all(clock in one.digests for one in lease.announcements if one.replica == lease.holder):
        yield
        return
    else:
        note(
            f"{lease.holder.partition(' ')[0]} leads the log of clock {clock!r} and does not know this clock: waiting "
            "about 10 s until it hands the log over, and leading it until the request is done"
        )
    with bootstrap.leading(settings, clock, NoObserver()):
        yield


def _send(store: "Store", clock: str, last_tick_ms: int, args: argparse.Namespace) -> str:
    """Send the request, and return what it has skipped, or ""."""
    from clocksvc.service.bootstrap import holder_name
    from clocksvc.service.request_sender import make_request, send_request

    request = make_request(
        *(store, RequestKind.INIT, holder_name(), args.reason or "clocksvc init"),
        expires_ms=_EXPIRES_MS,
        last_tick_ms=last_tick_ms,
        skip_ticks=args.skip_ticks,
    )
    try:
        result = send_request(store, request)
    except RequestNotDone as error:
        raise RequestNotDone(f"{error}{_hold(store)}; nothing has changed, and it is safe to try again") from error
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            f"the leader of clock {clock!r} did not answer{_hold(store)}, so the outcome is not known. It is safe to "
            "run the command again"
        ) from error
    if result.kind is ResultKind.REJECTED:
        with _named_as_argument():
            raise InvalidValue(result.field, result.value, result.wanted)
    if result.kind is ResultKind.NOT_DONE:
        raise RequestNotDone(f"{result.detail}; nothing has changed")
    return result.detail


def _hold(store: "Store") -> str:
    """Return the clock's hold as text, because it is often the reason why a leader does not answer."""
    from clocksvc.service.clock_view import published_hold

    try:
        hold = published_hold(store.snapshot().leader_status)
    except StoreUnavailable:
        return ""
    return "" if hold is None else f" (the clock holds, {hold.reason}: {hold.detail})"
