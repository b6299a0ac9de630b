"""How a position lies in its topic: key and value, the same for every keeper."""

import json

from clocksvc.errors import UnreadableRecord
from clocksvc.interfaces.checkpoints import Checkpoint

FORMAT = 1


def key(dispatcher: str, entry: str) -> bytes:
    """`dispatcher/entry`; a dispatcher's own position has no entry."""
    return f"{dispatcher}/{entry}".encode()


def entry_of(dispatcher: str, found: bytes | None) -> str | None:
    """The entry that a key belongs to; None for another dispatcher's."""
    prefix = f"{dispatcher}/".encode()
    return found.removeprefix(prefix).decode() if found is not None and found.startswith(prefix) else None


def encode(position: Checkpoint | None) -> bytes | None:
    """A position's value; None, which compaction removes, for one that was taken away."""
    if position is None:
        return None
    body = {"format": FORMAT, "at_ms": position.at_ms, "offset": position.offset, "fingerprint": position.fingerprint}
    return json.dumps(body, separators=(",", ":")).encode()


def decode(value: bytes) -> Checkpoint:
    """The reverse of `encode`.

    Raises:
        UnreadableRecord: not a position of a format that this version reads.
    """
    try:
        body = json.loads(value)
        if body["format"] > FORMAT:
            raise UnreadableRecord(f"a position has format {body['format']}, this version reads up to {FORMAT}")
        offset = body["offset"]
        return Checkpoint(int(body["at_ms"]), None if offset is None else int(offset), str(body["fingerprint"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRecord(f"a position can't be read: {error!r}") from error
