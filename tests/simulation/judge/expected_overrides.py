"""Checks the operator overrides: what a record of the tick log excludes and pauses must be what was requested, and each
answer must be true."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tests.simulation.judge.log_bytes import time_of
from tests.simulation.judge.violation import Violation

Excluded = frozenset[tuple[str, int]]
Overrides = tuple[Excluded, bool, int | None]
"""What is excluded, whether the clock is paused, and its last tick."""


@dataclass(slots=True)
class Asked:
    """One request as it was made.

    Attributes:
        made_at: how many changes of the overrides there were by then.
        closed: the answer that it was not done.
        store_forgot: the store was rolled back since, so a leader may get the request twice.
        log_forgot: it may be answered by a leader that knows more than what the log has kept.
    """

    kind: str
    partition: tuple[str, int] | None
    expires_ms: int
    made_at: int
    last_tick_ms: int | None = None
    closed: str = ""
    store_forgot: bool = False
    log_forgot: bool = False

    def holds(self, excluded: Excluded, paused: bool, last_tick_ms: int | None) -> bool:
        """Whether the requested state is reached."""
        if self.kind in ("pause", "resume"):
            return paused is (self.kind == "pause")
        if self.kind == "init":
            return last_tick_ms == self.last_tick_ms
        return (self.partition in excluded) is (self.kind == "exclude")


class ExpectedOverrides:
    """The exclusions and the pause, by the records committed so far.

    Attributes:
        excluded, paused: as in the last record.
        granted: the requests that were committed, without those whose commit the log has lost.
    """

    def __init__(self) -> None:
        self.excluded: Excluded = frozenset()
        self.paused = False
        self.granted: set[str] = set()
        self._asked: dict[str, Asked] = {}
        self._history: list[Overrides] = [(self.excluded, self.paused, None)]
        self._forgotten = False

    def asked(
        self,
        id: str,
        kind: str,
        partition: tuple[str, int] | None,
        expires_ms: int,
        last_tick_ms: int | None = None,
    ) -> None:
        """A request was made."""
        self._asked[id] = Asked(
            kind, partition, expires_ms, len(self._history) - 1, last_tick_ms, log_forgot=self._forgotten
        )

    def store_forgot(self) -> None:
        """The store was rolled back: it no longer knows what it has passed to a leader."""
        for asked in self._asked.values():
            asked.store_forgot = True

    def answered_not_done(self, id: str, why: str) -> None:
        """An operator got the answer that the request was not done and never will be."""
        if id in self.granted and not self._asked[id].store_forgot:
            raise Violation(f"request: {self._asked[id].kind} was committed, and the answer was: {why}")
        self._asked[id].closed = why

    def answered_by_an_old_leader(self, ids: Iterable[str]) -> None:
        """A leader that was fenced by another, and whose lease came back with an old snapshot of the store, has
        answered: a request that is already fulfilled needs no commit, and only a commit would show that it was
        fenced."""
        for id in ids:
            self._asked[id].store_forgot = True

    def answered_done(self, id: str) -> None:
        """An operator got the answer that the request is done."""
        asked = self._asked[id]
        if asked.store_forgot or asked.log_forgot:
            return
        if id not in self.granted and not any(asked.holds(*standing) for standing in self._history[asked.made_at :]):
            raise Violation(f"request: {asked.kind} of {asked.partition} is reported as done, and no record has it")

    def log_lost(self, left: dict[str, Any] | None, recorded: Collection[str]) -> None:
        """The tick log lost records: the overrides are those of what is left, or of the next record.

        A request without a record and without an effect in what is left is no longer committed. No leader can know that
        it was.

        Args:
            left: the newest state that is left.
            recorded: the requests in the records that are left.
        """
        self._forgotten = True
        for asked in self._asked.values():
            asked.log_forgot = True
        self.granted = {
            id
            for id in self.granted
            if id in recorded or (left is not None and self._asked[id].holds(*_overrides(left)))
        }
        self._history.append((frozenset(), False, None) if left is None else _overrides(left))

    def restored(self, recorded: Collection[str]) -> None:
        """A leader has written a lost record again, with these requests."""
        self.granted.update(recorded)

    def judge(self, wire: dict[str, Any], store_ms: int | None) -> None:
        """A record was committed by a leader whose last reading of the store was at `store_ms` by the store's clock."""
        excluded, paused, last_tick_ms = _overrides(wire["state"])
        wanted, wanted_paused = self.excluded, self.paused
        for request in wire.get("requests", ()):
            asked = self._grant(request["id"], store_ms)
            wanted, wanted_paused = _after(asked, wanted, wanted_paused)
            self._history.append((wanted, wanted_paused, last_tick_ms))
        if not self._forgotten and excluded != wanted:
            raise Violation(
                f"excluded: a record says that {sorted(excluded)} are excluded, requested were {sorted(wanted)}"
            )
        if not self._forgotten and paused != wanted_paused:
            raise Violation(f"paused: a record says {paused}, requested was {wanted_paused}")
        self.excluded, self.paused, self._forgotten = excluded, paused, False
        self._history.append((excluded, paused, last_tick_ms))

    def judge_tick(self, wire: dict[str, Any], at_ms: int) -> None:
        """A tick must name the excluded partitions that exist, and a paused clock must not tick."""
        if self.paused:
            raise Violation(f"paused: tick {at_ms} of a clock that is paused")
        topics = wire["state"]["topics"]
        named = {(item["topic"], item["partition"]) for item in wire["excluded"]}
        wanted = {(name, n) for name, n in self.excluded if name in topics and n < topics[name]["partitions"]}
        if named != wanted:
            raise Violation(f"excluded: tick {at_ms} names {sorted(named)}, excluded are {sorted(wanted)}")

    def _grant(self, id: str, store_ms: int | None) -> Asked:
        asked = self._asked.get(id)
        if asked is None:
            raise Violation(f"request: {id} was committed without a request")
        if asked.closed and not asked.store_forgot:
            raise Violation(f"request: {asked.kind} was committed after the answer: {asked.closed}")
        if store_ms is not None and asked.expires_ms <= store_ms:
            raise Violation(f"request: {asked.kind} was committed although it had expired")
        self.granted.add(id)
        return asked


def _overrides(state: dict[str, Any]) -> Overrides:
    excluded = frozenset((item["topic"], item["partition"]) for item in state["exclusions"])
    return excluded, state["pause"] is not None, time_of(state["last_tick"])


def _after(asked: Asked, excluded: Excluded, paused: bool) -> tuple[Excluded, bool]:
    if asked.kind in ("pause", "resume"):
        return excluded, asked.kind == "pause"
    if asked.kind == "init":
        return excluded, paused
    assert asked.partition is not None
    return (excluded | {asked.partition} if asked.kind == "exclude" else excluded - {asked.partition}), paused
