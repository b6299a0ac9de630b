"""Protobuf's and MessagePack's encodings, as far as a TaskActivation needs them, by their specifications alone."""

from collections.abc import Mapping
from typing import Any

VARINT, BYTES = 0, 2


def varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; all bytes but the last have the eighth bit set."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number(field: int, value: int) -> bytes:
    """An integer field."""
    return varint(field << 3 | VARINT) + varint(value)


def text(field: int, value: bytes | str) -> bytes:
    """A field with text, bytes or a message."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(raw)) + raw


def packed(value: Any) -> bytes:
    """A short value as MessagePack, in its shortest form."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _packed_number(value)
    if isinstance(value, str):
        raw = value.encode()
        return (bytes([0xA0 | len(raw)]) if len(raw) < 32 else bytes([0xD9, len(raw)])) + raw
    if isinstance(value, list):
        assert len(value) < 16
        return bytes([0x90 | len(value)]) + b"".join(map(packed, value))
    assert isinstance(value, Mapping)
    assert len(value) < 16
    return bytes([0x80 | len(value)]) + b"".join(packed(name) + packed(one) for name, one in value.items())


def _packed_number(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    for first, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << 8 * size:
            return bytes([first]) + value.to_bytes(size, "big")
    raise AssertionError(value)
