"""The dead-letter topic of a consumer: records that could not be processed, with the cause."""

import traceback
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from clocksvc.interfaces.consumer_group import ConsumedRecord


class Cause(NamedTuple):
    """Why a record could not be processed.

    Attributes:
        exception: the name of the exception's class, with its module unless it is a built-in one.
        message: the text of the exception.
        stacktrace: the traceback as Python prints it.
        error: the exception; None if it was raised in another process.
    """

    exception: str
    message: str
    stacktrace: str
    error: BaseException | None = None


def cause_of(error: BaseException) -> Cause:
    """Return the cause for an exception."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return Cause(name, str(error), "".join(traceback.format_exception(error)), error)


class Delivery(NamedTuple):
    """The outcome of one dead letter.

    Attributes:
        letter_id: the id that was given to `send`.
        failure: why it was not delivered; None if all in-sync replicas have it.
    """

    letter_id: int
    failure: str | None


class DeadLetters(Protocol):
    """Sends records to the dead-letter topic. Only one thread may use it."""

    def send(self, letter_id: int, record: ConsumedRecord, cause: Cause) -> None:
        """Send a record with its key, value, headers and timestamp, and with its origin and cause in further headers.

        Does not block. Never raises: a failure is an outcome of `deliveries`.

        Args:
            letter_id: identifies the outcome.
        """

    def deliveries(self) -> Sequence[Delivery]:
        """Return the outcomes that are new. Does not block."""

    def close(self) -> None:
        """Close the connection. Does not block: records without an outcome may be in the topic, or not."""
