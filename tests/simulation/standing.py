"""The judge of what operators asked for: what a record of the tick log says is excluded and paused must be what was
asked, no more and no less, and an answer must be true."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.simulation.violation import Violation

Excluded = frozenset[tuple[str, int]]


@dataclass(slots=True)
class Asked:
    """One request as it was made: `made_at` says what stood by then. `log_forgot`: it may be answered by a leader who
    knows more than what the tick log has kept, and who says so again with its next record only."""

    kind: str
    partition: tuple[str, int] | None
    expires_ms: int
    made_at: int
    closed: str = ""
    store_forgot: bool = False
    log_forgot: bool = False

    def holds(self, excluded: Excluded, paused: bool) -> bool:
        """Whether what it asks for is so."""
        if self.kind in ("pause", "resume"):
            return paused is (self.kind == "pause")
        return (self.partition in excluded) is (self.kind == "exclude")


class Standing:
    """What is excluded and paused, by the records committed so far.

    Attributes:
        excluded, paused: as the last record says.
        granted: how many requests were committed.
    """

    def __init__(self) -> None:
        self.excluded: Excluded = frozenset()
        self.paused = False
        self.granted: set[str] = set()
        self._asked: dict[str, Asked] = {}
        self._history: list[tuple[Excluded, bool]] = [(self.excluded, self.paused)]
        self._forgotten = False

    def asked(self, id: str, kind: str, partition: tuple[str, int] | None, expires_ms: int) -> None:
        """Somebody asks."""
        self._asked[id] = Asked(kind, partition, expires_ms, len(self._history) - 1, log_forgot=self._forgotten)

    def store_forgot(self) -> None:
        """The store was rolled back: it no longer knows what it has handed to a leader."""
        for asked in self._asked.values():
            asked.store_forgot = True

    def told_not_done(self, id: str, why: str) -> None:
        """Whoever asked was told that it has not happened and never will."""
        if id in self.granted and not self._asked[id].store_forgot:
            raise Violation(f"request: {self._asked[id].kind} was committed, and whoever asked was told: {why}")
        self._asked[id].closed = why

    def answered_by_an_old_leader(self, ids: Iterable[str]) -> None:
        """One whom another has fenced, and whose lease came back with an old snapshot of the store, has answered: what
        is so already needs no commit, and only a commit would tell it."""
        for id in ids:
            self._asked[id].store_forgot = True

    def told_done(self, id: str) -> None:
        """Whoever asked was told that it is so."""
        asked = self._asked[id]
        if asked.store_forgot or asked.log_forgot:
            return
        if id not in self.granted and not any(asked.holds(*standing) for standing in self._history[asked.made_at :]):
            raise Violation(f"request: {asked.kind} of {asked.partition} is said to be done, and no record says so")

    def log_lost(self, left: dict[str, Any] | None) -> None:
        """The tick log lost its end: what is left says what stands, or the next record does."""
        self._forgotten = True
        for asked in self._asked.values():
            asked.log_forgot = True
        self._history.append((frozenset(), False) if left is None else _said(left))

    def judge(self, wire: dict[str, Any], store_ms: int | None) -> None:
        """A record was committed, by a leader whose last look at the store was at `store_ms` by the store's clock."""
        excluded, paused = _said(wire["state"])
        wanted, wanted_paused = self.excluded, self.paused
        for request in wire.get("requests", ()):
            asked = self._grant(request["id"], store_ms)
            wanted, wanted_paused = _after(asked, wanted, wanted_paused)
            self._history.append((wanted, wanted_paused))
        if not self._forgotten and excluded != wanted:
            raise Violation(
                f"excluded: a record says that {sorted(excluded)} are excluded, asked for were {sorted(wanted)}"
            )
        if not self._forgotten and paused != wanted_paused:
            raise Violation(f"paused: a record says {paused}, asked for was {wanted_paused}")
        self.excluded, self.paused, self._forgotten = excluded, paused, False
        self._history.append((excluded, paused))

    def judge_tick(self, wire: dict[str, Any], at_ms: int) -> None:
        """A tick must name those of the excluded partitions that there are, and none may come of a paused clock."""
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
            raise Violation(f"request: {id} was committed, and nobody asked for it")
        if asked.closed and not asked.store_forgot:
            raise Violation(f"request: {asked.kind} was committed after whoever asked was told: {asked.closed}")
        if store_ms is not None and asked.expires_ms <= store_ms:
            raise Violation(f"request: {asked.kind} was committed although it had expired")
        self.granted.add(id)
        return asked


def _said(state: dict[str, Any]) -> tuple[Excluded, bool]:
    excluded = frozenset((item["topic"], item["partition"]) for item in state["exclusions"])
    return excluded, state["pause"] is not None


def _after(asked: Asked, excluded: Excluded, paused: bool) -> tuple[Excluded, bool]:
    if asked.kind in ("pause", "resume"):
        return excluded, asked.kind == "pause"
    assert asked.partition is not None
    return (excluded | {asked.partition} if asked.kind == "exclude" else excluded - {asked.partition}), paused
