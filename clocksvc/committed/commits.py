"""The committed offset of a partition, and whether it counts."""

DOUBTED_FOR_S = 300.0
"""A member of the group that still works on records of a former topic commits within this time: it is the default of
max.poll.interval.ms, after which the group removes a member that does not ask for new records."""
KNOWN_FOR_S = 10.0
"""For how long an offset is taken to be the newest one. Later, the group can have gone back and commit lower ones."""


class Commits:
    """What a group has committed in one partition. Times are monotonic, in seconds.

    A topic can be deleted and created again, or lose records, while members of the group still work on records that
    they have read before. Their commits are accepted, and belong to other records than those that are there now. So an
    offset is in doubt after the topic got another id, and after an offset above the end. It counts again

    - once it was seen lower than before the doubt: only a member that has started again commits a lower offset. This is
      not known if the group had no offset that counted, such as after two changes of the id one after the other, or if
      the offset was not read for `KNOWN_FOR_S` before the doubt. An offset above the end belongs to other records in
      any case, so the offset must be lower than this one, too; or
    - once it moves `DOUBTED_FOR_S` or more after the doubt.

    Attributes:
        offset: the committed offset, whether it counts or not; None if there is none.
        moved: True if it has changed since the poll before.
        skipped: how many offsets the group has not processed and never will: their records were removed before the
            group has committed them, or it has begun at a later offset after the former one had expired. What was
            removed before the first poll counts only if the group had a committed offset below it.
    """

    def __init__(self) -> None:
        self.offset: int | None = None
        self.moved = False
        self.skipped = 0
        self._low: int | None = None
        self._accounted = 0
        self._expired = False
        self._doubted_at: float | None = None
        self._highest: int | None = None
        self._noted_at = 0.0

    @property
    def doubted(self) -> bool:
        """True if the offset may belong to other records than those that are there now."""
        return self._doubted_at is not None

    @property
    def counting(self) -> int | None:
        """The committed offset; None if there is none, or if it does not count."""
        return None if self.doubted else self.offset

    def doubt(self, at_s: float, *, other_topic: bool) -> None:
        """Note that the offsets until now may belong to other records.

        Args:
            other_topic: True if the topic has another id, or may have; False if only records of it were lost.
        """
        if not self.doubted:
            self._highest = self.offset if at_s - self._noted_at <= KNOWN_FOR_S else None
        elif other_topic:
            self._highest = None
        self._doubted_at = at_s

    def note(self, offset: int | None, low: int, high: int, at_s: float) -> None:
        """Note the committed offset, and offsets of the partition that were read after it."""
        self.moved = offset != self.offset
        self._count_skipped(offset, low)
        self.offset, self._noted_at = offset, at_s
        if offset is None:
            return
        if offset > high:
            self.doubt(at_s, other_topic=False)
            self._highest = None if self._highest is None else offset
        elif self._doubted_at is not None:
            lower = self._highest is not None and offset < self._highest
            overdue = self.moved and at_s - self._doubted_at >= DOUBTED_FOR_S
            if lower or overdue:
                self._doubted_at = self._highest = None
        if self._highest is not None:
            self._highest = max(self._highest, offset)

    def _count_skipped(self, offset: int | None, low: int) -> None:
        """Count what is neither processed nor counted yet, up to the low watermark of the poll before.

        The present one was read after the offset: the group can have committed those records in between.
        """
        begins_again = self._expired and offset is not None
        self._expired = offset is None and (self._expired or self.offset is not None)
        if self.doubted:
            self._accounted = low
        elif self._low is None:
            self._accounted = low if offset is None else offset
        else:
            removed = offset if begins_again and offset is not None else self._low
            self.skipped += max(0, removed - self._accounted)
            self._accounted = max(self._accounted if offset is None else offset, removed)
        self._low = low
