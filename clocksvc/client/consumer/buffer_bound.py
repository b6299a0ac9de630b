"""How full the buffer is, how many records fit into it, and whether partitions must be paused. No I/O."""

PAUSE_AFTER_S = 1.0
"""How long the buffer is full before partitions are paused. Kafka fetches their records again afterwards, so a short
wait for a flush is cheaper than a pause."""
_WEIGHT = 0.25
"""The weight of the newest records in the average size."""


class BufferBound:
    """The size of the buffer: of items that are not flushed, and of dead letters that are not acknowledged.

    Attributes:
        records, bytes: the present size.
        paused: True while partitions must be paused. It begins after the buffer was full for a second, and ends when
            half of the buffer is free.

    Args:
        most_records, most_bytes: the buffer is full when it has this size.
    """

    def __init__(self, most_records: int, most_bytes: int) -> None:
        self.records = self.bytes = 0
        self.paused = False
        self._most_records, self._most_bytes = most_records, most_bytes
        self._average_bytes = 0.0
        self._full_since: float | None = None

    @property
    def used_ratio(self) -> float:
        """The size in records or in bytes divided by its bound, whichever is higher; 1 if the buffer is full."""
        return max(self.records / self._most_records, self.bytes / self._most_bytes)

    @property
    def room(self) -> int:
        """How many more records fit, by the average size of the last ones. 0 if the buffer is full."""
        records, size = self._most_records - self.records, self._most_bytes - self.bytes
        if records <= 0 or size <= 0 or self.paused:
            return 0
        return min(records, int(size // self._average_bytes) + 1) if self._average_bytes else records

    @property
    def due_at(self) -> float | None:
        """When partitions must be paused, unless the buffer is no longer full then; None if it is not full."""
        return None if self._full_since is None or self.paused else self._full_since + PAUSE_AFTER_S

    def grow(self, records: int, size: int) -> None:
        """Add records, at least one."""
        self.records += records
        self.bytes += size
        self._average_bytes += (size / records - self._average_bytes) * _WEIGHT

    def shrink(self, records: int, size: int) -> None:
        """Remove records."""
        self.records -= records
        self.bytes -= size

    def update(self, now: float) -> None:
        """Set `paused`."""
        full = self.records >= self._most_records or self.bytes >= self._most_bytes
        if self.paused:
            self.paused = 2 * self.records > self._most_records or 2 * self.bytes > self._most_bytes
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        elif now - self._full_since >= PAUSE_AFTER_S:
            self.paused = True
