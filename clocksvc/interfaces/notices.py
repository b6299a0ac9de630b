"""Notices: which clocks have new ticks. Each replica follows the notices of all logs with one blocking call.

Notices are only hints. They can be trimmed, and a store that was failed over or emptied can begin again at lower
numbers. The reader detects this, and then its caller must read the ends of all streams.
"""

from collections.abc import Collection
from typing import Protocol


class NoticeReader(Protocol):
    """Follows the notices of the logs of some clocks. One thread uses it. It begins with the next notice."""

    def read(self, timeout_s: float) -> Collection[str] | None:
        """Block until there are notices, and return their clocks; [] after `timeout_s`.

        Returns:
            None if notices may have been missed: at the first call, after a gap in their numbers, or after the store
            lost them. Then read the ends of all streams.

        Raises:
            StoreUnavailable: the store does not answer. The next call returns None.
        """

    def close(self) -> None:
        """Close connections. Can be called from another thread, and ends a blocked `read` within its timeout."""
