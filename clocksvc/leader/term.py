"""The state of a leader during one term. A term ends when the leader loses or releases the lease, or after an error of
the tick log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clocksvc.clock.due_ticks import pace_window_s
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.log_owner import LogOwner
from clocksvc.clock.log_record import ClockState, LogEntry, Message, Record, encode_message, encode_ticks
from clocksvc.clock.log_state import LogState
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.progress import ClockParameters
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import KeepAlive, TickLog
from clocksvc.interfaces.topics import TimestampType
from clocksvc.runtime.backoff import CLOCK_RETRY


@dataclass(slots=True)
class Trouble:
    """An error of one clock, which is left out of the rounds for a while. It survives the term.

    Attributes:
        hold: the hold while the clock has the error; None without an error.
        retry_at: monotonic time at which the clock is tried again.
        failures: the number of consecutive errors.
        rejected: True if the brokers rejected a record of the clock. Its records are then committed in a transaction of
            their own until one is accepted.
    """

    hold: Hold | None = None
    retry_at: float = float("-inf")
    failures: int = 0
    rejected: bool = False

    def fail(self, hold: Hold, now: float, *, rejected: bool = False) -> None:
        """Note an error."""
        self.failures += 1
        self.hold, self.retry_at = hold, now + CLOCK_RETRY.delay_s(self.failures)
        self.rejected = self.rejected or rejected

    def end(self, *, committed: bool) -> None:
        """Note a success. If records were rejected, only a commit of records is a success."""
        if committed or not self.rejected:
            self.hold, self.failures, self.rejected = None, 0, False


@dataclass(frozen=True, slots=True)
class NamedHold:
    """A hold with the names of the partitions that lag.

    Attributes:
        reason: the reason before the partitions were read; they can give another one.
        at: monotonic time at which they were read.
    """

    reason: Reason | str
    hold: Hold
    at: float


@dataclass(slots=True)
class ClockTerm:
    """One clock during a term.

    Attributes:
        digest: the digest of the leader's configuration of the clock.
        state: the clock's state in its last committed record.
        parameters: the clock's parameters, as they were written to the store; None before that.
        roster: the roster, as it was written to the store.
        undescribed: the topics that Kafka did not describe in the last metadata, with the reason.
        without_id: the topics without an id in the last metadata, if the clock requires topic ids.
        generation: the roster's generation in the store.
        prepared: True if parameters, roster and stream in the store agree with the log. Cleared to prepare them again.
        truncated: the hold of a clock whose tick log has lost ticks. Only `clocksvc init` ends it. It is committed as a
            part of the state.
        trouble: the errors of this clock alone.
        unreadable: the hold of a clock whose last record this version can't read.
        metadata_at: monotonic time at which the last metadata request began.
        metadata_wanted_ms: `unknown_seen_ms` of the store at the last metadata request. A larger value there makes a
            new request due.
        types_at: the term's `types_at` with which `parameters` were last compared.
        cluster_id: the id of the Kafka cluster for which the store was claimed.
        create_time_seen: True if `parameters` take into account that consumers have reported CreateTime records.
        idle_since: monotonic time of the clock's last tick in this term; before its first tick, of the term's begin.
        was_blocked: True if the last evaluation found a hold that no report can end. The time until the next tick is
            then no latency.
        announced: True while the clock catches up, once it was published how many ticks are due.
        paced_at: monotonic time up to which the clock's `catch_up_pace` is used up.
        named: the hold whose partitions were read last, while it lasts.
        committed_request_ids: requests that are done, but whose results may not be written yet: those in the record
            with which this term began, and those that this term has committed.
    """

    spec: ClockSpec
    store: Store
    digest: str
    state: ClockState
    idle_since: float
    trouble: Trouble
    parameters: ClockParameters | None = None
    roster: Roster = field(default_factory=lambda: Roster({}))
    undescribed: Mapping[str, str] = field(default_factory=dict)
    without_id: tuple[str, ...] = ()
    generation: int = 0
    prepared: bool = False
    truncated: Hold | None = None
    unreadable: Hold | None = None
    metadata_at: float = float("-inf")
    metadata_wanted_ms: int = 0
    types_at: float = float("-inf")
    cluster_id: str = ""
    create_time_seen: bool = False
    was_blocked: bool = False
    announced: bool = False
    paced_at: float = float("-inf")
    named: NamedHold | None = None
    committed_request_ids: frozenset[str] = frozenset()

    def use_pace(self, ticks: int, now: float) -> None:
        """Note that ticks were emitted at a monotonic time."""
        pace = self.spec.catch_up_pace
        if pace is not None:
            self.paced_at = max(self.paced_at, now - pace_window_s(pace)) + ticks / pace


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction changes of one clock: a control record, or consecutive ticks.

    Attributes:
        state: the state after all of the messages.
        ticks: the ticks in the messages.
        request_ids: the requests that the messages execute.
    """

    clock: str
    messages: Sequence[Message]
    state: ClockState
    ticks: Sequence[Tick] = ()
    request_ids: frozenset[str] = frozenset()

    @classmethod
    def of_record(cls, record: Record) -> "Change":
        """Return the change that a control record makes."""
        return cls(record.clock, (encode_message(record),), record.state, request_ids=record.request_ids)

    @classmethod
    def of_ticks(cls, ticks: Sequence[Tick], before: ClockState) -> "Change":
        """Return the change that ticks make, at least one, after a state."""
        state = before.after(ticks[-1])
        return cls(ticks[0].clock, encode_ticks(ticks, state), state, ticks)


@dataclass(slots=True)
class Term:
    """A term of a log's leader.

    Attributes:
        token: the lease's token.
        end: the end of the log, where the next transaction must begin.
        log: the state of the log up to `end`.
        clocks: the configured clocks of the log, by name.
        snapshots: the trouble of a log whose snapshots are rejected. It survives the term.
        owner: the owner that this term has written to the log.
        cluster_id: the id of the Kafka cluster; "" before the first metadata.
        types: the timestamp types of the topics.
        types_at: monotonic time at which they were last read.
        ready_before: `ready_ms` of each replica in the first round of the term; None before it.
        read_at: monotonic time before the last round's reading, which renewed the lease.
        went_back_at: monotonic time at which a round last found that the store had gone back to an older state.
        writing: True while a transaction is not confirmed. If an error ends it, the writer must not be used again.
    """

    token: str
    end: int
    log: LogState
    clocks: dict[str, ClockTerm]
    snapshots: Trouble
    owner: LogOwner
    cluster_id: str = ""
    types: Mapping[str, TimestampType] = field(default_factory=dict)
    types_at: float = float("-inf")
    ready_before: Mapping[str, int | None] | None = None
    read_at: float = float("-inf")
    went_back_at: float = float("-inf")
    writing: bool = False

    def commit(self, ticklog: TickLog, changes: Sequence[Change], keep_alive: KeepAlive) -> None:
        """Commit changes in one transaction. When this returns, it is confirmed, and the states are up to date.

        Raises:
            ClocksvcError: as `TickLog.append`. The term is over, because the writer can't be used again.
        """
        self.append(ticklog, [message for change in changes for message in change.messages], keep_alive)
        self.apply(changes)

    def apply(self, changes: Sequence[Change]) -> None:
        """Set the states after changes that are committed."""
        for change in changes:
            clock = self.clocks[change.clock]
            clock.state = change.state
            clock.committed_request_ids |= change.request_ids

    def append(self, ticklog: TickLog, messages: Sequence[Message], keep_alive: KeepAlive) -> None:
        """As `commit`, for messages that change no clock's state."""
        self.writing = True
        end = ticklog.append(messages, self.end, keep_alive)
        self.writing = False
        for offset, message in enumerate(messages, self.end):
            self.log.add(LogEntry(offset, message))
        self.end = end
