"""The state of a partition of schedules, and a snapshot of its figures."""

from dataclasses import dataclass
from enum import Enum


class PartitionState(Enum):
    """How far a partition is in one replica.

    LOADING until it was read to its end; LOADED: a standby that follows it; OWNER: it appends what is due.
    """

    LOADING = "loading"
    LOADED = "loaded"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class PartitionStats:
    """The figures of one partition in one replica at one moment. Counters begin with the object.

    Attributes:
        records: the number of records that were read from the topic of schedules.
        offset, end: the offset that is read next, and the end when it was last requested. While the partition is
            loaded, `end - offset` is the largest number of records left.
        schedules: the number of schedules, with those that are paused or have ended.
        unreadable: the number of records that are no valid schedules, at most 100. They are not in the table.
        position_ms: the tick up to which everything was sent; None for a standby, and before the clock's first tick.
        ticks: the number of ticks that were handled.
        due_last_tick, due: the number of due records of the last tick that had any, and of all ticks.
        due_per_minute: the number of due records for a minute of the clock, at its last ticks (`RecentDue`); None for a
            standby, and until it is known.
        missed: the number of records of missed runs. One can be of several due times of a schedule.
        decide_s, produce_s, commit_s: the seconds that the last ticks with due records took: to read the partition to
            its end and to decide what is due, until all records were acknowledged, and until the commit was confirmed.
        terms: how many times this replica became the owner.
        fenced: how many times another owner has fenced this one.
        problem: why the partition does not work at present; None if there is no known problem.
    """

    state: PartitionState = PartitionState.LOADING
    records: int = 0
    offset: int = 0
    end: int = 0
    schedules: int = 0
    unreadable: int = 0
    position_ms: int | None = None
    ticks: int = 0
    due_last_tick: int = 0
    due: int = 0
    due_per_minute: float | None = None
    missed: int = 0
    decide_s: float = 0.0
    produce_s: float = 0.0
    commit_s: float = 0.0
    terms: int = 0
    fenced: int = 0
    problem: str | None = None
