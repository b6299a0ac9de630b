"""Good manners on a Redis that is somebody's own: nothing of theirs is touched, nothing of the demo's stays."""

from contextlib import suppress
from typing import Any

from clocksvc.dev.demo.place import CLOCK, Place
from clocksvc.dev.errors import DevServerError
from clocksvc.errors import StoreUnavailable
from clocksvc.service import bootstrap as wiring
from clocksvc.settings import Settings

_QUEUE = "clocksvc"
_BINDINGS = f"_kombu.binding.{_QUEUE}"
_LEFT_BY_CELERY = f"_kombu.binding*.{_QUEUE}*"
_WANTED = (
    "Wanted a Redis, and a database of the demo's own in it, such as --redis redis://HOST:PORT/9 or REDIS_URL; "
    "without either, a Valkey is started here."
)


def check(settings: Settings) -> None:
    """See that Redis answers, and that no other clocksvc's worker would take the demo's heartbeats, or it theirs.

    Raises:
        DevServerError: no answer, or Celery's queue is in use.
    """
    try:
        wiring.open_store(settings, settings.clock_specs()[CLOCK]).now_ms()
    except StoreUnavailable as error:
        raise DevServerError(f"{error} {_WANTED}") from error
    if _client(settings).exists(_BINDINGS):
        raise DevServerError(
            f"a clocksvc worker uses, or has used, the queue {_QUEUE!r} in this database of the Redis: the demo would "
            f"take its heartbeats. {_WANTED}"
        )


def leave(settings: Settings, place: Place) -> None:
    """Take the demo's keys away, as far as Redis answers."""
    # Whatever goes wrong: the demo has ended, and the keys do no harm.
    with suppress(Exception):
        client = _client(settings)
        client.delete(_QUEUE, place.jobs_queue)
        for pattern in (f"{place.prefix}:*", _LEFT_BY_CELERY, f"_kombu.binding.{place.jobs_queue}*"):
            for key in client.scan_iter(match=pattern, count=1_000):
                client.delete(key)


def _client(settings: Settings) -> Any:
    return wiring.open_connection(settings).client()
