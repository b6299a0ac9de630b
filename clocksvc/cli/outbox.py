"""`clocksvc outbox`: relays the outbox of one clock from a database to the topic of the clock's schedules."""

import argparse
import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from clocksvc.cli.console import add_config, load_settings
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.outbox_metrics import RelayCollector, serve_metrics
from clocksvc.outbox.database import DatabaseChanges
from clocksvc.outbox.relay import Relay
from clocksvc.service import schedule_bootstrap
from clocksvc.service.log_format import FORMATS, LEVELS, setup_logging

logger = logging.getLogger("clocksvc.outbox")

DSN_VARIABLE = "CLOCKSVC_OUTBOX_DSN"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: configuration, clock, database, metrics and logging."""
    parser.description = (
        "Write the changes of schedules that a product has put into its outbox (docs/outbox.md) to the clock's topic, "
        "until SIGTERM or Ctrl-C. Safe to kill and to start again at any time. A second relay of the same clock takes "
        "over from the first one."
    )
    add_config(parser)
    parser.add_argument("--clock", required=True, metavar="CLOCK")
    parser.add_argument(
        "--dsn",
        metavar="URL",
        help="the database with the outbox's tables, as SQLAlchemy writes it: postgresql+psycopg://user@host/database "
        f"or sqlite:////path; default: {DSN_VARIABLE}, which other users of the machine can't read",
    )
    parser.add_argument("--dsn-file", metavar="FILE", help="a file that has the URL, instead of --dsn")
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="serve Prometheus metrics on this port; default: don't"
    )
    parser.add_argument(
        "--metrics-host", default="127.0.0.1", metavar="HOST", help="listen on this address; default: 127.0.0.1"
    )
    parser.add_argument("--log-format", choices=FORMATS, help="default: text on a terminal, else json")
    parser.add_argument("--log-level", choices=LEVELS, default="INFO", type=str.upper, help="default: INFO")


def run(args: argparse.Namespace) -> int:
    """Relay until SIGTERM or SIGINT, and return the exit code 0.

    Raises:
        InvalidValue: the database has no outbox, the clock has no schedules, or an argument is not valid.
        OutboxUnavailable: the database does not answer at the start. Later outages are logged.
    """
    settings, time = load_settings(args), SystemTime()
    interval_ms = settings.clock_spec(args.clock).interval_ms
    changes = DatabaseChanges(_dsn(args), args.clock, time)
    topic = schedule_bootstrap.open_outbox_topic(settings, args.clock, time)
    try:
        changes.check_tables()
        setup_logging(args.log_format, level=args.log_level)
        relay = Relay(args.clock, interval_ms, changes, topic, time)
        if args.metrics_port is not None:
            port = serve_metrics(RelayCollector(args.clock, relay), args.metrics_host, args.metrics_port)
            logger.info("metrics served", extra={"host": args.metrics_host, "port": port})
        stopping = _stop_on_signals()
        logger.info(
            "reading the outbox of clock %s in %s",
            args.clock,
            changes.name,
            extra={"clock": args.clock, "database": changes.name},
        )
        while not stopping.is_set():
            stopping.wait(relay.step())
        logger.info("ended")
    finally:
        topic.close()
        changes.close()
    return 0


def _dsn(args: argparse.Namespace) -> str:
    if args.dsn is not None and args.dsn_file is not None:
        raise InvalidValue("--dsn-file", args.dsn_file, "wanted either --dsn or --dsn-file")
    if args.dsn_file is not None:
        try:
            return Path(args.dsn_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValue("--dsn-file", args.dsn_file, f"wanted a file that can be read: {error}") from None
    dsn: str | None = args.dsn or os.environ.get(DSN_VARIABLE)
    if dsn is None:
        raise InvalidValue("--dsn", None, f"wanted the database's URL here, in --dsn-file or in {DSN_VARIABLE}")
    return dsn


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()

    for one in _SIGNALS:
        signal.signal(one, stop)
    return stopping
