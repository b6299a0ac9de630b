"""The check of the demo's jobs, and the file that it reads."""

import json
from pathlib import Path

import pytest

from clocksvc.dev.demo.delivery_checks import (
    Due,
    DueSequence,
    Job,
    JobSequence,
    StoredRecords,
    TickSequence,
    waiting_nights,
)
from clocksvc.dev.demo.demo import failure_reason

pytestmark = pytest.mark.core


def job(kind: str, due_s: int, tick_s: int | None = None, name: str | None = None) -> Job:
    """A task with its own id."""
    return Job(kind, name or f"{kind} {due_s}", due_s * 1000, (due_s if tick_s is None else tick_s) * 1000, None)


def line(kind: str, due: str) -> str:
    """A line as a task writes it."""
    note = {"kind": kind, "id": f"{kind} {due}", "due": due, "tick": due, "sent_ms": 7 if kind == "nightly" else None}
    return json.dumps(note) + "\n"


@pytest.mark.parametrize(
    ("came", "trouble"),
    [
        ([job("nightly", 10), job("tick", 10), job("tick", 15), job("tick", 20), job("nightly", 20)], None),
        ([job("nightly", 10), job("nightly", 10), job("nightly", 20)], None),
        ([job("nightly", 10), job("nightly", 30)], "nightly task for 30000 came where 20000 was due"),
        ([job("nightly", 20), job("nightly", 10)], "nightly task for 10000 came where 30000 was due"),
        ([job("nightly", 10), job("nightly", 10, name="another")], "nightly task for 10000 came where 20000 was due"),
        ([job("tick", 5), job("tick", 15)], "tick task for 15000 came where 10000 was due"),
        ([job("nightly", 10, tick_s=5)], "nightly task for 10000 came early, with tick 5000"),
    ],
    ids=["all well", "again under its id", "lost", "back", "twice", "a tick lost", "early"],
)
def test_jobs_come_each_once_in_order_and_not_early(came: list[Job], trouble: str | None) -> None:
    """Each kind is checked separately; a problem fails the run."""
    jobs = JobSequence(Path("nowhere"))
    for one in came:
        jobs.add(one)

    assert jobs.problems == ([] if trouble is None else [trouble])
    said = failure_reason(TickSequence(5_000), jobs, by_itself=False)
    assert said == (None if trouble is None else f"jobs were missing, repeated or out of order: {trouble}")


def due(schedule: str, due_s: int, tick_s: int | None = None) -> Due:
    """A due record."""
    return Due(schedule, f"{schedule} {due_s}", due_s * 1000, (due_s if tick_s is None else tick_s) * 1000)


@pytest.mark.parametrize(
    ("came", "trouble"),
    [
        ([due("monitor-1", 5), due("monitor-2", 5), due("monitor-1", 10), due("monitor-2", 15)], None),
        ([due("monitor-1", 5), due("monitor-1", 15)], "schedule monitor-1 came for 15000 where 10000 was due"),
        ([due("report", 60), due("report", 60)], "schedule report came for 60000 where 120000 was due"),
        ([due("report", 60, tick_s=55)], "schedule report for 60000 came early, with tick 55000"),
        ([due("acme:home", 60), due("acme:home", 300), due("acme:work", 90)], None),
        ([due("acme:home", 60, tick_s=55)], "schedule acme:home for 60000 came early, with tick 55000"),
    ],
    ids=["all well", "lost", "twice", "early", "of the user", "of the user, early"],
)
def test_due_records_come_each_once_in_order_and_not_early(came: list[Due], trouble: str | None) -> None:
    """Each schedule is checked separately; a problem fails the run."""
    found = DueSequence()
    for one in came:
        found.add(one)

    assert found.problems == ([] if trouble is None else [trouble])
    assert (found.count, found.last) == (len(came), came[-1])
    said = failure_reason(TickSequence(5_000), JobSequence(Path("nowhere")), False, found)
    assert said == (None if trouble is None else f"due records were missing, repeated or out of order: {trouble}")


def test_a_due_record_is_shown_once_with_its_tick() -> None:
    """Or with the next tick that is shown."""
    found = DueSequence()
    first, second = due("monitor-1", 5), due("monitor-1", 10)
    found.add(first)
    found.add(second)

    assert [found.take(tick_ms) for tick_ms in (4_999, 5_000, 5_000, 15_000)] == [[], [first], [], [second]]


def test_notes_are_read_as_they_grow(tmp_path: Path) -> None:
    """An incomplete line is read once it is complete; a job is returned once, after its tick."""
    notes = tmp_path / "notes"
    jobs = JobSequence(notes)
    jobs.read_new()
    first, second = line("nightly", "1970-01-01T00:00:10Z"), line("tick", "1970-01-01T00:00:10Z")
    notes.write_text(first + second[:20])
    jobs.read_new()
    assert jobs.counts == {"nightly": 1, "tick": 0}

    notes.write_text(first + second)
    jobs.read_new()
    assert jobs.counts == {"nightly": 1, "tick": 1}
    assert jobs.last_night_ms == 10_000
    assert [jobs.take_nightly(tick_ms) for tick_ms in (9_999, 10_000, 20_000)] == [
        [],
        [Job("nightly", "nightly 1970-01-01T00:00:10Z", 10_000, 10_000, 7)],
        [],
    ]


def test_nights_wait_from_their_time_until_their_tick() -> None:
    """Jobs due by the wall clock and not yet by the clock are listed."""
    assert [waiting_nights(15_000, now_ms) for now_ms in (19_999, 20_000, 41_000)] == [
        [],
        [20_000],
        [20_000, 30_000, 40_000],
    ]


def test_records_before_a_tick_of_the_second_stage_are_stored() -> None:
    """A record counts once its timestamp is known, and until it is stored. A problem fails the run."""
    stored = StoredRecords()
    for number, at_ms in enumerate((4_000, 4_999, 5_000, None)):
        stored.expect(number)
        if at_ms is not None:
            stored.delivered(number, at_ms)
    stored.store(0)
    stored.store(0)
    stored.store(1)
    stored.delivered(1, 4_999)
    stored.check(5_000)
    assert (stored.count, stored.problems) == (2, [])

    stored.check(10_000)

    early = "1 records before tick 10000 are not stored, such as 2"
    assert stored.problems == [early]
    said = failure_reason(TickSequence(5_000), JobSequence(Path("nowhere")), False, second_stage=stored.problems)
    assert said == f"ticks of the second stage were missing, repeated, out of order or early: {early}"
