"""Every error that clocksvc raises on purpose. An error's docstring is its default message.

ClocksvcError
├── InvalidValue              a setting, argument or payload is wrong: names the field, the value, what would be right
├── SettingsError             the configuration is wrong: names everything that is
├── Unavailable               a part is out of reach for now: try again after a back-off
│   ├── StoreUnavailable
│   ├── TickLogUnavailable
│   ├── MetadataUnavailable
│   ├── CheckpointsUnavailable
│   ├── TaskQueueUnavailable
│   └── ServiceUnavailable    the HTTP service, seen from a client
├── LeaseLost                 another process leads this clock now
├── StoreLost                 what the leader had written to the store is gone
├── StoreMismatch             the store belongs to another Kafka cluster or speaks another format
├── ChainBroken               the store's stream does not end with the tick before this one
├── Fenced                    a newer leader took the tick log over
├── OutcomeUnknown            a commit was sent and its answer never came
├── OpenTransaction           somebody else's transaction is open on the tick log
├── TickLogTruncated          the tick log lost ticks that were given
├── TickLogRefused            the tick log's topic has a shape that could lose ticks
├── UnreadableRecord          the tick log's last record is not in a format that this version reads
├── CursorTooOld              ticks after this cursor are no longer kept
├── Rebuilding                the store's stream is being made anew: nothing can be answered yet
├── UnknownClock              no clock of this name is configured
├── Refused                   the service refused a request for good (credentials, scope, wrong clock)
└── ReporterMisuse            a Reporter was used in a way that could make a tick early
"""

from collections.abc import Sequence


class ClocksvcError(Exception):
    """An error of clocksvc."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidValue(ClocksvcError, ValueError):
    """A value is not valid."""

    def __init__(self, field: str, value: object, wanted: str) -> None:
        self.field, self.value, self.wanted = field, value, wanted
        super().__init__(f"{field}: {value!r} is not valid: {wanted}")


class SettingsError(ClocksvcError):
    """The configuration is not valid."""

    def __init__(self, problems: Sequence[str], source: str | None = None) -> None:
        self.problems, self.source = tuple(problems), source
        listed = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"the configuration{f' ({source})' if source else ''} is not valid:{listed}")


class Unavailable(ClocksvcError):
    """A part is out of reach for now."""


class StoreUnavailable(Unavailable):
    """The store (Redis) does not answer."""


class TickLogUnavailable(Unavailable):
    """The tick log (Kafka) can't be read or written."""


class MetadataUnavailable(Unavailable):
    """Kafka does not answer a question about topics."""


class CheckpointsUnavailable(Unavailable):
    """The positions of a dispatcher can't be read or written."""


class TaskQueueUnavailable(Unavailable):
    """The task queue's broker does not take a task."""


class ServiceUnavailable(Unavailable):
    """The clocksvc service does not answer."""


class LeaseLost(ClocksvcError):
    """Another process leads this clock now."""


class StoreLost(ClocksvcError):
    """What the leader had written to the store is gone."""


class StoreMismatch(ClocksvcError):
    """The store belongs to another Kafka cluster or speaks another format."""


class ChainBroken(ClocksvcError):
    """The store's stream does not end with the tick before this one."""


class Fenced(ClocksvcError):
    """A newer leader took the tick log over."""


class OutcomeUnknown(ClocksvcError):
    """A commit was sent and its answer never came: the tick log knows."""


class OpenTransaction(ClocksvcError):
    """Somebody else's transaction is open on the tick log."""


class TickLogTruncated(ClocksvcError):
    """The tick log lost ticks that were given."""


class TickLogRefused(ClocksvcError):
    """The tick log's topic has a shape that could lose ticks."""


class UnreadableRecord(ClocksvcError):
    """A record of the tick log is not in a format that this version reads."""


class CursorTooOld(ClocksvcError):
    """Ticks after this cursor are no longer kept."""

    def __init__(self, cursor_ms: int, oldest_ms: int, oldest_previous_ms: int | None) -> None:
        self.cursor_ms, self.oldest_ms, self.oldest_previous_ms = cursor_ms, oldest_ms, oldest_previous_ms
        super().__init__(f"ticks after {cursor_ms} ms are no longer kept: the oldest kept one is {oldest_ms} ms")


class Rebuilding(ClocksvcError):
    """The store's stream is being made anew: nothing lower than what was shown is shown meanwhile."""


class UnknownClock(ClocksvcError):
    """No clock of this name is configured."""


class Refused(ClocksvcError):
    """The service refused the request."""


class ReporterMisuse(ClocksvcError):
    """A Reporter was used in a way that could make a tick early."""
