"""`clocksvc schedules …`: reads, writes, imports and exports the schedules of a clock."""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from clocksvc.cli import schedules_import
from clocksvc.cli.console import (
    add_json,
    add_url,
    error_text,
    note,
    print_json,
    print_json_line,
    service_token,
    show,
    show_table,
)
from clocksvc.cli.progress import Progress
from clocksvc.client.schedule_values import StoredSchedule, WrittenSchedule
from clocksvc.client.schedules import Schedules
from clocksvc.errors import InvalidValue, ServiceUnavailable, UnknownSchedule

_HEAD = ("ID", "WHEN", "TASK", "STATE")
_MISSED_HEAD = ("ID", "FIRST DUE", "LAST DUE", "RUNS", "REASON", "TICK")
_WIDTHS_OF = 200
"""Columns are aligned over as many rows, so that a list begins at once."""
_TEXT_FIELDS = ("interval", "cron", "timezone", "task", "starts_at", "ends_at", "catch_up", "max_age")


class _Action(NamedTuple):
    """One of the commands behind `clocksvc schedules`."""

    purpose: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Schedules], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands and their arguments."""
    parser.description = "Read and write the schedules of a clock. See docs/schedules.md."
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    for name, action in _ACTIONS.items():
        subparser = actions.add_parser(name, help=action.purpose, description=f"{_sentence(action.purpose)}.")
        add_url(subparser)
        subparser.add_argument("clock", metavar="CLOCK")
        action.add_arguments(subparser)


def run(args: argparse.Namespace) -> int:
    """Run one of the commands, and return its exit code.

    Raises:
        InvalidValue: an argument is not valid. Nothing was sent.
        UnknownSchedule, PreconditionFailed, RequestRejected, UnknownClock: the service's answer. Nothing has changed.
        ServiceUnavailable: no answer within 30 s.
    """
    on_wait = _note_wait if sys.stderr.isatty() or not vars(args).get("json") else None
    with Schedules(args.url, args.clock, token=service_token(), on_wait=on_wait) as schedules:
        return _ACTIONS[args.action].run(args, schedules)


def _add_get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    add_json(parser, "the schedule, in one line that `import` accepts,")


def _get(args: argparse.Namespace, schedules: Schedules) -> int:
    found = schedules.get(args.id)
    if found is None:
        raise _unknown(args)
    if args.json:
        print_json({"id": found.id, **found.fields})
        return 0
    fields = {"id": found.id, **found.fields, "etag": found.etag}
    show_table([(name, value if isinstance(value, str) else json.dumps(value)) for name, value in fields.items()])
    return 0


def _add_put(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--interval", metavar="TIME", help="due once in this time, a multiple of the clock's interval")
    when.add_argument("--cron", metavar="FIELDS", help="such as '30 2 * * mon-fri', instead of --interval")
    parser.add_argument("--timezone", metavar="ZONE", help="of --cron, such as Europe/Berlin; default: UTC")
    parser.add_argument("--task", required=True, metavar="NAME", help="a namespace and a name, such as uptime.check")
    parser.add_argument("--payload", metavar="JSON", help="the value of due records; default: null")
    parser.add_argument("--starts-at", metavar="T", help="the first time at which it can be due, in RFC 3339")
    parser.add_argument("--ends-at", metavar="T", help="it is not due at this time or later")
    schedules_import.add_lateness(parser)
    parser.add_argument("--paused", action="store_true", help="it is not due until it is written without this option")
    condition = parser.add_mutually_exclusive_group()
    _add_if_match(condition)
    condition.add_argument("--if-absent", action="store_true", help="only if there is no schedule with this id")
    add_json(parser, "partition, offset and ETag")


def _put(args: argparse.Namespace, schedules: Schedules) -> int:
    fields = {name: getattr(args, name) for name in _TEXT_FIELDS if getattr(args, name) is not None}
    if args.payload is not None:
        fields["payload"] = _json("--payload", args.payload)
    if args.paused:
        fields["paused"] = True
    written = schedules.put(args.id, fields, if_match=args.if_match, if_absent=args.if_absent)
    _show_written(args, written, "written")
    return 0


def _add_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID")
    _add_if_match(parser)
    add_json(parser, "partition and offset")


def _add_if_match(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--if-match",
        metavar="ETAG",
        type=_etag,
        help="only if the present schedule has this ETag, see `get`; with its quotation marks or without",
    )


def _etag(text: str) -> str:
    """Return an ETag with quotation marks, which a shell removes. `*` and several ETags are not changed."""
    return text if '"' in text or text.strip() in ("", "*") else f'"{text.strip()}"'


def _delete(args: argparse.Namespace, schedules: Schedules) -> int:
    written = schedules.delete(args.id, if_match=args.if_match)
    if written is None:
        raise _unknown(args)
    _show_written(args, written, "deleted")
    return 0


def _show_written(args: argparse.Namespace, written: WrittenSchedule, what: str) -> None:
    if args.json:
        print_json({name: value for name, value in written._asdict().items() if value is not None})
        return
    etag = "" if written.etag is None else f", ETag {written.etag}"
    show(f"{args.clock}: {args.id} {what} (partition {written.partition}, offset {written.offset}{etag})")


def _add_prefix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", default="", metavar="TEXT", help="only ids that begin with this text")
    parser.add_argument("--after", metavar="ID", help="only ids after this one, in the order of ids")


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_prefix(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="the maximum number of schedules; default: all")
    add_json(parser, "each schedule, one a line,")


def _list(args: argparse.Namespace, schedules: Schedules) -> int:
    found = islice(schedules.list(args.prefix, after=args.after), args.limit)
    if args.json:
        for one in found:
            print_json({"id": one.id, **one.fields})
        return 0
    head: tuple[tuple[str, ...], ...] = (_HEAD,)
    while rows := [_row(one) for one in islice(found, _WIDTHS_OF)]:
        show_table([*head, *rows])
        head = ()
    if head:
        show(f"{args.clock}: no schedules" + (f" with the prefix {args.prefix}" if args.prefix else ""))
    return 0


def _row(one: StoredSchedule) -> tuple[str, ...]:
    fields = one.fields
    zone = f" ({fields['timezone']})" if "timezone" in fields else ""
    when = f"{fields['cron']}{zone}" if "cron" in fields else f"every {fields.get('interval')}"
    return one.id, when, str(fields.get("task")), "paused" if fields.get("paused") else "active"


def _export(args: argparse.Namespace, schedules: Schedules) -> int:
    with Progress(shown=not sys.stdout.isatty()) as progress:
        for number, line in enumerate(schedules.export(args.prefix, after=args.after), 1):
            print_json_line(line.decode())
            progress.show(f"{number:,} schedules exported")
    return 0


def _add_missed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="the maximum number of runs; default: 100")
    add_json(parser, "each run, one a line,")


def _missed(args: argparse.Namespace, schedules: Schedules) -> int:
    found = islice(schedules.missed(), args.limit)
    if args.json:
        for one in found:
            print_json(one._asdict())
        return 0
    rows = [tuple(map(str, one)) for one in found]
    if rows:
        show_table([_MISSED_HEAD, *rows])
    else:
        show(f"{args.clock}: no schedule has missed a run")
    return 0


def _note_wait(error: ServiceUnavailable, left_s: float) -> None:
    Progress().clear()
    note(f"clocksvc schedules: {error_text(error)}; trying again for up to {left_s:.0f} s")


def _json(field: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidValue(field, text, f"wanted JSON: {error}") from None


def _unknown(args: argparse.Namespace) -> UnknownSchedule:
    return UnknownSchedule(f"clock {args.clock!r} has no schedule {args.id!r}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


_ACTIONS = {
    "import": _Action(
        "write the schedules of a file with one JSON object a line, or of a crontab",
        schedules_import.add_arguments,
        schedules_import.run,
    ),
    "export": _Action("print schedules as JSON, one a line, which `import` accepts", _add_prefix, _export),
    "get": _Action("print one schedule", _add_get, _get),
    "put": _Action("create or replace one schedule", _add_put, _put),
    "delete": _Action("delete one schedule: it is not due at later ticks", _add_delete, _delete),
    "list": _Action("list schedules in the order of their ids", _add_list, _list),
    "missed": _Action("list the runs that schedules have missed, newest first", _add_missed, _missed),
}
