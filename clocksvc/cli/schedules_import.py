"""`clocksvc schedules import`: writes the schedules of a file, and reports each line that was not written."""

import argparse
import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, NamedTuple

from clocksvc.cli.console import add_json, error_text, note, print_json, show
from clocksvc.cli.progress import Progress
from clocksvc.client.schedule_values import Item, ScheduleResult
from clocksvc.client.schedules import Schedules
from clocksvc.errors import ClocksvcError, InvalidValue, MissingValue, Unavailable
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.schedules.cron import parse_timezone
from clocksvc.schedules.crontab import ID_SUFFIX_LENGTH, read_crontab

WRITTEN, FAILED = 0, 1
_STDIN = "-"
_SEPARATORS = "._:-"
_SHOWN_IDS = 10


class _Line(NamedTuple):
    """A schedule of the file, and where it is."""

    number: int
    item: Item


def add_lateness(parser: argparse.ArgumentParser) -> None:
    """Add the options for due times that were missed."""
    parser.add_argument(
        "--catch-up", choices=("all", "last"), help="which of several missed due times are sent; default: all"
    )
    parser.add_argument("--max-age", metavar="TIME", help="a due time longer ago than this is not sent")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: file, crontab with its options, and output format."""
    parser.description = (
        "Write the schedules of FILE: one JSON object a line, as `export` prints them; or with --crontab, those of a "
        "crontab. The same file can be imported again. Each schedule is replaced as a whole, also one that was paused "
        "or changed by hand. Lines that were not written are reported on stderr with their numbers, and all others are "
        "written. Exit code 0: all are written. 1: some are not, or an error."
    )
    parser.add_argument("file", metavar="FILE", nargs="?", help="`-` reads stdin")
    add_json(parser, "the outcome of each schedule, one a line,")
    crontab = parser.add_argument_group("crontab")
    crontab.add_argument("--crontab", metavar="FILE", help="a crontab, instead of FILE; `-` reads stdin")
    crontab.add_argument(
        "--timezone", metavar="ZONE", help="the time zone in which cron runs it, such as Europe/Berlin"
    )
    crontab.add_argument("--task", metavar="NAME", help="the task of all its schedules, such as jobs.run")
    crontab.add_argument(
        "--prefix", metavar="TEXT", help="the beginning of all ids; each crontab needs another one, such as billing:"
    )
    crontab.add_argument("--user-field", action="store_true", help="the sixth field is a user, as in /etc/crontab")
    add_lateness(crontab)  # type: ignore[arg-type]
    crontab.add_argument(
        "--prune",
        action="store_true",
        help="delete the schedules with the prefix that are not in the crontab, if all lines were written",
    )
    crontab.add_argument(
        "--dry-run",
        action="store_true",
        help="print the schedules as JSON, and write nothing. With --prune: print on stderr what it would delete",
    )


def run(args: argparse.Namespace, schedules: Schedules) -> int:
    """Write the schedules, and return 0 if all lines were written, otherwise 1.

    Raises:
        InvalidValue: the arguments or the file are not valid. Nothing was written.
        Unavailable, RequestRejected, UnknownClock: the import ended early. The number of the last line that was written
            is on stderr.
    """
    if (args.file is None) == (args.crontab is None):
        wanted = "wanted either a file of JSON lines, or --crontab"
        raise MissingValue("FILE", wanted) if args.file is None else InvalidValue("FILE", args.file, wanted)
    run = _Import(args)
    with _open(args.file or args.crontab) as file:
        lines = run.read_json(file) if args.crontab is None else run.read_crontab(file)
        if args.dry_run:
            run.show(lines)
        else:
            run.write(schedules, lines)
    if args.prune:
        run.prune(schedules)
    run.show_summary()
    return FAILED if run.failed else WRITTEN


class _Import:
    """One import: its counts, and what is printed about lines.

    Attributes:
        failed: how many lines were not written.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._name = "stdin" if _STDIN in (args.file, args.crontab) else args.file or args.crontab
        self._written, self._deleted, self._last_line = 0, 0, 0
        self._numbers: dict[int, int] = {}
        self._ids: set[str] = set()
        self._progress = Progress()
        self.failed = 0
        if args.crontab is None:
            for option in ("timezone", "task", "prefix", "user_field", "prune", "dry_run", "catch_up", "max_age"):
                if getattr(args, option):
                    raise ClocksvcError(f"--{option.replace('_', '-')} is an option of --crontab, which is missing")
            return
        for option in ("timezone", "task", "prefix"):
            if not getattr(args, option):
                raise MissingValue(f"--{option}", "wanted with --crontab")
        if args.prefix[-1] not in _SEPARATORS:
            wanted = "wanted one of . _ : - at the end, so that --prune can't delete the schedules of another prefix"
            raise InvalidValue("--prefix", args.prefix, wanted)
        parse_id(args.prefix + "0" * ID_SUFFIX_LENGTH)
        try:
            parse_timezone(args.timezone)
        except InvalidValue as error:
            raise InvalidValue("--timezone", args.timezone, error.wanted) from None

    def read_json(self, file: BinaryIO) -> Iterator[_Line]:
        """Yield the schedules of a file of JSON lines. Empty lines are passed over, wrong ones are reported.

        Raises:
            InvalidValue: the first line is no JSON object, so that the file probably has another format.
        """
        is_first = True
        for number, line in enumerate(file, 1):
            text = line.removeprefix(BOM_UTF8).strip()
            if not text:
                continue
            if is_first and not text.startswith(b"{"):
                wanted = "wanted one JSON object a line, but its first line is none; import a crontab with --crontab"
                raise InvalidValue("FILE", self._name, wanted)
            is_first = False
            try:
                found = json.loads(text)
            except ValueError as error:
                self._report(number, InvalidValue("line", text.decode(errors="replace")[:60], f"{error}"))
                continue
            if not (isinstance(found, dict) and isinstance(found.get("id"), str)):
                wanted = "wanted a JSON object with an id"
                self._report(number, InvalidValue("line", text.decode(errors="replace")[:60], wanted))
                continue
            yield _Line(number, (found["id"], text))

    def read_crontab(self, file: BinaryIO) -> Iterator[_Line]:
        """Yield the schedules of a crontab, one or two a line. Wrong lines are reported."""
        args = self._args
        fields = {"task": args.task, "catch_up": args.catch_up, "max_age": args.max_age}
        for line in read_crontab(
            (text.decode(errors="replace") for text in file),
            prefix=args.prefix,
            timezone=args.timezone,
            fields={name: value for name, value in fields.items() if value is not None},
            has_user=args.user_field,
        ):
            if line.error is not None:
                self.failed += line.unwritten
                self._report(line.number, line.error)
            for item in line.schedules:
                self._ids.add(item[0])
                yield _Line(line.number, item)

    def write(self, schedules: Schedules, lines: Iterator[_Line]) -> None:
        """Write schedules, and print what `--json` wants, the progress, and failures."""
        with self._progress:
            try:
                schedules.put_many(self._items(lines), self._note)
            except ClocksvcError as error:
                self._progress.clear()
                if self._last_line or isinstance(error, Unavailable):
                    until = (
                        f"lines up to {self._last_line:,} are written"
                        if self._last_line
                        else "no line is known to be written"
                    )
                    note(f"clocksvc schedules: {until}, others may be. It is safe to import all again")
                raise

    def show(self, lines: Iterator[_Line]) -> None:
        """Print schedules as JSON, and write nothing."""
        for line in lines:
            schedule_id, fields = line.item
            print_json({"id": schedule_id, **fields})  # type: ignore[dict-item]
            self._written += 1

    def prune(self, schedules: Schedules) -> None:
        """Delete the schedules with the prefix that were not in the crontab; none if a line has failed.

        A dry run only prints on stderr how many it would delete, and the first ids.
        """
        dry_run = self._args.dry_run
        if self.failed or not self._ids:
            failed = f"some lines {'would not be' if dry_run else 'were not'} written"
            reason = failed if self.failed else "the crontab has no schedules"
            note(f"clocksvc schedules: nothing {'would be' if dry_run else 'is'} deleted, because {reason}")
            return
        gone = [one.id for one in schedules.list(self._args.prefix) if one.id not in self._ids]
        if not dry_run:
            self._deleted = schedules.put_many((schedule_id, None) for schedule_id in gone)
            return
        self._deleted = len(gone)
        if gone:
            first = "first ids " if len(gone) > _SHOWN_IDS else ""
            note(f"clocksvc schedules: would delete {len(gone):,}: {first}{', '.join(gone[:_SHOWN_IDS])}")

    def show_summary(self) -> None:
        """Print the counts, unless `--json` is given. Those of a dry run are on stderr, because stdout is JSON."""
        args = self._args
        would = "would be " if args.dry_run else ""
        deleted = f", {self._deleted:,} {would}deleted" if args.prune else ""
        failed = f", {self.failed:,} lines failed" if self.failed else ""
        text = f"{args.clock}: {self._written:,} schedules {would}written{deleted}{failed}"
        if args.dry_run:
            note(f"{text}; a dry run changes nothing")
        elif not args.json:
            show(text)

    def _items(self, lines: Iterator[_Line]) -> Iterator[Item]:
        for position, line in enumerate(lines):
            self._numbers[position] = line.number
            yield line.item

    def _note(self, result: ScheduleResult) -> None:
        number = self._numbers.pop(result.position)
        if result.error is not None:
            self._report(number, result.error, result.id)
            return
        self._written += 1
        self._last_line = number
        if self._args.json and result.written is not None:
            print_json({"line": number, **result.written._asdict()})
        self._progress.show(f"{self._written:,} schedules written, {self.failed:,} lines failed")

    def _report(self, number: int, error: ClocksvcError, schedule_id: str | None = None) -> None:
        self.failed += 1
        if self._args.json:
            print_json({"line": number, "id": schedule_id, "error": str(error)})
            return
        self._progress.clear()
        note(f"{self._name}:{number}: {error_text(error)}")


@contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    if name == _STDIN:
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(name, "rb"))
        except OSError as error:
            raise InvalidValue("FILE", name, f"can't be read: {error.strerror}") from None
        yield file
