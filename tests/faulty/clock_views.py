"""The views of clocks that each have their own store, as if each were on its own server."""

from collections.abc import Collection, Mapping

from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, StreamTail
from clocksvc.service.clock_view import ClockView
from clocksvc.service.clock_views import ClockViews
from tests.faulty.store import FaultyStore


class ReadsOfStores:
    """`ClockReads` over the stores of some views. A test can replace the store of a view."""

    def __init__(self, views: Mapping[str, ClockView]) -> None:
        self._views = views

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        return {name: self._read(name) for name in clocks}

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        return {
            name: self._store(name).server.clock_reads().tails({name: after}, limit)[name]
            for name, after in after_ms.items()
        }

    def _read(self, name: str) -> ClockReading | StoreUnavailable:
        store = self._store(name)
        try:
            return ClockReading(store.snapshot(), store.counters(), store.server.schedulers(name).read())
        except StoreUnavailable as error:
            return error

    def _store(self, name: str) -> FaultyStore:
        store = self._views[name].store
        assert isinstance(store, FaultyStore)
        return store


def views_of(*views: ClockView) -> ClockViews:
    """Return the views of one replica."""
    by_name = {view.spec.name: view for view in views}
    return ClockViews(by_name, ReadsOfStores(by_name))
