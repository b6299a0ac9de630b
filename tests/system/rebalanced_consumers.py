"""Runs two processes of a user's consumer through rebalances, and judges the clock's ticks by their notes.

The program is an example in another language. It reports over HTTP. Before each record, it appends a line to its file
of notes, as `tests.system.evidence.read_notes` reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.process import Process
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import Note, TickWithOffset, broken_links, early_ticks, late_first_records, read_notes
from tests.waiting import eventually

PARTITIONS = 4
QUIET = 3
"""This partition gets heartbeats only."""
TICKS = 5
WITHIN_S = 60.0


@dataclass
class Run:
    """What was observed.

    Attributes:
        notes: of each process.
        outputs: of each process.
        exit_codes: of each process, after SIGTERM.
    """

    clock: ClockFixture
    ticks: list[TickWithOffset]
    notes: list[list[Note]]
    outputs: list[str]
    exit_codes: list[int]

    def judge(self, exit_code: int = 0) -> None:
        """No tick is early or missing; both processes had partitions; heartbeats are reported, and not handled."""
        everything = sorted((note for notes in self.notes for note in notes), key=lambda note: note.wall_ms)
        heartbeats = [note for note in everything if note.heartbeat]
        assert early_ticks(self.ticks, everything, PARTITIONS, 0) == []
        assert late_first_records(self.ticks, everything) == []
        assert broken_links(self.ticks, 1_000) == []
        assert len(self.ticks) >= 3 * TICKS
        assert all(self.notes)
        assert {note.partition for note in everything} == set(range(PARTITIONS))
        assert {note.partition for note in everything if not note.heartbeat} == set(range(PARTITIONS)) - {QUIET}
        handled = sum(output.count("handled ") for output in self.outputs)
        assert handled == len(everything) - len(heartbeats)
        assert self.exit_codes == [exit_code, exit_code]
        print(f"{len(self.ticks)} ticks, 0 early; {handled} records handled and {len(heartbeats)} heartbeats dropped")


Command = Callable[[ClockFixture, Path], Sequence[str | Path]]
"""Makes the command that starts a process, for a clock and a file of notes."""


def run_through_rebalances(folder: Path, bootstrap: str, redis_url: str, prefix: str, command: Command) -> Run:
    """The first process alone, both, then the first one alone again: five ticks each time."""
    clock = ClockFixture(prefix, "checkins", PARTITIONS)
    with running(folder, bootstrap, redis_url, prefix, clock) as installation, clock:
        installation.start_celery()
        clock.producer(*(number for number in range(PARTITIONS) if number != QUIET))
        files = [folder / f"{name}.notes" for name in ("first", "second")]
        processes: list[Process] = []
        exit_codes: list[int] = []

        def start(notes: Path) -> None:
            processes.append(Process(command(clock, notes), notes.with_suffix(".log")))

        def until_ticks() -> None:
            began_s = clock.time_s()
            clock.until_reached(began_s + TICKS)

        try:
            start(files[0])
            clock.until_running()
            until_ticks()
            start(files[1])
            eventually(lambda: read_notes(files[1:]), within=WITHIN_S, what="records for the second process")
            until_ticks()
            exit_codes.append(processes[1].end(within=WITHIN_S))
            until_ticks()
            exit_codes.append(processes[0].end(within=WITHIN_S))
        finally:
            for process in processes:
                process.kill()
        notes = [read_notes([file]) for file in files]
        return Run(clock, clock.log(), notes, [process.output() for process in processes], exit_codes)


def for_clock(program: str, clock: ClockFixture, addresses: Mapping[str, str]) -> str:
    """The program with the topic, the group and the addresses of a test, in place of those that it shows."""
    names = {"ingest-checkins": clock.topic, "checkins-consumer": clock.group, **addresses}
    for shown, own in names.items():
        assert shown in program
        program = program.replace(shown, own)
    return program


def with_notes(program: str, before: str, note: str) -> str:
    """The program with a line that writes a note, before the only line that has a text."""
    assert program.count(before) == 1
    return program.replace(before, f"{note}\n{before}")
