"""`clocksvc tail`: prints each tick of a clock when it is published (`clocksvc.client.ticks`)."""

import argparse
import logging

from clocksvc.cli.console import add_json, add_url, error_text, note, print_json, service_token, show
from clocksvc.client.ticks import ticks
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import ClocksvcError, CursorTooOld, RequestRejected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock, cursor and output format."""
    parser.description = (
        "Print every tick of a clock when it is published, once and in order, until Ctrl-C. The command reconnects by "
        "itself, and reports lost connections on stderr."
    )
    add_url(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument(
        "--after", metavar="T", help="begin with the tick after T (RFC 3339 or epoch seconds); default: the next tick"
    )
    add_json(parser, "each tick, one a line,")


def run(args: argparse.Namespace) -> int:
    """Print ticks. Returns only when the stream ends; Ctrl-C raises KeyboardInterrupt."""
    check_clock_name("CLOCK", args.clock)
    after = None if args.after is None else to_rfc3339(parse_timestamp("--after", args.after))
    logger = logging.getLogger("clocksvc.ticks")
    logger.setLevel(logging.INFO)
    notes = _StreamNotes()
    logger.addHandler(notes)
    try:
        for tick in ticks(args.url, args.clock, after=after, token=service_token()):
            if args.json:
                print_json(tick.to_wire())
            else:
                show(_as_text(tick))
    except CursorTooOld as error:
        raise RequestRejected(_too_old(error)) from error
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


def _too_old(error: CursorTooOld) -> str:
    begin = "0" if error.oldest_previous_ms is None else to_rfc3339(error.oldest_previous_ms)
    return (
        f"some ticks after {to_rfc3339(error.cursor_ms)} are no longer stored. The oldest stored tick is "
        f"{to_rfc3339(error.oldest_ms)}. To begin with this tick, use --after {begin}"
    )
