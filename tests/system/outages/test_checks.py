"""The checks of outages find each error that is planted in a clean run."""

from collections import Counter
from pathlib import Path

import pytest

from tests.system.evidence import LOGS, Note, TickWithOffset, partition_of, read_notes
from tests.system.outages.rounds.checks import Findings, check
from tests.system.outages.rounds.delays import amid_commits, stalls, takeovers
from tests.system.outages.rounds.goals import Goals, parse
from tests.system.outages.rounds.observed_clock import Plan
from tests.system.outages.rounds.report import ERRORS, describe, total
from tests.system.outages.rounds.sink import SINK_COUNTS
from tests.system.outages.rounds.supervised_installation import Fault

pytestmark = pytest.mark.core

BEGIN_S = 1_000
END_S = 1_010


def tick(at_s: int, previous_s: int | None = None) -> TickWithOffset:
    """A tick that was appended 100 ms after its time."""
    return TickWithOffset(at_s * 1000, (at_s - 1 if previous_s is None else previous_s) * 1000, at_s * 1000 + 100, {})


def note(partition: int, at_s: int, wall_ms: int | None = None) -> Note:
    """A record with a timestamp of a full second, processed 50 ms later."""
    return Note(partition, at_s, at_s * 1000, at_s * 1000 + 50 if wall_ms is None else wall_ms, False)


LOG = [tick(at_s) for at_s in range(BEGIN_S, END_S)]
STREAMED = list(range(BEGIN_S, END_S))
NOTES = sorted((note(number, at_s) for number in (0, 1) for at_s in STREAMED), key=lambda one: one.wall_ms)


def found_in(
    log: list[TickWithOffset] = LOG,
    streamed: list[int] = STREAMED,
    shown: list[int] = STREAMED,
    notes: list[Note] = NOTES,
) -> dict[str, int]:
    """The findings by kind, with their counts."""
    found: Findings = check(log, streamed, {"a": shown}, notes, 2)
    words = {word: len(getattr(found, word)) for word in ("lost", "twice", "early", "backwards")}
    return {word: count for word, count in words.items() if count}


def test_a_clean_run_is_clean() -> None:
    """A chain of ticks, each after its records, and shown as it is in the log."""
    assert found_in() == {}


@pytest.mark.parametrize(
    ("run", "found"),
    [
        ({"log": [*LOG[:4], *LOG[5:]]}, {"lost", "early"}),  # and what clients saw of it is not in the log
        ({"log": [*LOG[:5], LOG[4], *LOG[5:]]}, {"twice", "lost"}),
        ({"log": [*LOG[:4], tick(BEGIN_S + 4, BEGIN_S), *LOG[5:]]}, {"lost"}),
        ({"streamed": [*STREAMED[:4], *STREAMED[5:]]}, {"lost"}),
        ({"streamed": [*STREAMED[:5], *STREAMED[2:]]}, {"twice"}),
        ({"streamed": [*STREAMED[1:], STREAMED[0]]}, {"backwards"}),
        ({"streamed": [*STREAMED, END_S]}, {"early"}),
        ({"shown": [*STREAMED, STREAMED[-2]]}, {"backwards"}),
        ({"notes": [one for one in NOTES if one.partition == 0]}, {"early"}),
        ({"notes": [one for one in NOTES if (one.partition, one.offset) != (1, END_S - 1)]}, {"early"}),
        ({"notes": [*NOTES, note(1, BEGIN_S - 1, wall_ms=(END_S + 1) * 1000)]}, {"early"}),
    ],
    ids=[
        "lost in the log",
        "twice in the log",
        "a wrong previous",
        "lost on the stream",
        "twice on the stream",
        "back on the stream",
        "only on the stream",
        "back at a replica",
        "a partition never processed",
        "a partition processed too late",
        "a record after its tick",
    ],
)
def test_an_error_is_found(run: dict[str, list[TickWithOffset] | list[int] | list[Note]], found: set[str]) -> None:
    """One error in a clean run: the checks name its kind."""
    assert set(found_in(**run)) == found  # type: ignore[arg-type]


def test_an_incomplete_line_is_no_note(tmp_path: Path) -> None:
    """A consumer that is killed may leave an incomplete line; one that never wrote leaves no file."""
    file = tmp_path / "notes"
    file.write_text("1 2 3000 3050 0\n1 3 40")

    assert read_notes([file, tmp_path / "none"]) == [Note(1, 2, 3000, 3050, False)]


def test_a_stall_counts_from_its_fault() -> None:
    """The time before a fault does not count for it; a stall of two faults counts for both."""
    faults = [Fault("one", 11.5, 0), Fault("two", 12.5, 0), Fault("last", 99.0, 0)]

    assert stalls(faults, [10.0, 11.0, 17.0, 18.0]) == {"one": [5.5], "two": [4.5], "last": [float("inf")]}


def test_a_stall_without_a_server_counts_from_its_return() -> None:
    """A clock can't tick while the only broker is away. This is true for another fault at the same time, too."""
    faults = [Fault("kill-beat", 11.2, 0), Fault("kill-broker", 11.5, 0, server_back_at=15.0)]

    assert stalls(faults, [10.0, 11.0, 17.0, 18.0]) == {"kill-beat": [2.0], "kill-broker": [2.0]}


def test_a_takeover_is_measured_for_each_log_of_the_victim() -> None:
    """Until the next leader's first snapshot, by the broker's time; not for a log that waited for another fault."""
    snapshots = {1: [1_000, 6_300], 2: [900, 7_000], 3: [5_000]}
    kill = Fault("kill", 0, 3_500, frozenset({1, 2}))

    assert takeovers([kill], snapshots, "kill") == [{1: 2.8, 2: 3.5}]
    assert takeovers([kill, Fault("flush", 0, 6_500)], snapshots, "kill") == [{1: 2.8}]
    assert takeovers([kill], snapshots, "flush") == []
    assert takeovers([Fault("kill", 0, 3_500)], snapshots, "kill") == []


def test_a_broker_is_killed_amid_a_commit() -> None:
    """A tick was written shortly before."""
    log = [tick(at_s) for at_s in (1, 2, 3, 7, 8)]

    assert amid_commits([Fault("kill", 0, 3_200), Fault("kill", 0, 3_500)], log, "kill", 250) == 1


@pytest.mark.parametrize("clocks", [1, 16, 39])
def test_clocks_are_distributed_over_all_logs(clocks: int) -> None:
    """As evenly as possible; one clock has the name of its plan."""
    names = list(Plan("crowd", 4, 1, clocks=clocks).names())
    used = Counter(partition_of(name) for name in names)

    assert len(set(names)) == clocks
    assert len(used) == min(clocks, LOGS)
    assert max(used.values()) == -(-clocks // LOGS)


def test_the_numbers_of_slices_are_added() -> None:
    """Counts are summed, and delays are put together."""
    one = {"faults": {"flush": 2}, "stalled": {"flush": [1.0]}, "takeover": {"kill-leader": [[3.0, 3.5]]}, "clocks": 40}
    one |= dict.fromkeys(("ticks", "streamed", "records", "stuck", "amid_commits", *ERRORS, *SINK_COUNTS), 1)

    lines = list(describe(total([one, {**one, "stalled": {"flush": [4.0]}}])))

    assert "flush                        4       2.5 s       4.0 s" in lines
    assert "kill-leader: a log led again, 4 times: p50 3.2 s, longest 3.5 s" in lines
    assert "kill-leader: all logs of the replica, 2 times: p50 3.5 s, longest 3.5 s" in lines
    assert lines[-2] == "lost 2, twice 2, early 2, backwards 2, stuck 2"
    assert "sinks: in topics 2, with an effect 2, " in lines[-1]


def test_goals_name_what_is_left() -> None:
    """Groups count all their kinds; an unknown name is an error."""
    goals = Goals({"kill-leader": (None, 1), "kill-beat": (None, 1), "flush": (None, 1)}, parse("kill=3,flush=1"))
    goals.seen.update({"kill-leader": 1, "kill-beat": 1, "flush": 1})

    assert goals.left() == {"kill": 1}
    with pytest.raises(ValueError, match="'fluhs' is no kind of fault here"):
        Goals({"flush": (None, 1)}, {"fluhs": 1})
