"""All errors that clocksvc raises on purpose. The docstring of an error is its default message.

ClocksvcError
├── InvalidValue              a setting, an argument or a payload is wrong; contains field, value and what is wanted
│   └── MissingValue          there is no value; its attribute `value` is None
├── SettingsError             the configuration is wrong; contains all problems
├── Unavailable               a server does not answer: try again after a back-off
│   ├── StoreUnavailable
│   ├── TickLogUnavailable
│   ├── MetadataUnavailable
│   ├── CheckpointsUnavailable
│   ├── TaskQueueUnavailable
│   ├── TableUnavailable      a compacted topic can't be read to its end
│   ├── DueLogUnavailable     a topic of due records can't be read or written
│   ├── SchedulesUnavailable  a topic of schedules can't be written
│   ├── OutboxUnavailable     the database of an outbox does not answer, or reports an error
│   └── ServiceUnavailable    the HTTP service does not answer its client
├── LeaseLost                 another process has the lease of the log
├── StoreMismatch             the store belongs to another Kafka cluster, or the tick log to another installation
├── ChainBroken               a tick does not follow the last tick in the store
├── DispatcherConflict        another app uses the same dispatcher
├── Fenced                    a newer writer has fenced this one
│   └── FencedAtCommit        its last commit may have taken effect
├── OutcomeUnknown            a commit was not acknowledged and may have taken effect
├── NotOwner                  this process does not own the partition of schedules
├── OffsetGap                 a transaction does not begin at the known end of the log
├── RecordRejected            the brokers reject records of some clocks
├── LeaderStuck               a leader made no progress for too long
├── OpenTransaction           another program has an open transaction on the tick log
├── TickLogTruncated          the tick log has lost ticks
├── TickLogMisconfigured      the tick log's topic has settings with which it could lose ticks
├── SchedulesMisconfigured    a topic of schedules or due records has settings with which schedules could be lost
├── UnreadableRecord          this version can't read a record
├── CursorTooOld              the ticks after this cursor are not kept any more
├── Rebuilding                ticks in the store are being restored, or were not read yet
├── UnknownClock              no clock with this name is configured
├── UnknownSchedule           there is no schedule with this id
├── PreconditionFailed        another writer has changed a schedule, or has created or deleted it
├── RequestNotDone            a leader did not execute a request; it has no effect, now or later
├── SchedulesRejected         some of many schedules were not written; contains them
├── RequestRejected           the service rejects a request, and would reject it again (credentials, scope, clock)
├── ReporterMisuse            a Reporter was used after it was closed
└── ConsumerFailed            a BufferedConsumer can't continue; records that are not committed are delivered again
"""

from collections.abc import Mapping, Sequence


class ClocksvcError(Exception):
    """An error of clocksvc."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidValue(ClocksvcError, ValueError):
    """A value is not valid."""

    def __init__(self, field: str, value: object, wanted: str) -> None:
        self.field, self.value, self.wanted = field, value, wanted
        super().__init__(f"{field}: {value!r} is not valid: {wanted}")


class MissingValue(InvalidValue):
    """A value is missing."""

    def __init__(self, field: str, wanted: str) -> None:
        super().__init__(field, None, wanted)
        self.args = (f"{field}: missing: {wanted}",)


class SettingsError(ClocksvcError):
    """The configuration is not valid."""

    def __init__(self, problems: Sequence[str], source: str | None = None) -> None:
        self.problems, self.source = tuple(problems), source
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"the configuration{f' ({source})' if source else ''} is not valid:{listed}")


class Unavailable(ClocksvcError):
    """A server does not answer."""


class StoreUnavailable(Unavailable):
    """The store (Redis) does not answer."""


class TickLogUnavailable(Unavailable):
    """The tick log (Kafka) can't be read or written."""


class MetadataUnavailable(Unavailable):
    """Kafka does not answer a request for topic metadata."""


class CheckpointsUnavailable(Unavailable):
    """The checkpoints of a dispatcher can't be read or written."""


class TaskQueueUnavailable(Unavailable):
    """The task queue does not accept a task."""


class TableUnavailable(Unavailable):
    """The compacted topic of a table can't be read."""


class DueLogUnavailable(Unavailable):
    """A topic of due records can't be read or written."""


class SchedulesUnavailable(Unavailable):
    """A topic of schedules can't be written."""


class OutboxUnavailable(Unavailable):
    """The database of an outbox does not answer, or reports an error."""


class ServiceUnavailable(Unavailable):
    """The clocksvc service does not answer, or `status` says that it can't do now what was requested."""

    def __init__(self, message: str | None = None, status: int | None = None, retry_after_s: float = 0.0) -> None:
        self.status, self.retry_after_s = status, retry_after_s
        super().__init__(message)


class LeaseLost(ClocksvcError):
    """Another process has the lease of this log."""


class StoreMismatch(ClocksvcError):
    """The store belongs to another Kafka cluster or has another format, or the tick log to another installation."""


class ChainBroken(ClocksvcError):
    """A tick does not follow the last tick in the store."""


class DispatcherConflict(ClocksvcError):
    """Another app uses the same dispatcher."""


class Fenced(ClocksvcError):
    """A newer writer has fenced this one."""


class FencedAtCommit(Fenced):
    """A newer writer has fenced this one at its commit, which may have taken effect."""


class OutcomeUnknown(ClocksvcError):
    """A commit was not acknowledged and may have taken effect."""


class NotOwner(ClocksvcError):
    """This process does not own the partition of schedules."""


class OffsetGap(ClocksvcError):
    """A transaction does not begin at the known end of the tick log, or its offsets are not contiguous."""


class RecordRejected(ClocksvcError):
    """The brokers reject records. `keys` are the keys of these records."""

    def __init__(self, keys: Sequence[bytes | None], message: str | None = None) -> None:
        self.keys = tuple(keys)
        super().__init__(message)


class LeaderStuck(ClocksvcError):
    """The leader made no progress for too long."""


class OpenTransaction(ClocksvcError):
    """Another program has an open transaction on the tick log."""


class TickLogTruncated(ClocksvcError):
    """The tick log has lost ticks."""


class TickLogMisconfigured(ClocksvcError):
    """The tick log's topic has settings with which it could lose ticks."""


class SchedulesMisconfigured(ClocksvcError):
    """A topic of schedules or of due records has settings with which schedules could be lost."""


class UnreadableRecord(ClocksvcError):
    """This version can't read a record."""


class CursorTooOld(ClocksvcError):
    """The ticks after this cursor are not kept any more."""

    def __init__(self, message: str, cursor_ms: int, oldest_ms: int, oldest_previous_ms: int | None) -> None:
        self.cursor_ms, self.oldest_ms, self.oldest_previous_ms = cursor_ms, oldest_ms, oldest_previous_ms
        super().__init__(message)


class Rebuilding(ClocksvcError):
    """The ticks are not complete yet: the leader restores them in the store, or this replica has not read them."""


class UnknownClock(ClocksvcError):
    """No clock with this name is configured."""


class UnknownSchedule(ClocksvcError):
    """There is no schedule with this id."""


class PreconditionFailed(ClocksvcError):
    """The schedule is not the expected one. `etag` is that of the present one; None if there is none."""

    def __init__(self, message: str, etag: str | None) -> None:
        self.etag = etag
        super().__init__(message)


class RequestNotDone(ClocksvcError):
    """No leader executed the request. It has no effect, now or later."""


class SchedulesRejected(ClocksvcError):
    """Some of many schedules were not written. `failed` has an error for each of them, by its position in the input."""

    def __init__(self, message: str, failed: Mapping[int, ClocksvcError]) -> None:
        self.failed = dict(failed)
        super().__init__(message)


class RequestRejected(ClocksvcError):
    """The service rejected the request."""

    def __init__(self, message: str | None = None, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class ReporterMisuse(ClocksvcError):
    """A Reporter was used after it was closed."""


class ConsumerFailed(ClocksvcError):
    """The consumer can't continue. Records that are not committed are delivered again."""
