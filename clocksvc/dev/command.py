"""`clocksvc dev`: parses arguments, runs the demo (`dev.demo`) and returns an exit code."""

import argparse
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from clocksvc.clock.time_format import parse_duration
from clocksvc.interfaces.time import SystemTime

if TYPE_CHECKING:
    from clocksvc.dev.demo.display import Display, Frame
    from clocksvc.dev.demo.installation import DemoInstallation

_DEFAULT_RATE = 20.0
_HIGHEST_RATE = 10_000.0
_DEFAULT_PORT = 8080
_LAST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: rate, duration, port, and running servers to use instead of child processes."""
    parser.description = (
        "Run a complete clocksvc on this machine, with a live view: a real Kafka and Valkey as child processes, the "
        "service, a scheduler, a Celery worker and two beats, producers and consumers, and a second consumer group "
        "whose clock is computed from its commits. No server has to be installed. At the end, all data is removed."
    )
    parser.add_argument(
        "--rate", type=_rate, default=_DEFAULT_RATE, metavar="N", help=f"records a second; default: {_DEFAULT_RATE:g}"
    )
    parser.add_argument(
        "--for",
        dest="lasts_s",
        type=_seconds,
        metavar="TIME",
        help="stop after this time, such as 40s; exit code 0 if ticks came in order",
    )
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help=f"the service's port; default: {_DEFAULT_PORT} or the next free one",
    )
    parser.add_argument(
        "--kafka",
        default=os.environ.get("KAFKA_BOOTSTRAP") or None,
        metavar="ADDRESS",
        help="use a running Kafka (HOST:PORT); default: KAFKA_BOOTSTRAP, else a child process",
    )
    parser.add_argument(
        "--redis",
        default=os.environ.get("REDIS_URL") or None,
        metavar="URL",
        help="use a running Redis (redis://HOST:PORT/DB); default: REDIS_URL, else a Valkey as a child process",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo until it ends or a signal arrives.

    Returns:
        The exit code: 1 if ticks or jobs were wrong or a part failed, else 0.
    """
    from clocksvc.dev.demo.display import open_display
    from clocksvc.dev.demo.processes import Interrupted

    ended = _ended_by_signals()
    display = open_display()
    display.progress("a complete clocksvc on this machine; the first start takes longest. Ctrl-C stops everything")
    from clocksvc.dev.demo.installation import DemoInstallation

    installation = DemoInstallation(args.kafka, args.redis, args.port, args.rate, display.progress)
    succeeded = False
    try:
        succeeded = _play(installation, display, ended, args.lasts_s)
    except Interrupted:
        succeeded = True
        display.progress("stopped before every part had started")
    finally:
        display.end()
        keep_logs = installation.started and not succeeded
        installation.end(keep_logs)
        display.progress(
            f"logs are in {installation.folder}" if keep_logs else "everything stopped and removed. Goodbye"
        )
    return 0 if succeeded else 1


def _play(installation: "DemoInstallation", display: "Display", ended: threading.Event, lasts_s: float | None) -> bool:
    """True if each tick and each job came exactly once and in order."""
    from clocksvc.dev.demo.demo import Demo, failure_reason

    installation.start(ended)
    display.begin(_frame(installation))
    demo = Demo(installation, display)
    try:
        demo.play(ended, lasts_s)
    finally:
        display.end()
        display.progress(f"{demo.summary()}; stopping …")
    second_stage = installation.second_stage.problems
    problem = failure_reason(demo.tick_sequence, demo.jobs, not ended.is_set(), demo.due, second_stage)
    if problem is not None:
        display.progress(problem)
    return problem is None


def _frame(installation: "DemoInstallation") -> "Frame":
    from clocksvc.dev.demo.demo_config import CLOCK, INTERVAL_S
    from clocksvc.dev.demo.display import SOON, Frame

    config, program = installation.config, _program()
    at = "" if config.port == _DEFAULT_PORT else f" --url {config.url}"
    return Frame(
        header=("clocksvc dev", *installation.addresses(), config.url, "/docs", "Ctrl-C ends all"),
        question=(
            "Question: has everything before T been processed?",
            f'clock "{CLOCK}", a tick every {INTERVAL_S} s, UTC',
        ),
        hints=(
            f"curl -N 127.0.0.1:{config.port}/v1/clocks/{CLOCK}/ticks/stream",
            f"{program} status{at}",
            f"{program} wait {CLOCK} --until {SOON}{at}",
            *([f"{program} schedules list {CLOCK}{at}"] if config.has_schedules else []),
        ),
        at_ms=SystemTime().now_ms(),
    )


def _program() -> str:
    """Return the command that the user can type: `clocksvc` if the shell finds it, else a relative path."""
    if shutil.which("clocksvc"):
        return "clocksvc"
    path = Path(sys.argv[0])
    return (
        os.path.relpath(path) if path.name == "clocksvc" else f"{os.path.relpath(sys.executable)} -m clocksvc.cli.main"
    )


def _ended_by_signals() -> threading.Event:
    """Return an event that the first SIGINT or SIGTERM sets.

    A second signal ends this process immediately. The guards then end the child processes.
    """
    ended = threading.Event()

    def end(number: int, _: object) -> None:
        ended.set()
        signal.signal(number, signal.SIG_DFL)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, end)
    return ended


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= _HIGHEST_RATE:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: wanted records a second, up to {_HIGHEST_RATE:g}")
    return rate


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: {error}") from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid: wanted 1 to {_LAST_PORT}")
    return int(text)
