"""Places for defects of a leader: the implementations that it gets, and the state with which it begins a term."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.interfaces.leases import ProgressReading
from clocksvc.leader import leader as leading
from clocksvc.leader import recovery
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader
from clocksvc.leader.term import ClockTerm, Term
from tests.simulation.defects.defect import altered

Patched = AbstractContextManager[object]
_init = Leader.__init__
_begin_term = recovery.begin_term


def with_parts(alter: Callable[[LeaderDependencies], LeaderDependencies]) -> Patched:
    """Leaders that see their implementations through something."""

    def init(leader: Leader, parts: LeaderDependencies, *args: Any, **kwargs: Any) -> None:
        _init(leader, alter(parts), *args, **kwargs)

    return patch.object(Leader, "__init__", init)


def with_stores(alter: Callable[[LeaderDependencies, Any], Any]) -> Patched:
    """Leaders that see each clock's store through something."""
    return with_parts(
        lambda parts: replace(parts, stores={name: alter(parts, store) for name, store in parts.stores.items()})
    )


def with_progress(alter: Callable[[ProgressReading, "Written"], ProgressReading]) -> Patched:
    """Leaders that read another progress than the store gave; `Written` is what they wrote themselves."""

    def alter_parts(parts: LeaderDependencies) -> LeaderDependencies:
        written = {name: Written() for name in parts.stores}
        leases = parts.leases

        def read_round(token: str, ttl_ms: int, clocks: Any) -> Any:
            reading = leases.read_round(token, ttl_ms, clocks)
            changed = {
                name: one if one is None else alter(one, written[name]) for name, one in reading.progress.items()
            }
            return replace(reading, progress=changed)

        def publish(token: str, ticks: Any, recent_ticks_ms: Any) -> Any:
            published = leases.publish(token, ticks, recent_ticks_ms)
            for name, result in published.items():
                if isinstance(result, int):
                    written[name].end_ms = ticks[name][-1].at_ms
            return published

        stores = {name: written[name].watch(store) for name, store in parts.stores.items()}
        return replace(parts, leases=altered(leases, read_round=read_round, publish=publish), stores=stores)

    return with_parts(alter_parts)


class Written:
    """What a leader wrote to one clock's store last."""

    def __init__(self) -> None:
        self.generation = self.count = 0
        self.end_ms: int | None = None

    def watch(self, store: Any) -> Any:
        """Return the store as the leader uses it."""

        def write_roster(token: str, roster: Any, generation: int, *rest: Any) -> None:
            self.generation, self.count = generation, roster.required_count()
            store.write_roster(token, roster, generation, *rest)

        def publish(token: str, ticks: Any) -> Any:
            published = store.publish(token, ticks)
            self.end_ms = ticks[-1].at_ms
            return published

        def begin(token: str, base_ms: int | None, *, restoring: bool) -> None:
            store.begin(token, base_ms, restoring=restoring)
            self.end_ms = base_ms

        return altered(store, write_roster=write_roster, publish=publish, begin=begin)


def with_terms(alter: Callable[[ClockTerm, Term], None]) -> Patched:
    """Leaders that begin a term with another state of each clock."""

    def begin(*args: Any) -> Term:
        term = _begin_term(*args)
        for clock in term.clocks.values():
            alter(clock, term)
        return term

    return patch.object(leading, "begin_term", begin)


def with_ticklog(alter: Callable[[LeaderDependencies, Any], Any]) -> Patched:
    """Leaders that see the tick log through something."""
    return with_parts(lambda parts: replace(parts, ticklog=alter(parts, parts.ticklog)))
