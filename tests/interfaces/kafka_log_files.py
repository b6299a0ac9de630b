"""The files of a partition whose broker does not run. Reads a batch's length and kind only."""

from collections.abc import Iterator
from pathlib import Path

_CONTROL_BATCH = 0x20


def cut_transactions(partition: Path, count: int) -> None:
    """Remove the last transactions, as a broker loses them that was killed before a flush."""
    ends = [0, *(end for end, is_control in _batches(partition) if is_control)]
    _cut(partition, ends[-1 - count])


def cut_marker(partition: Path) -> None:
    """Remove the last transaction's marker: the coordinator considers it complete, in the partition it hangs."""
    (*_, (end, _), (_, is_control)) = _batches(partition)
    assert is_control
    _cut(partition, end)


def _batches(partition: Path) -> Iterator[tuple[int, bool]]:
    content, at = _segment(partition).read_bytes(), 0
    while at + 12 < len(content) and (length := int.from_bytes(content[at + 8 : at + 12])):
        is_control = bool(content[at + 22] & _CONTROL_BATCH)
        at += 12 + length
        yield at, is_control


def _cut(partition: Path, end: int) -> None:
    segment = _segment(partition)
    segment.write_bytes(segment.read_bytes()[:end])


def _segment(partition: Path) -> Path:
    (segment,) = partition.glob("*.log")
    return segment
