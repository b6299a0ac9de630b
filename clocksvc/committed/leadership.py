"""Whether the end that a partition's leader gives is complete.

A broker that was suspended, and was replaced as leader in the meantime, answers with an old end after it is resumed,
until it learns of its replacement. A new leader can have a high watermark that is behind. So an end counts only if
the partition's leader is known to be alive, and has been the leader for some time.
"""

from collections import deque
from dataclasses import dataclass

from clocksvc.interfaces.committed_offsets import PartitionEnds

AWAKE_FOR_S = 2.0
"""A broker that is resumed learns within this time that it was replaced."""
ANSWERED_WITHIN_S = 7.0
"""The longest gap between two answers after which a broker is still the leader. If it was suspended in between, it was
not replaced, because its session lasts 9 s (Kafka's default for broker.session.timeout.ms)."""
SETTLED_S = 10.0
"""How long a partition's leader must be unchanged for clocks after other clocks; for others it is `drain_delay`."""
MAX_SETTLED_S = 60.0
"""The longest such time. Kafka gives no end while the watermark of a new leader is below the begin of its epoch, so a
longer time would only delay clocks with a long `drain_delay` after each start of an observer."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a partition.

    Attributes:
        low, high: the low watermark, and the high watermark, which includes records of open transactions.
        alive: True if the leader was alive when it was asked.
        settled: True if the leader had been the same for the required time when it was asked.
        epoch: the leader's epoch.
    """

    low: int
    high: int
    alive: bool = True
    settled: bool = True
    epoch: int = 0

    @property
    def counts(self) -> bool:
        """True if it includes every record that was acknowledged before it was asked for."""
        return self.alive and self.settled


class PartitionLeader:
    """What one partition's leader has answered. Several clocks can share it. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._epoch = -1
        self._epoch_since = 0.0
        self._answers: deque[tuple[float, float]] = deque()
        self._latest: PartitionEnds | None = None

    def note(self, ends: PartitionEnds | None, asked_at: float, answered_at: float) -> None:
        """Note an answer; None if there was none. An answer with a lower epoch, of a former leader, is ignored."""
        self._latest = None if ends is None or ends.epoch < self._epoch else ends
        if self._latest is None:
            return
        if self._latest.epoch > self._epoch:
            self._epoch, self._epoch_since = self._latest.epoch, answered_at
        self._answers.append((asked_at, answered_at))
        while self._answers[0][0] < asked_at - ANSWERED_WITHIN_S:
            self._answers.popleft()

    def end(self, settled_s: float) -> End | None:
        """Return the end by the newest answer; None if the newest question was not answered.

        Args:
            settled_s: for how long the leader must have been the same.
        """
        if self._latest is None:
            return None
        asked_at = self._answers[-1][0]
        return End(
            self._latest.low,
            self._latest.high,
            alive=self._answers[0][1] <= asked_at - AWAKE_FOR_S,
            settled=self._epoch_since <= asked_at - settled_s,
            epoch=self._epoch,
        )
