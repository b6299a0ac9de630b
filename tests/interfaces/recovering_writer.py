"""A writer of a log that recovers after every failure as a leader does, and checks what it finds."""

from collections import Counter

from clocksvc.clock.log_record import LogEntry, decode_message
from clocksvc.clock.log_state import read_log_state, snapshot_messages
from clocksvc.errors import ClocksvcError, Unavailable
from clocksvc.interfaces.tick_log import KeepAlive, TickLog
from tests.interfaces.tick_log_examples import CLOCK, MINUTE_MS, OWNER, messages


class RecoveringWriter:
    """Appends the ticks of the minutes 1, 2, 3, … of one clock.

    Attributes:
        acknowledged: the last minute that an append confirmed.
        written: the last minute that can be in the log.
        errors: how often each error was raised, by the class name.
        stale: how often a recovery read a log that lacked acknowledged ticks. Its snapshot must not be committed.
    """

    def __init__(self, log: TickLog, keep_alive: KeepAlive = lambda: None) -> None:
        self.log, self._keep_alive = log, keep_alive
        self.acknowledged = self.written = 0
        self.errors: Counter[str] = Counter()
        self.stale = 0
        self._end: int | None = None

    def append(self, count: int) -> bool:
        """Append ticks, after a recovery if the last call failed. Returns False after an error.

        Raises:
            AssertionError: the log lacks acknowledged ticks, or has others than this writer wrote.
        """
        try:
            if self._end is None:
                self._recover()
            end, self._end = self._end, None
            self.written = max(self.written, self.acknowledged + count)
            ticks = messages(self.acknowledged + 1, count)
            assert end is not None
            self._end = self.log.append(ticks, end, self._keep_alive)
        except ClocksvcError as error:
            self._end = None
            self.errors[type(error).__name__] += 1
            if isinstance(error, Unavailable):
                self._keep_alive()
            return False
        self.acknowledged += count
        return True

    def _recover(self) -> None:
        self.log.fence(self._keep_alive)
        first, end = self.log.bounds(self._keep_alive)
        state = read_log_state(first, end, self._read)
        newest = state.newest.get(CLOCK)
        found = 0 if newest is None else (decode_message(newest).state.last_tick_ms or 0) // MINUTE_MS
        self.stale += found < self.acknowledged
        end = self.log.append(
            snapshot_messages(OWNER, state.newest, end, complete=state.complete), end, self._keep_alive
        )
        # The snapshot is committed, so the log ended where it was read.
        assert self.acknowledged <= found <= self.written, f"{found=} {self.acknowledged=} {self.written=}"
        self.acknowledged, self._end = found, end

    def _read(self, start: int, end: int) -> list[LogEntry]:
        return self.log.read(start, end, self._keep_alive)
