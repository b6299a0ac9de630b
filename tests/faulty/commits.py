"""What can happen to a commit, apart from success."""

from dataclasses import dataclass
from enum import StrEnum


class CommitFault(StrEnum):
    """What happens to a commit whose answer is lost.

    LANDS: it takes effect.
    LOST: it does not reach the brokers. The next fence aborts the transaction.
    UNANSWERED: as LOST, but the writer waits for the whole timeout. Until the next fence, a test can still let the
        commit take effect.
    """

    LANDS = "lands"
    LOST = "lost"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class TornTransaction:
    """A delayed EndTxn request of the same writer's previous transaction ends a part of the present one.

    Attributes:
        records: how many of the first records it ends. If these are all records, the writer's own commit is answered
            with OK after a delayed commit, and rejected after a delayed abort.
        committed: True for a delayed commit, False for a delayed abort.
        answered: True if the brokers accept the remaining records, outside of any transaction that a coordinator
            knows, and answer the writer's own commit with OK. These records hang. False if they reject them.
    """

    records: int
    committed: bool = True
    answered: bool = False
