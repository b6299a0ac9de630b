"""Which replica leads each log, by the leases in Redis, ten times a second."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Self

import redis

from tests.system.evidence import LOGS
from tests.system.installation import wall_ms

_LOOK_EVERY_S = 0.1
_TIMEOUT_S = 2.0


class Move(NamedTuple):
    """A replica has the lease of a log since a time. `replica` is unique for each process."""

    at_ms: int
    log: int
    replica: str


class LeaderWatch:
    """Notes each change of a leader until the end of the block. A lease that is free is no change.

    Attributes:
        moves: in the order of time. The first one of each log is its first leader.
    """

    def __init__(self, redis_url: str, prefix: str) -> None:
        self._redis = redis.Redis.from_url(redis_url, socket_timeout=_TIMEOUT_S, decode_responses=True)
        self._keys = [f"{prefix}:{{{log}}}:lease" for log in range(LOGS)]
        self.moves: list[Move] = []
        self._last: dict[int, str] = {}
        self._present: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leader-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._redis.close()

    def present(self) -> Mapping[int, str]:
        """The replica that has the lease of each log. A log whose lease is free is absent."""
        return self._present

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            with suppress(redis.RedisError):
                self._look()

    def _look(self) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in self._keys:
                pipeline.hget(key, "replica")
            found = pipeline.execute()
        self._present = {log: replica for log, replica in enumerate(found) if replica is not None}
        for log, replica in self._present.items():
            if self._last.get(log) != replica:
                self._last[log] = replica
                self.moves.append(Move(wall_ms(), log, replica))


class Moved(NamedTuple):
    """How leaders changed during a phase.

    Attributes:
        logs: how many logs have had another leader.
        times: how many changes there were.
        most: how many changes of one log there were at most.
        returns: how often a log went back to a replica that had led it before in this phase.
    """

    logs: int
    times: int
    most: int
    returns: int


def moved(moves: Sequence[Move], began_ms: int, ended_ms: int) -> Moved:
    """The changes of leaders between two times."""
    led: dict[int, list[str]] = defaultdict(list)
    times = Counter[int]()
    returns = 0
    for move in moves:
        if move.at_ms >= ended_ms:
            break
        if move.at_ms < began_ms:
            led[move.log] = [move.replica]
            continue
        times[move.log] += bool(led[move.log])
        returns += move.replica in led[move.log]
        led[move.log].append(move.replica)
    return Moved(len(+times), times.total(), max(times.values(), default=0), returns)


def shares(present: Mapping[int, str], name_of: Callable[[str], str]) -> dict[str, int]:
    """How many logs each replica leads, by its name."""
    return dict(sorted(Counter(name_of(replica) for replica in present.values()).items()))
