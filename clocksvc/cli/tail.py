"""`clocksvc tail`: prints each tick of a clock when it is published, or runs a command for it."""

import argparse
import logging
from pathlib import Path

from clocksvc.cli.console import add_json, add_url, error_text, note, print_json, service_token, show
from clocksvc.cli.tick_command import CommandTemplate, PositionFile, Terminated, TickCommand, attempts
from clocksvc.client.ticks import ticks
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import ClocksvcError, CursorTooOld, InvalidValue, RequestRejected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock, cursor, output format, and the command for each tick."""
    parser.description = (
        "Print every tick of a clock when it is published, once and in order, until Ctrl-C. The command reconnects by "
        "itself, and reports lost connections on stderr. With --exec, ticks are not printed: a command runs for each "
        "of them, one after another, and no tick is skipped. SIGTERM is passed to the running command and ends tail "
        "with exit code 0. Exit code 1: an error, or the command failed in its last attempt."
    )
    add_url(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument(
        "--after", metavar="T", help="begin with the tick after T (RFC 3339 or epoch seconds); default: the next tick"
    )
    add_json(parser, "each tick, one a line,")
    parser.add_argument(
        "--exec",
        metavar="COMMAND",
        help="run this command for each tick, without a shell; {clock}, {time}, {timestamp_seconds}, {previous} (empty "
        "for a clock's first tick) and {emitted_at} in its arguments are replaced",
    )
    parser.add_argument(
        "--position",
        metavar="FILE",
        help="store the last tick for which COMMAND exited with code 0, and resume after it at the next start; "
        "--after is used only while there is no such file",
    )
    parser.add_argument(
        "--attempts",
        metavar="N",
        default="5",
        help="how often COMMAND is run for a tick until it exits with code 0, with delays of 1 s to 60 s; default: 5",
    )


def run(args: argparse.Namespace) -> int:
    """Print ticks, or run a command for each. Returns 0 after SIGTERM with `--exec`; Ctrl-C raises KeyboardInterrupt.

    Raises:
        RequestRejected: ticks after the cursor are no longer stored.
        CommandFailed: the command failed for a tick.
    """
    check_clock_name("CLOCK", args.clock)
    after = None if args.after is None else to_rfc3339(parse_timestamp("--after", args.after))
    if args.exec is None:
        if args.position is not None:
            raise InvalidValue("--position", args.position, "wanted with --exec, whose progress it stores")
        return _follow(args, after, None)
    template, count = CommandTemplate(args.exec), attempts(args.attempts)
    position = None if args.position is None else PositionFile(Path(args.position), args.clock)
    stored_ms = None if position is None else position.read()
    try:
        command = TickCommand(template, position, count, stored=stored_ms is not None)
        return _follow(args, after if stored_ms is None else to_rfc3339(stored_ms), command)
    except Terminated:
        return 0


def _follow(args: argparse.Namespace, after: str | None, command: TickCommand | None) -> int:
    logger = logging.getLogger("clocksvc.ticks")
    logger.setLevel(logging.INFO)
    notes = _StreamNotes()
    logger.addHandler(notes)
    try:
        for tick in ticks(args.url, args.clock, after=after, token=service_token()):
            if command is not None:
                command.run(tick)
            elif args.json:
                print_json(tick.to_wire())
            else:
                show(_as_text(tick))
    except CursorTooOld as error:
        raise RequestRejected(_too_old(error, args.position)) from error
    finally:
        logger.removeHandler(notes)
    return 0


class _StreamNotes(logging.Handler):
    """Prints to stderr when the stream is lost or connected again. Prints equal errors in a row only once."""

    _printed = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:
            self._printed = ""
            note("clocksvc tail: connected again")
            return
        message = record.getMessage()
        for error in record.args if isinstance(record.args, tuple) else ():
            if isinstance(error, ClocksvcError):
                message = message.replace(str(error), error_text(error))
        if message != self._printed:
            self._printed = message
            note(f"clocksvc tail: {message}; reconnecting")


def _as_text(tick: Tick) -> str:
    took_s = (tick.emitted_at_ms - tick.at_ms) / 1000
    excluded = f", without {', '.join(str(partition) for partition in tick.excluded)}" if tick.excluded else ""
    return f"{to_rfc3339(tick.emitted_at_ms)}  tick {to_rfc3339(tick.at_ms)}  {took_s:.1f} s after it{excluded}"


def _too_old(error: CursorTooOld, position: str | None) -> str:
    begin = "0" if error.oldest_previous_ms is None else to_rfc3339(error.oldest_previous_ms)
    remove = "" if position is None else f"remove {position} and "
    return (
        f"some ticks after {to_rfc3339(error.cursor_ms)} are no longer stored. The oldest stored tick is "
        f"{to_rfc3339(error.oldest_ms)}. To begin with this tick, {remove}use --after {begin}"
    )
