"""All mistakes at once: an installation with a clock for each, their consumers, and what is seen of each clock."""

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from clocksvc.dev.child_server import free_ports
from tests.process import Process, module
from tests.system.evidence import (
    Note,
    TickWithOffset,
    broken_links,
    by_time,
    early_ticks,
    read_notes,
    read_tick_log,
)
from tests.system.installation import Installation, create_topic, wall_ms
from tests.system.mistakes.catalogue import MISTAKES, RIGHT, Mistake, Place
from tests.system.mistakes.consumer import Options
from tests.waiting import eventually

PARTITIONS = 3

PageText = Callable[[str], str]
"""Gives the text that the page shows of a clock."""


@dataclass
class Seen:
    """What is seen of one mistake.

    Attributes:
        texts: what each place shows.
        ticks: the number of ticks in the tick log.
        false_ticks: the ticks that the records processed by the clock's group, in its topics, do not permit; and breaks
            of the chain.
        records: the number of records that its consumers processed.
    """

    mistake: Mistake
    cause: str
    texts: dict[Place, str] = field(default_factory=dict)
    ticks: int = 0
    false_ticks: list[str] = field(default_factory=list)
    records: int = 0

    def missing(self) -> list[Place]:
        """The places that do not name the cause."""
        places = sorted(self.mistake.places & self.texts.keys())
        return [place for place in places if not self.names_cause(self.texts[place])]

    def names_cause(self, text: str) -> bool:
        """True if a text names the cause."""
        return re.search(self.cause, text, re.IGNORECASE | re.DOTALL) is not None


class Laboratory:
    """A running installation with these mistakes.

    Attributes:
        mistakes: one for each clock.
    """

    def __init__(self, installation: Installation, mistakes: Sequence[Mistake], spare_port: int) -> None:
        self.installation, self.mistakes = installation, mistakes
        self._spare_port = spare_port
        self._consumers: dict[str, list[Process]] = {}
        self._notes: dict[tuple[str, str, str], list[Path]] = defaultdict(list)

    # -- names --------------------------------------------------------------------------------------------------------

    def topic(self, mistake: Mistake) -> str:
        """The topic of a clock."""
        return f"{self.installation.prefix}-{clock_of(mistake)}"

    def group(self, mistake: Mistake) -> str:
        """The group of a clock."""
        return f"{self.topic(mistake)}-group"

    def words(self, mistake: Mistake) -> dict[str, str]:
        """The values of the placeholders in a mistake's texts."""
        redis = self.installation.redis_url.rstrip("/")
        redis = redis.removesuffix("/0")
        return {
            "topic": self.topic(mistake),
            "group": self.group(mistake),
            "other_clock": clock_of(RIGHT),
            "other_topic": self.topic(RIGHT),
            "url": self.installation.url,
            "redis": redis,
            "redis_as_http": redis.replace("redis://", "http://"),
            "prefix": self.installation.prefix,
            "port": str(self._spare_port),
        }

    # -- processes ----------------------------------------------------------------------------------------------------

    def start_consumers(self) -> None:
        """Start the consumers of all clocks, each a process with its own output."""
        for mistake in self.mistakes:
            words = self.words(mistake)
            self._consumers[mistake.name] = [
                self._start_consumer(mistake, number, filled(changes, words))
                for number, changes in enumerate(mistake.consumers)
            ]

    def _start_consumer(self, mistake: Mistake, number: int, changes: Mapping[str, Any]) -> Process:
        notes = self.installation.folder / f"{mistake.name}.{number}.notes"
        options = Options(
            **{
                "bootstrap": self.installation.bootstrap,
                "topic": self.topic(mistake),
                "group": self.group(mistake),
                "url": self.installation.report_url,
                "clock": clock_of(mistake),
                "report_group": self.group(mistake),
                "notes": str(notes),
                **changes,
            }
        )
        self._notes[(mistake.name, options.topic, options.group)].append(notes)
        log = self.installation.folder / f"{mistake.name}.{number}.log"
        return Process(module("tests.system.mistakes.consumer", options.to_json()), log)

    def operate(self) -> None:
        """Do what the operators of the mistakes do, once the clocks are led."""
        for mistake in self.mistakes:
            for step in mistake.steps:
                action, *rest = step.format_map(self.words(mistake)).split()
                self.installation.command(action, clock_of(mistake), *rest, "--reason", "a test of an operator")

    def end_consumers(self) -> None:
        """SIGTERM to all consumers. No mistake may end one before, except a wrong argument of a call."""
        wrong_calls = {mistake.name for mistake in self.mistakes if mistake.raises}
        for name, started in self._consumers.items():
            for process in started:
                if name not in wrong_calls:
                    process.check_alive()
                    assert process.end() == 0, process.output()

    def kill_consumers(self) -> None:
        """SIGKILL what is left of them."""
        for started in self._consumers.values():
            for process in started:
                process.kill()

    # -- what is seen -------------------------------------------------------------------------------------------------

    def look(self, page_text: PageText | None) -> dict[str, Seen]:
        """What each place shows now, by the name of the mistake. Without `page_text` the page is left out."""
        checked = self.installation.run("check", "--json").stdout
        return {mistake.name: self._look_at(mistake, checked, page_text) for mistake in self.mistakes}

    def _look_at(self, mistake: Mistake, checked: str, page_text: PageText | None) -> Seen:
        words = {name: re.escape(text) for name, text in self.words(mistake).items()}
        seen = Seen(mistake, with_words(mistake.cause, words))
        seen.texts[Place.LOG] = "\n".join(process.output() for process in self._consumers[mistake.name])
        # Below that line are all partitions of the clock, also those that are not the cause.
        seen.texts[Place.STATUS] = self._command("status", clock_of(mistake)).partition("\nBEHIND is ")[0]
        seen.texts[Place.CHECK] = "\n".join(lines_about(checked, clock_of(mistake)))
        if page_text is not None:
            seen.texts[Place.PAGE] = page_text(clock_of(mistake))
        return seen

    def judge(self, seen: Mapping[str, Seen]) -> None:
        """Add the evidence: the ticks of the tick log, and those that the processed records do not permit."""
        for mistake in self.mistakes:
            one, ticks = seen[mistake.name], self._log(mistake)
            one.ticks = len(ticks)
            one.records = sum(
                len(read_notes(files)) for (name, _, _), files in self._notes.items() if name == mistake.name
            )
            one.false_ticks = early_ticks(ticks, *self._group_notes(mistake), slack_ms=0) + broken_links(ticks)

    def ticks(self, mistake: Mistake) -> int:
        """The number of ticks of a clock."""
        return len(self._log(mistake))

    def empty_causes(self, seen: Mapping[str, Seen]) -> list[str]:
        """The causes that also match what is seen of the clock without a mistake: they would prove nothing."""
        healthy, own = seen[RIGHT.name].texts, self.topic(RIGHT)
        return [
            f"{name}: {place}"
            for name, one in seen.items()
            if name != RIGHT.name
            for place in sorted(one.mistake.places & healthy.keys())
            if one.names_cause(healthy[place].replace(own, self.topic(one.mistake)))
        ]

    def _log(self, mistake: Mistake) -> list[TickWithOffset]:
        return read_tick_log(self.installation.bootstrap, self.installation.tick_log, clock_of(mistake))

    def _group_notes(self, mistake: Mistake) -> tuple[list[Note], int]:
        """What the clock's group processed of the partitions that count, numbered over all topics; and their number."""
        words = self.words(mistake)
        settings = filled(dict(mistake.clock), words)
        topics, group = settings.get("topics", [self.topic(mistake)]), settings.get("group", self.group(mistake))
        spared = {with_words(step.split()[-1], words) for step in mistake.steps if step.startswith("exclude")}
        counted = [(topic, number) for topic in topics for number in range(PARTITIONS)]
        index = {each: at for at, each in enumerate(one for one in counted if f"{one[0]}:{one[1]}" not in spared)}
        notes = [
            note._replace(partition=index[topic, note.partition])
            for topic in topics
            for note in read_notes(self._notes[(mistake.name, topic, group)])
            if (topic, note.partition) in index
        ]
        return by_time(notes), len(index)

    def _command(self, *arguments: str) -> str:
        """The output of a command, which may find problems."""
        done = self.installation.run(*arguments, COLUMNS="200")
        return done.stdout + done.stderr


def clock_of(mistake: Mistake) -> str:
    """The name of a mistake's clock."""
    return f"c{MISTAKES.index(mistake)}"


def with_words(text: str, words: Mapping[str, str]) -> str:
    """A text with its placeholders replaced. Other braces stay."""
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A value with the placeholders of all its texts replaced."""
    if isinstance(value, str):
        return with_words(value, words)
    if isinstance(value, Mapping):
        return {key: filled(one, words) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, words) for one in value]
    return value


def lines_about(checked: str, clock: str) -> Iterator[str]:
    """The findings of `clocksvc check --json` that are about a clock, with what to do. For people, equal ones are one
    line, which has only the first clocks."""
    for finding in json.loads(checked)["findings"]:
        if finding["clock"] == clock:
            yield f"{finding['level']} {finding['part']}: {finding['text']}"
            yield f"→ {finding['to_do'] or ''}"


class Records:
    """Writes a record into each produced partition, and heartbeats into the others, each half second."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the end of the thread."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        producer = Producer({"bootstrap.servers": self._laboratory.installation.bootstrap, "linger.ms": 5})
        while not self._stop.wait(0.5):
            for mistake in self._laboratory.mistakes:
                topic = self._laboratory.topic(mistake)
                for partition in range(PARTITIONS):
                    if partition in mistake.produced:
                        producer.produce(topic, b"record", partition=partition, timestamp=wall_ms())
                    elif mistake.heartbeats:
                        headers: Any = {"clocksvc-heartbeat": b"1"}
                        producer.produce(topic, b"", partition=partition, timestamp=wall_ms(), headers=headers)
            producer.flush(10)


@contextmanager
def running(
    folder: Path, bootstrap: str, redis_url: str, prefix: str, mistakes: Sequence[Mistake]
) -> Iterator[Laboratory]:
    """An installation in which all mistakes are made; operators have done their steps."""
    (spare_port,) = free_ports(1)
    with Installation(folder, bootstrap, redis_url, prefix, {}) as installation:
        laboratory = Laboratory(installation, mistakes, spare_port)
        for mistake in mistakes:
            create_topic(bootstrap, laboratory.topic(mistake), PARTITIONS)
        installation.configure(
            clocks={
                clock_of(mistake): {
                    "topics": [laboratory.topic(mistake)],
                    "group": laboratory.group(mistake),
                    "interval": "1s",
                    "hold_after": "3s",
                    "heartbeat": {"every": "1s"},
                    **filled(dict(mistake.clock), laboratory.words(mistake)),
                }
                for mistake in mistakes
            }
        )
        installation.start_replica(wait=False)
        eventually(lambda: _is_ready(installation), within=60, what="the service to be ready")
        eventually(
            lambda: all(state["leader"] for state in installation.states()), within=60, what="leaders of all clocks"
        )
        laboratory.operate()
        records = Records(laboratory)
        try:
            laboratory.start_consumers()
            yield laboratory
        finally:
            records.close()
            laboratory.kill_consumers()


def _is_ready(installation: Installation) -> bool:
    installation.check_alive()
    return installation.is_ready()
