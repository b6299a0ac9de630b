"""`make mistakes`: all mistakes for a minute, with the page in Chromium; a table of what a person sees of each."""

import argparse
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.mistakes.catalogue import INVALID, MISTAKES, Place
from tests.system.mistakes.invalid import commands_without_cause
from tests.system.mistakes.laboratory import Laboratory, PageText, Seen, running
from tests.system.ops.page.browser import launched, opened
from tests.system.ops.programs import program


def main(argv: Sequence[str] | None = None) -> int:
    """0 if no mistake made a false tick, and each place names each cause."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.mistakes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the mistakes are made before one looks")
    parser.add_argument("--only", nargs="*", help="names of mistakes")
    parser.add_argument("--texts", type=Path, help="a folder for all that was seen")
    arguments = parser.parse_args(argv)
    chosen = [mistake for mistake in MISTAKES if not arguments.only or mistake.name in (*arguments.only, "right")]
    prefix = f"mistakes-{uuid.uuid4().hex[:8]}"
    with (
        tempfile.TemporaryDirectory(prefix="clocksvc-mistakes-") as folder,
        KafkaServer() as kafka,
        ValkeyServer() as valkey,
    ):
        with running(Path(folder), kafka.bootstrap, valkey.url, prefix, chosen) as laboratory:
            time.sleep(arguments.seconds)
            with _page(laboratory) as page_text:
                seen = laboratory.look(page_text)
            laboratory.end_consumers()
            laboratory.judge(seen)
            empty = laboratory.empty_causes(seen)
        places = (kafka.bootstrap, valkey.url, f"{prefix}-invalid")
        refused = {} if arguments.only else commands_without_cause(Path(folder), *places)
    if arguments.texts:
        _write_texts(arguments.texts, seen)
    return _report(seen, refused, empty)


@contextmanager
def _page(laboratory: Laboratory) -> Iterator[PageText]:
    """The page of the service in Chromium."""
    with launched(program("chromium")) as browser:

        def text(clock: str) -> str:
            with opened(browser, f"{laboratory.installation.url}/#{clock}") as shown:
                shown.page.locator("#ClockName", has_text=re.compile(f"^{clock}$")).wait_for()
                return shown.page.locator("#State").inner_text()

        yield text


def _write_texts(folder: Path, seen: Mapping[str, Seen]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in seen.items():
        parts = [f"=== {place}\n{text[-6_000:]}" for place, text in one.texts.items()]
        (folder / f"{name}.txt").write_text("\n\n".join([f"{one.mistake.what}: {one.cause}", *parts]) + "\n")


def _report(seen: Mapping[str, Seen], refused: Mapping[str, list[str]], empty: Sequence[str]) -> int:
    marks = {True: "yes", False: "NO"}
    for name, one in seen.items():
        missing = one.missing()
        places = [f"{place}: {marks[place not in missing]}" for place in Place if place in one.mistake.places]
        wrong = f"  FALSE TICKS: {one.false_ticks[:3]}" if one.false_ticks else ""
        silent = "  NO TICK" if one.mistake.ticks and not one.ticks else ""
        print(f"{name:<28} {one.ticks:>3} ticks {one.records:>5} records  {', '.join(places)}{wrong}{silent}")
    for name, commands in refused.items():
        named = f"NOT named by {', '.join(commands)}" if commands else "named by check and serve"
        print(f"{name:<40} {named}")
    false_ticks = sum(len(one.false_ticks) for one in seen.values())
    silent_places = sum(len(one.missing()) for one in seen.values()) + sum(map(len, refused.values()))
    stopped = sum(one.mistake.ticks and not one.ticks for one in seen.values())
    print(
        f"{len(seen)} clocks and {len(refused)} of {len(INVALID)} invalid configurations: {false_ticks} false ticks "
        f"among {sum(one.ticks for one in seen.values())}, {sum(one.records for one in seen.values())} records; "
        f"{silent_places} places do not name the cause; {stopped} clocks did not tick though they should"
    )
    if empty:
        print(f"these causes also match the clock without a mistake: {', '.join(empty)}")
    return 1 if false_ticks or silent_places or stopped or empty else 0


if __name__ == "__main__":
    sys.exit(main())
