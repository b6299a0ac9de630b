"""The keys of a partition in their order, for pages of lists. Built when it is first used."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from heapq import merge

MAX_ADDED = 1_000
"""If there are more new keys, they are merged into the sorted ones. This takes about 30 ms for a million keys."""
LEAST_TO_REBUILD = 10_000
"""The index is rebuilt without deleted keys after at least as many deletions."""


class KeyIndex:
    """Sorted keys. Deleted keys stay in the index for a while, so the caller must look whether a key exists.

    Not thread-safe.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._sorted = sorted(keys)
        self._added: set[bytes] = set()
        self._removed = 0

    def change(self, key: bytes, *, added: bool) -> None:
        """A key was added, or deleted."""
        if not added:
            self._removed += 1
            return
        self._added.add(key)

    def pages(self, prefix: bytes, after: bytes | None, exists: Callable[[bytes], bool]) -> Iterator[bytes]:
        """Iterate over the existing keys that begin with `prefix` and come after the key `after`, in order."""
        self._tidy(exists)
        begin = prefix if after is None else max(prefix, after)
        find = bisect_right if after is not None and after >= prefix else bisect_left
        start = find(self._sorted, begin)
        added = sorted(self._added)
        rest = merge((self._sorted[index] for index in range(start, len(self._sorted))), added[find(added, begin) :])
        last = None
        for key in rest:
            if not key.startswith(prefix):
                return
            if key != last and exists(key):
                yield key
            last = key

    def _tidy(self, exists: Callable[[bytes], bool]) -> None:
        if len(self._added) > MAX_ADDED:
            self._sorted += sorted(self._added)
            self._sorted.sort()  # two sorted runs: it merges them
            self._added = set()
        if self._removed > max(LEAST_TO_REBUILD, len(self._sorted) // 8):
            self._sorted = list(dict.fromkeys(key for key in self._sorted if exists(key)))
            self._removed = 0
